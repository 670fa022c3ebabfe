"""The loss of triplets by their lowest common ancestors, and its gradient.

Values are computed together with their gradient, a block of triplets at a time:
nothing of size (T, N) is kept, and no gradient runs through the loop.
"""

from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.ops.traced_random import LocalSeeds, gumbel_noise

# Entries (triplets x ancestors) of a block, 2 MB a tensor: it should stay in the
# cache while some forty operations pass over it.
BLOCK = 1 << 19


def lca_triplet_loss(distances, triplets, noise, margin, temperature, weights=None):
    """Related points should share a lower ancestor than unrelated ones.

    The lowest common ancestor of points is drawn from N candidates p by
    straight-through Gumbel-softmax: with noise g and g' of the standard Gumbel
    distribution,

        lca_ij  ~ softmax_p( -max(d_ip, d_jp) / t + g_p )
        lca_ijk ~ softmax_p( -max(d_ip, d_jp, d_kp) / t + g'_p )

    the largest entry forward, the softmax backward. With [x]+ = max(x, 0), the loss
    of a triplet, in which i and j are related and k is not, is

        [d(i, lca_ij) - d(i, lca_ijk) + m]+ + [d(j, lca_ij) - d(j, lca_ijk) + m]+
            + [d(k, lca_ijk) - d(k, lca_ij) + m]+

    and 0 where both ancestors are the same. Kim et al., "HIER", CVPR 2023 (arXiv
    2212.14258).

    Args:
        distances: float tensor `(n, N)`, of n points to N candidate ancestors.
        triplets: int tensor `(T, 3)`, rows i, j, k of indices into the points.
        noise: float tensor `(2, T, N)` of Gumbel noise, g and g'; or `LocalSeeds`
            to draw it from, a block of triplets at a time.
        margin: float, m.
        temperature: float, t > 0.
        weights: float tensor `(T,)`, what each triplet counts; by default 1 each.
            Trailing ones of weight 0 cost no time.

    Returns:
        Scalar tensor: the weighted mean over the triplets, 0 if all weights are 0.
        Its gradient goes to the distances alone.

    Example:

    >>> distances = np.random.rand(8, 5).astype("float32")
    >>> triplets = np.array([[0, 1, 2], [3, 4, 5]])
    >>> noise = np.random.gumbel(size=(2, 2, 5)).astype("float32")
    >>> loss = khp.ops.lca_triplet_loss(distances, triplets, noise, 0.1, 0.1)
    """
    margin = checks.real("margin", margin)
    temperature = checks.real("temperature", temperature, above=0)
    distances = ops.convert_to_tensor(distances)
    triplets = ops.cast(triplets, "int32")
    num_triplets = ops.shape(triplets)[0]
    if weights is None:
        weights = ops.ones((num_triplets,))
    weights = ops.cast(weights, distances.dtype)
    weights = ops.divide_no_nan(weights, ops.sum(weights))

    size = max(1, BLOCK // distances.shape[1])
    if isinstance(num_triplets, int):
        size = max(1, min(size, num_triplets))
    noise_of = _blocks_of_noise(
        noise, size, num_triplets, distances.shape[1], distances.dtype
    )
    numbers = ops.arange(num_triplets, dtype="int32")
    num_counted = ops.max(ops.where(weights > 0, numbers + 1, 0), initial=0)
    fixed = ops.stop_gradient(distances)

    def add_block(block, sums):
        rows = block * size + ops.arange(size, dtype="int32")
        # The last block is filled up with copies of the last triplet, of weight 0.
        inside = rows < num_triplets
        rows = ops.minimum(rows, num_triplets - 1)
        value, gradient = _value_and_gradient(
            fixed,
            ops.take(triplets, rows, axis=0),
            noise_of(block, rows),
            margin,
            temperature,
            ops.where(inside, ops.take(weights, rows), 0.0),
        )
        return sums[0] + value, sums[1] + gradient

    sums = (ops.zeros((), dtype=fixed.dtype), ops.zeros_like(fixed))
    if isinstance(num_triplets, int) and num_triplets <= size:
        # A loop that is not part of a compiled step would be compiled at each call.
        value, gradient = add_block(0, sums)
    else:
        num_blocks = (num_counted + size - 1) // size
        value, gradient = ops.fori_loop(0, num_blocks, add_block, sums)
    # Ancestors are chosen by comparisons, which hide a distance that is NaN.
    value = value * ops.where(ops.all(ops.isfinite(fixed)), 1.0, float("nan"))
    # What is added is 0; its gradient is the one computed.
    return value + ops.sum(gradient * (distances - fixed))


def _blocks_of_noise(noise, size, num_triplets, num_candidates, dtype):
    """A function of a block's number and rows that returns its noise."""
    if not isinstance(noise, LocalSeeds):
        noise = ops.cast(noise, dtype)
        return lambda block, rows: ops.take(noise, rows, axis=1)
    seeds_of = noise.blocks((num_triplets + size - 1) // size)
    shape = (2, size, num_candidates)
    return lambda block, rows: gumbel_noise(shape, seeds_of(block))


def _value_and_gradient(distances, triplets, noise, margin, temperature, weights):
    """The weighted sum of a block's losses, and its gradient by the distances."""
    i, j, k = triplets[:, 0], triplets[:, 1], triplets[:, 2]
    d_i, d_j, d_k = (ops.take(distances, rows, axis=0) for rows in (i, j, k))
    pair = ops.maximum(d_i, d_j)
    low, soft_low = _gumbel_softmax(pair, noise[0], temperature)
    high, soft_high = _gumbel_softmax(ops.maximum(pair, d_k), noise[1], temperature)

    weights = ops.where(low != high, weights, 0.0)
    hinges = (
        _at(d_i, low) - _at(d_i, high) + margin,
        _at(d_j, low) - _at(d_j, high) + margin,
        _at(d_k, high) - _at(d_k, low) + margin,
    )
    value = ops.sum(weights * sum(ops.relu(hinge) for hinge in hinges))

    # Where hinges are open: first by the distances that stand in them, ...
    by_i, by_j, by_k = (ops.where(hinge > 0, weights, 0.0) for hinge in hinges)
    n, num_candidates = ops.shape(distances)[0], distances.shape[1]
    gradient = ops.segment_sum(
        ops.concatenate([by_i, by_j, by_k, -by_i, -by_j, -by_k]),
        num_candidates * ops.concatenate([i, j, k, i, j, k])
        + ops.concatenate([low, low, high, high, high, low]),
        num_segments=n * num_candidates,
    )
    gradient = ops.reshape(gradient, (n, num_candidates))
    # ... then by the choice of ancestors: the softmaxes' gradient, ...
    by_low = by_i[:, None] * d_i + by_j[:, None] * d_j - by_k[:, None] * d_k
    by_pair = soft_low * (by_low - _dot(soft_low, by_low))
    by_triple = soft_high * (_dot(soft_high, by_low) - by_low)
    # ... which goes to the larger of the distances.
    by_k = by_triple * ops.cast(d_k > pair, by_triple.dtype)
    by_pair = by_pair + by_triple - by_k
    by_j = by_pair * ops.cast(d_j > d_i, by_pair.dtype)
    by_choice = sum(
        ops.segment_sum(by_rows, rows, num_segments=n)
        for by_rows, rows in ((by_pair - by_j, i), (by_j, j), (by_k, k))
    )
    return value, gradient - by_choice / temperature


def _gumbel_softmax(distances, noise, temperature):
    """The candidate chosen in each row, int32, and the probabilities of all."""
    scores = noise - distances / temperature
    return ops.cast(ops.argmax(scores, axis=1), "int32"), ops.softmax(scores, axis=1)


def _at(rows, columns):
    return ops.take_along_axis(rows, columns[:, None], axis=1)[:, 0]


def _dot(x, y):
    return ops.sum(x * y, axis=1, keepdims=True)
