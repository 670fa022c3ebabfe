"""The Poincare ball of curvature -c: mapping onto it, and distance in it.

Formulas are those of Ganea et al., "Hyperbolic Neural Networks", NeurIPS 2018
(arXiv 1805.09112), in forms whose values and gradients stay finite in float32.
"""

import math

import numpy as np
from keras import ops

from keras_hierproxy import checks

# Points stay this far, relative to the radius, inside the ball: beyond, float32
# cannot tell them from the boundary, where distances are infinite.
MARGIN = 1e-3

# `|x|^2 + |y|^2 - 2 x.y` is exact to a few units of the sum's last place. Below
# this multiple of the sum nothing but rounding is left of it.
RESOLUTION = 8 * float(np.finfo("float32").eps)


def norm(x):
    """`|x|` over the last axis, kept with size 1; 0 with a gradient of 0 at zero.

    Finite for all finite x: the largest entry is divided out before squaring.
    """
    x = ops.convert_to_tensor(x)
    largest = ops.stop_gradient(ops.max(ops.abs(x), axis=-1, keepdims=True))
    # Asked this way round, here and below, NaN is taken for neither and stays NaN.
    zero = largest == 0
    largest = ops.where(zero, 1.0, largest)
    scaled = ops.sum(ops.square(x / largest), axis=-1, keepdims=True)
    return ops.where(zero, 0.0, largest * ops.sqrt(ops.where(zero, 1.0, scaled)))


def clip_to_radius(x, radius):
    """Shortens vectors to `radius` at most, `x min(1, r / (|x| + 1e-5))`.

    Args:
        x: float tensor `(..., d)`.
        radius: float, r > 0.

    Returns:
        Tensor of the same shape; norms are at most r.

    Example:

    >>> x = np.array([[3.0, 4.0], [0.3, 0.4]], "float32")
    >>> keras.ops.convert_to_numpy(khp.ops.clip_to_radius(x, 1.0)).round(2)
    array([[0.6, 0.8],
           [0.3, 0.4]], dtype=float32)
    """
    radius = checks.real("radius", radius, above=0)
    return ops.multiply(x, ops.minimum(1.0, radius / (norm(x) + 1e-5)))


def exponential_map(x, curvature):
    """Tangent vectors at the origin to points, `tanh(sqrt(c)|x|) x / (sqrt(c)|x|)`.

    Args:
        x: float tensor `(..., d)`.
        curvature: float, c > 0.

    Returns:
        Tensor of the same shape; norms are at most `(1 - 1e-3) / sqrt(c)`.

    Example:

    >>> point = khp.ops.exponential_map(np.array([[0.0, 2.0]], "float32"), 0.25)
    >>> keras.ops.convert_to_numpy(point).round(4)  # tanh(1) / 0.5
    array([[0.    , 1.5232]], dtype=float32)
    """
    root = math.sqrt(checks.real("curvature", curvature, above=0))
    length = root * norm(x)
    # Nearer to the origin the factor is 1 in float32, and its gradient 0 / 0.
    near = length <= 1e-6
    length = ops.where(near, 1.0, length)
    points = ops.multiply(x, ops.where(near, 1.0, ops.tanh(length) / length))
    size = norm(points)
    limit = (1 - MARGIN) / root
    inside = size <= limit
    return points * ops.where(inside, 1.0, limit / ops.where(inside, 1.0, size))


def riemannian_gradient(points, curvature):
    """The points as they are; gradients through them scaled by `(1 - c|x|^2)^2 / 4`.

    That is the inverse of the ball's metric: it turns a gradient by coordinates
    into the direction of steepest descent in the ball.

    Args:
        points: float tensor `(..., d)` inside the ball.
        curvature: float, c > 0.

    Returns:
        Tensor of the same shape and values.

    Example:

    >>> points = khp.ops.riemannian_gradient(np.array([[0.5, 0.0]]), curvature=1.0)
    >>> keras.ops.convert_to_numpy(points).tolist()
    [[0.5, 0.0]]
    """
    curvature = checks.real("curvature", curvature, above=0)
    points = ops.convert_to_tensor(points)
    fixed = ops.stop_gradient(points)
    conformal = 1.0 - curvature * ops.sum(ops.square(fixed), axis=-1, keepdims=True)
    return fixed + ops.square(conformal) / 4.0 * (points - fixed)


def poincare_distance(x, y, curvature):
    """Distances of all pairs of points, with one matrix product.

        d(x, y) = 2/sqrt(c) asinh( sqrt(c) |x - y| / sqrt((1 - c|x|^2) (1 - c|y|^2)) )

    Points closer than the product resolves, `|x - y|^2 <= 8 eps (|x|^2 + |y|^2)`,
    have distance and gradient 0.

    Args:
        x: float tensor `(n, d)` of points.
        y: float tensor `(m, d)` of points, or None for distances within x, whose
            diagonal is exactly 0.
        curvature: float, c > 0.

    Returns:
        Tensor `(n, m)`.

    Example:

    >>> points = np.array([[0.0, 0.0], [0.5, 0.0]], "float32")
    >>> distances = khp.ops.poincare_distance(points, None, curvature=1.0)
    >>> keras.ops.convert_to_numpy(distances).round(4)  # log 3
    array([[0.    , 1.0986],
           [1.0986, 0.    ]], dtype=float32)
    """
    curvature = checks.real("curvature", curvature, above=0)
    within = y is None
    x = ops.convert_to_tensor(x)
    y = x if within else ops.convert_to_tensor(y)
    x_squared = ops.sum(ops.square(x), axis=1)[:, None]
    y_squared = ops.sum(ops.square(y), axis=1)[None, :]
    squared = x_squared + y_squared - 2.0 * ops.matmul(x, ops.transpose(y))
    near = squared <= RESOLUTION * (x_squared + y_squared)
    if within:
        n = ops.shape(x)[0]
        near = near | (ops.arange(n)[:, None] == ops.arange(n)[None, :])
    squared = ops.where(near, 1.0, squared)
    conformal = _conformal(x_squared, curvature) * _conformal(y_squared, curvature)
    ratio = ops.sqrt(curvature * squared / conformal)
    distances = 2.0 / math.sqrt(curvature) * ops.arcsinh(ratio)
    return ops.where(near, 0.0, distances)


def _conformal(squared_norms, curvature):
    # At least what it is for the outermost points of the ball.
    return ops.maximum(1.0 - curvature * squared_norms, MARGIN)
