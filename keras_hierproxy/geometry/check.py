"""What is taken for a geometry."""

from keras_hierproxy.geometry.sphere import Sphere


def check_geometry(geometry):
    """Returns a geometry, by default the sphere, or raises a `ValueError`."""
    if geometry is None:
        return Sphere()
    if isinstance(geometry, type) or not hasattr(geometry, "pairwise_distance"):
        raise ValueError(
            "`geometry` must be `khp.geometry.Sphere()` or "
            f"`khp.geometry.PoincareBall()`. Received: {geometry!r}."
        )
    return geometry
