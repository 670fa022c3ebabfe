"""A batch spread over devices gives the gradient of the whole batch.

None of these losses is a mean over samples, so that the mean of the devices' losses
would not do.
"""

import keras
import numpy as np
import pytest

from tests.integration.data_parallel import CASES
from tests.integration.fresh import on_four_devices

if keras.config.backend() == "torch":
    pytest.skip("Keras has no data parallelism on torch", allow_module_level=True)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return on_four_devices("data_parallel", tmp_path_factory.mktemp("found"))


def of_kind(found, case, kind):
    """Pairs of numbers on one device and on several."""
    prefix = f"single: {case}: {kind}"
    keys = [key for key in found if key.startswith(prefix)]
    assert keys
    return [(found[key], found[key.replace("single", "replicated")]) for key in keys]


@pytest.mark.parametrize("case", CASES)
def test_same_weights(found, case):
    for single, replicated in of_kind(found, case, "weight"):
        np.testing.assert_allclose(replicated, single, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_same_losses_of_data_that_the_devices_divide(found, case):
    for single, replicated in of_kind(found, case, "evaluation"):
        np.testing.assert_allclose(replicated, single, rtol=1e-5)


@pytest.mark.skipif(
    keras.config.backend() == "jax",
    reason="logs are means over samples, those among them that fill a batch up",
)
@pytest.mark.parametrize("case", CASES)
def test_same_logs(found, case):
    for single, replicated in of_kind(found, case, "history"):
        np.testing.assert_allclose(replicated, single, rtol=1e-5)
