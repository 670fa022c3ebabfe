"""Proxies sharded by `keras.distribution.ModelParallel`: JAX, four virtual devices."""

import keras
import numpy as np
import pytest

from tests.integration.four_devices import CONTINUATIONS
from tests.integration.fresh import on_four_devices

if keras.config.backend() != "jax":
    pytest.skip("keras.distribution shards on JAX alone", allow_module_level=True)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the script found: a dict of arrays for each of its runs."""
    folder = tmp_path_factory.mktemp("found")
    found = {}
    for name, value in on_four_devices("four_devices", folder).items():
        run, key = name.split(": ")
        found.setdefault(run, {})[key] = value
    return found


def assert_same(found, expected, kinds=("tensor", "history")):
    keys = [key for key in expected if key.startswith(kinds)]
    assert keys
    for key in keys:
        np.testing.assert_allclose(
            found[key], expected[key], rtol=1e-4, atol=1e-4, err_msg=key
        )


@pytest.mark.parametrize(
    "sharded, single", [("four, 12 classes", "one, 12 classes"), ("four", "one")]
)
def test_same_training_as_on_one_device(found, sharded, single):
    assert_same(found[sharded], found[single])


def test_same_weights_where_batches_are_cut_too(found):
    # The logs are means over samples, and each batch of 13 is filled up to 14.
    assert_same(found["two by two"], found["one"], kinds="tensor")


@pytest.mark.parametrize(
    "run, parts",
    [
        # Class proxies, coarse proxies, then the taxonomy and whether it is ready.
        ("one", [(13, 8), (5, 8), (2, 8), (13, 2), ()]),
        ("four, 12 classes", [(3, 8), (1, 8), (12, 1), ()]),
        ("four", [(4, 8), (2, 8), (1, 8), (13, 2), ()]),
        ("two by two", [(8, 8), (4, 8), (2, 8), (13, 2), ()]),
    ],
)
def test_each_device_holds_its_part(found, run, parts):
    proxies = [part for part in parts if part and part[1] == 8]
    for i, part in enumerate(parts):
        assert tuple(found[run][f"weight {i} part"]) == part
    # Two moments for each of the proxies.
    for i, part in enumerate(np.repeat(proxies, 2, axis=0)):
        assert tuple(found[run][f"moment {i} part"]) == tuple(part)
    assert f"moment {2 * len(proxies)} part" not in found[run]


@pytest.mark.parametrize("run", ["four", "two by two"])
def test_padding_stays_zero(found, run):
    padding = found[run]["padding"]
    assert len(padding) > 1
    assert not padding.any()


@pytest.mark.parametrize("before, after", CONTINUATIONS[1:])
def test_saved_and_trained_on(found, before, after):
    assert_same(found[f"{before}, then {after}"], found["one, then one"])


def test_sampled_proxies_are_those_of_one_device(tmp_path):
    """Also of tables that are made and loaded in parts."""
    found = on_four_devices("sampled_on_four_devices", tmp_path)
    for size in ("", ", large"):
        for run, rows in (("one", 41), ("four", 11), ("two by two", 22)):
            assert found[f"{run}{size}: parts"].tolist() == [rows] * 3
            for key in ("loss", "proxies"):
                actual = found[f"{run}{size}: {key}"]
                expected = found[f"one{size}: {key}"]
                np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
