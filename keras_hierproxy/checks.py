"""Checks of what is passed in: each returns a plain value, or says what to pass.

What a number may be is decided here alone, so that it is refused where it comes in,
before anything is built from it. Errors name the argument as it was received.
"""

import difflib
import math
from numbers import Real

import numpy as np


class WrongArgument(ValueError):
    """What an argument was, and must be instead.

    Attributes:
        argument: str, its name.
        explanation: str, such as `must be a positive number.`
        received: the value.
    """

    def __init__(self, argument, explanation, received):
        super().__init__(argument, explanation, received)
        self.argument, self.explanation = argument, explanation
        self.received = received

    def __str__(self):
        return f"`{self.argument}` {self.explanation} Received: {self.received!r}."


def integer(name, value, least=None, most=None):
    """A whole number as an `int`.

    Args:
        name: str, of the argument.
        value: what was passed; a bool is no number.
        least, most: the bounds, which are themselves allowed; None for none.

    Raises:
        ValueError: `value` is no integer between the bounds.

    Example:

    >>> integer("batch_size", 32, least=1)
    32
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not _within(value, least=least, most=most):
        _refuse(name, value, "an integer", least=least, most=most)
    return int(value)


def real(name, value, least=None, most=None, above=None, below=None):
    """A finite number as a `float`.

    Args:
        name: str, of the argument.
        value: what was passed; a bool is no number.
        least, most: bounds which are themselves allowed; None for none.
        above, below: bounds which are not.

    Raises:
        ValueError: `value` is no finite number between the bounds.

    Example:

    >>> real("temperature", 0.1, above=0)
    0.1
    """
    bounds = {"above": above, "least": least, "below": below, "most": most}
    # NumPy's floats are registered as `Real`; a bool is one, too, by Python's ancestry.
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not _finite(value) or not _within(value, **bounds):
        _refuse(name, value, "a finite number", **bounds)
    return float(value)


def flag(name, value):
    """True or False as a `bool`: "no", 0 and NaN are neither.

    Raises:
        ValueError: `value` is no bool.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"`{name}` must be True or False. Received: {value!r}.")
    return bool(value)


def interval(name, value, above=None, most=None):
    """A least and a largest finite number as a tuple of two `float`s.

    Args:
        name: str, of the argument.
        value: what was passed, a tuple, list or array of two.
        above, most: bounds of both, as of `real`.

    Raises:
        ValueError: `value` is no pair of such numbers, the least one first.

    Example:

    >>> interval("scale", (0.2, 1), above=0, most=1)
    (0.2, 1.0)
    """
    try:
        least, largest = value
        least, largest = (real(name, end, above=above, most=most) for end in value)
        in_order = least <= largest
    except (TypeError, ValueError):
        in_order = False
    if not in_order:
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (("above", above), ("at most", most))
            if bound is not None
        ]
        raise ValueError(
            f"{name} must be a least and a largest value"
            + (f", {' and '.join(bounds)}" if bounds else "")
            + f". Received: {value!r}."
        )
    return least, largest


def one_of(name, value, choices):
    """A value that is one of a few.

    Raises:
        ValueError: it is none of them.
    """
    choices = tuple(choices)
    for each in choices:
        # Also by kind: of an array `==` has no single answer. An enumeration's string
        # is a string.
        if isinstance(value, type(each)) and value == each:
            return each
    allowed = ", ".join(map(repr, choices))
    raise WrongArgument(name, f"must be one of {allowed}.", value)


def did_you_mean(name, known, most=1, show=repr):
    """A sentence, with a space before it, that names the nearest spelling; or ''.

    Args:
        name: what was passed.
        known: iterable of str.
        most: int, how many spellings it names.
        show: function from a spelling to how it stands in the sentence.

    Example:

    >>> did_you_mean("ndgc", ["recall", "ndcg"])
    " Did you mean 'ndcg'?"
    """
    close = difflib.get_close_matches(str(name), list(known), most)
    return f" Did you mean {' or '.join(map(show, close))}?" if close else ""


def _finite(value):
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that is larger than any float
        return False


def _within(value, least=None, most=None, above=None, below=None):
    return (
        (least is None or value >= least)
        and (most is None or value <= most)
        and (above is None or value > above)
        and (below is None or value < below)
    )


def _refuse(name, value, kind, least=None, most=None, above=None, below=None):
    if (kind, least, most) == ("an integer", 1, None):
        kind, least = "a positive int", None
    if (kind, above, below, most) == ("a finite number", 0, None, None):
        kind, above = "a positive number", None
    words = {
        "of at least": least,
        "above": above,
        "of at most": most,
        "below": below,
    }
    bounds = [f"{word} {bound:g}" for word, bound in words.items() if bound is not None]
    wanted = " ".join([kind, " and ".join(bounds)]).strip()
    raise WrongArgument(name, f"must be {wanted}.", value)
