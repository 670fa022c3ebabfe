"""One seed gives one result, to the bit, and so does a run that was killed.

On a CPU it takes no more than `keras.utils.set_random_seed`, on each backend.
"""

import keras
import numpy as np
import pytest

from tests.integration.fresh import finish, start

RUNS = ("vectors", "hyperbolic", "images")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The folder with final states of runs that were left alone, and that were not."""
    folder = tmp_path_factory.mktemp("runs")
    finish(start("train", folder))
    return folder


@pytest.mark.parametrize("run", RUNS)
def test_same_final_state(results, run):
    """Of two processes: what one seed draws does not depend on the process, either."""
    expected, found = (
        dict(np.load(results / mode / f"{run}.npz")) for mode in ("through", "resumed")
    )
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_keras_itself_forgets_where_dropout_was(tmp_path):
    """The one kind of layer with which a resumed run is another, on any backend."""

    def build():
        inputs = keras.Input((4,))
        return keras.Model(inputs, keras.layers.Dropout(0.5, seed=1)(inputs))

    def draws(model):
        state = model.layers[1].seed_generator.state
        return keras.ops.convert_to_numpy(state).tolist()

    model = build()
    model(np.ones((2, 4)), training=True)
    model.save_weights(tmp_path / "model.weights.h5")
    restored = build()
    restored.load_weights(tmp_path / "model.weights.h5")
    assert draws(restored) == draws(build()) != draws(model)
