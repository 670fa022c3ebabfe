"""One seed gives one result, to the bit, and so does a run that was killed.

On a CPU it takes no more than `keras.utils.set_random_seed`, on each backend.
"""

import itertools

import keras
import numpy as np
import pytest

from tests.integration.fresh import finish, start

RUNS = ("vectors", "hyperbolic", "images")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Folders with the final states of runs that were left alone, and that were not.

    Killed half-way, resumed, and from start to end are processes of their own.
    """
    folders = {name: tmp_path_factory.mktemp(name) for name in ("through", "resumed")}
    for folder, run in itertools.product(folders.values(), RUNS):
        (folder / run).mkdir()

    def arguments(mode, folder, *names):
        places = [(run, folders[folder] / run) for run in names]
        return [mode, *itertools.chain(*places), "--"]

    killed = [arguments("killed", "resumed", run) for run in RUNS]
    others = [
        arguments("resumed", "resumed", *RUNS),
        arguments("through", "through", *RUNS),
    ]
    finish(start("train", *itertools.chain(*killed, *others)))
    return folders


@pytest.mark.parametrize("run", RUNS)
def test_same_final_state(results, run):
    """Of three processes: what one seed draws does not depend on the process, either,
    or what was killed had gone another way."""
    expected, found = (
        dict(np.load(folder / run / f"{run}.npz")) for folder in results.values()
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
