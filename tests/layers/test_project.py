import keras
import numpy as np

import keras_hierproxy as khp
from keras_hierproxy.layers import ProjectToGeometry


def test_projects_to_the_sphere_by_default():
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    layer = ProjectToGeometry()
    points = keras.ops.convert_to_numpy(layer(x))
    expected = x / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(points, expected, rtol=1e-6)
    assert layer.geometry == khp.geometry.Sphere()
    assert layer(keras.Input((6,))).shape == (None, 6)


def test_points_stay_in_their_space_under_mixed_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    inputs = keras.Input((6,))
    raw = keras.layers.Dense(32)(inputs)
    points = ProjectToGeometry()(raw)
    assert raw.dtype == "bfloat16" and points.dtype == "float32"
    model = keras.Model(inputs, khp.layers.Proxies(5)(points))
    x = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
    for outputs in (keras.ops.convert_to_numpy(model(x)), model.predict(x, verbose=0)):
        assert outputs.dtype == "float32"
        np.testing.assert_allclose(np.linalg.norm(outputs, axis=1), 1.0, atol=1e-6)


def test_config_round_trip():
    layer = ProjectToGeometry(khp.geometry.Sphere(), name="point")
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is ProjectToGeometry
    assert again.geometry == layer.geometry and again.name == "point"
    assert again.get_config() == layer.get_config()
