"""The last step of an embedder: raw vectors to points of a geometry."""

import keras

from keras_hierproxy.geometry import Sphere, check_geometry
from keras_hierproxy.keras_internals import all_layers


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class ProjectToGeometry(keras.layers.Layer):
    """Maps raw vectors to points of a geometry, and carries it in the model.

    Input and output are float32 under any dtype policy: rounded to half precision,
    points would leave their space.

    Args:
        geometry: `khp.geometry.Sphere()` by default.
        name: str.

    Input shape: `(batch, d)`. Output shape: the same.

    Example:

    >>> layer = khp.layers.ProjectToGeometry()
    >>> float(keras.ops.norm(layer(np.array([[3.0, 4.0]], "float32"))))
    1.0
    """

    def __init__(self, geometry=None, name=None, **kwargs):
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.geometry = check_geometry(geometry)

    def call(self, x):
        return self.geometry.project(x)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        geometry = keras.saving.serialize_keras_object(self.geometry)
        return {**super().get_config(), "geometry": geometry}

    @classmethod
    def from_config(cls, config):
        geometry = keras.saving.deserialize_keras_object(config["geometry"])
        return cls(**{**config, "geometry": geometry})


def projection_of(model):
    """A model's `ProjectToGeometry` layer, or None."""
    for layer in all_layers(model):
        if isinstance(layer, ProjectToGeometry):
            return layer
    return None


def geometry_of(model):
    """Where a model's embeddings live; without a `ProjectToGeometry`, the sphere."""
    layer = projection_of(model)
    return Sphere() if layer is None else layer.geometry
