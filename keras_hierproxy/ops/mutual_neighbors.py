"""Mutual neighbours, and triplets drawn from them, with static shapes."""

from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.ops.traced_random import uniform_below


def mutual_neighbors(similarity, k):
    """Which rows are among each other's k most similar.

    A row's neighbours are the `min(k, n)` columns with its largest similarities,
    as a rule itself among them; of equal ones, as many as fit. The diagonal of the
    result is False nevertheless.

    Args:
        similarity: float tensor `(n, n)`.
        k: int, how many neighbours, the row itself counted.

    Returns:
        Bool tensor `(n, n)`, symmetric.

    Example:

    >>> similarity = np.array([[3.0, 2.0, 1.0], [2.0, 3.0, 0.0], [1.0, 0.0, 3.0]])
    >>> keras.ops.convert_to_numpy(khp.ops.mutual_neighbors(similarity, k=2))
    array([[False,  True, False],
           [ True, False, False],
           [False, False, False]])
    """
    k = checks.integer("k", k, least=1)
    similarity = ops.convert_to_tensor(similarity)
    n = ops.shape(similarity)[0]
    columns = ops.arange(n, dtype="int32")
    k = min(k, n) if isinstance(n, int) else ops.minimum(k, n)
    _, nearest = ops.top_k(similarity, k)
    nearest = ops.cast(nearest, "int32")
    chosen = ops.any(nearest[:, :, None] == columns[None, None, :], axis=1)
    others = columns[:, None] != columns[None, :]
    return chosen & ops.transpose(chosen) & others


def sample_triplets(mutual, present, triplets_per_anchor, seed, max_triplets=None):
    """Draws triplets (i, j, k): j a mutual neighbour of i, k neither i nor one.

    An anchor i qualifies if it has at least two mutual neighbours and a k. Each
    gets `triplets_per_anchor` draws, with replacement; with `max_triplets` so many
    are drawn in all, their anchors uniformly from those that qualify.

    Args:
        mutual: bool tensor `(n, n)`, of `mutual_neighbors`.
        present: bool tensor `(n,)`; what is absent stands in no triplet.
        triplets_per_anchor: int.
        seed: `keras.random.SeedGenerator`.
        max_triplets: int, or None.

    Returns:
        `(triplets, qualified)`: int32 `(T, 3)` and bool `(T,)`. T is
        `n * triplets_per_anchor` or `max_triplets`, if that is less, whatever
        qualifies; triplets of anchors that do not come last.

    Example:

    >>> mutual = khp.ops.mutual_neighbors(np.random.rand(8, 8).astype("float32"), k=6)
    >>> seed = keras.random.SeedGenerator(0)
    >>> present = keras.ops.ones(8, "bool")
    >>> triplets, qualified = khp.ops.sample_triplets(mutual, present, 5, seed)
    >>> tuple(triplets.shape), tuple(qualified.shape)
    ((40, 3), (40,))
    """
    triplets_per_anchor = checks.integer("triplets_per_anchor", triplets_per_anchor, 1)
    if max_triplets is not None:
        max_triplets = checks.integer("max_triplets", max_triplets, least=1)
    mutual, present = (ops.cast(each, "bool") for each in (mutual, present))
    n = ops.shape(mutual)[0]
    rows = ops.arange(n, dtype="int32")
    others = rows[:, None] != rows[None, :]
    pair_present = present[:, None] & present[None, :]
    positive = pair_present & mutual
    negative = pair_present & ~mutual & others
    num_positive = ops.sum(ops.cast(positive, "int32"), axis=1)
    num_negative = ops.sum(ops.cast(negative, "int32"), axis=1)
    qualifies = (num_positive >= 2) & (num_negative >= 1)
    # Sorted, each row lists its positives, then its negatives, then the others.
    rank = ops.where(positive, 0, ops.where(negative, 1, 2))
    members = ops.reshape(ops.sort(n * rank + rows, axis=1) % n, (-1,))
    anchors = ops.sort(ops.where(qualifies, rows, n + rows)) % n

    num_draws = n * triplets_per_anchor
    if max_triplets is None or (isinstance(n, int) and num_draws <= max_triplets):
        i = ops.repeat(anchors, triplets_per_anchor)
    else:
        num_draws = max_triplets
        num_anchors = ops.sum(ops.cast(qualifies, "int32"))
        i = ops.take(anchors, uniform_below(num_anchors, num_draws, seed))
    num_positive, num_negative = ops.take(num_positive, i), ops.take(num_negative, i)
    j = uniform_below(num_positive, num_draws, seed)
    k = num_positive + uniform_below(num_negative, num_draws, seed)
    j, k = ops.take(members, n * i + j), ops.take(members, n * i + k % n)
    return ops.stack([i, j, k], axis=1), ops.take(qualifies, i)
