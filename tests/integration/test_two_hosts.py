"""Two processes, each with its share of every batch, train as one does."""

import socket

import keras
import numpy as np
import pytest

from tests.integration import two_hosts
from tests.integration.fresh import finish, start

if keras.config.backend() != "jax":
    pytest.skip("keras.distribution joins processes on JAX", allow_module_level=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_the_same_weights_as_on_a_single_host(tmp_path):
    address = f"127.0.0.1:{free_port()}"
    together = [
        start(
            "two_hosts",
            tmp_path / f"{index}.npz",
            JAX_PLATFORMS="cpu",
            JAX_CPU_COLLECTIVES_IMPLEMENTATION="gloo",
            KERAS_DISTRIBUTION_JOB_ADDRESSES=address,
            KERAS_DISTRIBUTION_NUM_PROCESSES="2",
            KERAS_DISTRIBUTION_PROCESS_ID=str(index),
        )
        for index in (0, 1)
    ]
    two_hosts.main(tmp_path / "alone.npz")
    for process in together:
        finish(process)
    expected = np.load(tmp_path / "alone.npz")
    for index in (0, 1):
        found = np.load(tmp_path / f"{index}.npz")
        assert len(found.files) > 4
        # The loss that is logged is a mean over rows, copies of weight 0 among them.
        for name in set(found.files) - {"loss"}:
            np.testing.assert_allclose(
                found[name], expected[name], rtol=1e-4, atol=1e-5, err_msg=name
            )
