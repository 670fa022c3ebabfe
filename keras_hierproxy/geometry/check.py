"""What is taken for a geometry."""

from keras_hierproxy.geometry.sphere import Sphere


def check_geometry(geometry):
    """Returns a geometry, by default the sphere.

    Args:
        geometry: a geometry, or None for `Sphere()`.

    Raises:
        ValueError: it is something else, such as the class of one.

    Example:

    >>> khp.geometry.check_geometry(None)
    Sphere()
    """
    if geometry is None:
        return Sphere()
    if isinstance(geometry, type) or not hasattr(geometry, "pairwise_distance"):
        raise ValueError(
            "`geometry` must be `khp.geometry.Sphere()` or "
            f"`khp.geometry.PoincareBall()`. Received: {geometry!r}."
        )
    return geometry
