"""Optimizers that were saved when the weights came in another order."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from tests import tiny

Embedder = khp.models.ImageEmbedder


class OldOrder(Embedder):
    """As on TensorFlow and JAX when Keras tracked the proxies before the head."""

    @property
    def trainable_variables(self):
        ours = super().trainable_variables
        return sorted(ours, key=lambda each: each.path.startswith("head"))

    @property
    def weights(self):
        return sorted(super().weights, key=lambda each: each.path.startswith("head"))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_each_state_comes_back_to_its_variable(tmp_path, optimizer):
    inputs = keras.Input((16, 16, 3))
    backbone = keras.Model(inputs, keras.layers.Conv2D(4, 3, 4)(inputs))
    embedder = OldOrder(backbone, num_classes=4, embedding_dim=8)
    if optimizer == "sgd":
        optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    embedder.compile(optimizer, khp.losses.ProxyNCALoss(), run_eagerly=tiny.EAGERLY)
    embedder.optimizer.build(embedder.trainable_variables)
    for number, variable in enumerate(embedder.optimizer.variables[2:]):
        variable.assign(keras.ops.full(variable.shape, number + 1.0))
    embedder.save(tmp_path / "old.keras")
    custom = {"OldOrder": Embedder}
    loaded = keras.models.load_model(tmp_path / "old.keras", custom_objects=custom)
    assert type(loaded) is Embedder
    states = [
        {
            each.path.partition("/")[2]: keras.ops.convert_to_numpy(each)
            for each in model.optimizer.variables[2:]
        }
        for model in (embedder, loaded)
    ]
    assert list(states[0]) != list(states[1]), "else there is nothing to see here"
    for name, state in states[0].items():
        np.testing.assert_array_equal(states[1][name], state, err_msg=name)
