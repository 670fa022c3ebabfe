"""JAX and PyTorch train where TensorFlow is not installed."""

import keras
import pytest

from tests.integration.fresh import finish, start


@pytest.mark.skipif(keras.config.backend() == "tensorflow", reason="needs TensorFlow")
def test_without_tensorflow(tmp_path):
    finish(start("without_tensorflow", tmp_path))
