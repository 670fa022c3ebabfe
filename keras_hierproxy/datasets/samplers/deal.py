"""Dealing items evenly, as cards."""

import numpy as np

from keras_hierproxy.labels import integer_ids


def deal(rng, size, hands, hand_size):
    """Deals hands of distinct items, each item once before any comes up again.

    Args:
        rng: `numpy.random.Generator`.
        size: number of items.
        hands: number of hands.
        hand_size: items in a hand; if there are fewer items, a hand holds all of
            them, and some repeatedly.

    Returns:
        Integer array `(hands, hand_size)` of items in `[0, size)`.
    """
    dealt = np.empty((hands, hand_size), int)
    deck = np.empty(0, int)
    for hand in dealt:
        if size < hand_size:
            hand[:] = np.resize(rng.permutation(size), hand_size)
            continue
        if len(deck) < hand_size:
            fresh = rng.permutation(size)
            # What is still in the old deck goes to the bottom of the new one.
            held = np.isin(fresh, deck)
            deck = np.concatenate([deck, fresh[~held], fresh[held]])
        hand[:], deck = deck[:hand_size], deck[hand_size:]
    return dealt


def deal_members(rng, members, groups, hand_size):
    """Deals, for each group that comes up, a hand of its members.

    Args:
        rng: `numpy.random.Generator`.
        members: list of integer arrays, those of each group.
        groups: integer array `(B, G)`: the groups that come up together.
        hand_size: members in a hand.

    Returns:
        Integer array `(B, G * hand_size)` of members.
    """
    dealt = np.empty((groups.size, hand_size), int)
    for member, turns in zip(members, members_of(groups.ravel()), strict=False):
        dealt[turns] = member[deal(rng, len(member), len(turns), hand_size)]
    return dealt.reshape(len(groups), -1)


def check_dense(ids, name):
    """Ids of groups as an array `(N,)`, each from 0 to the largest in it.

    Raises:
        ValueError: they are not; it says what to pass instead.
    """
    ids = integer_ids(ids, name)
    if ids.ndim != 1 or not ids.size:
        raise ValueError(
            f"{name} must have shape (N,), one id an image, finest level. Received "
            f"shape {ids.shape}."
        )
    present = np.unique(ids)
    if present[0] != 0 or present[-1] != len(present) - 1:
        raise ValueError(
            f"{name} must be dense ids, 0 to n - 1. Received {len(present)} ids from "
            f"{present[0]} to {present[-1]}: pass "
            f"`np.unique({name}, return_inverse=True)[1]`."
        )
    return ids


def members_of(ids):
    """For each id from 0 to the largest, where it stands."""
    return np.split(np.argsort(ids, kind="stable"), np.cumsum(np.bincount(ids))[:-1])
