import keras
import numpy as np

from keras_hierproxy import ops


def test_same_label():
    same = keras.ops.convert_to_numpy(
        ops.same_label(keras.ops.convert_to_tensor([2, 0, 2]))
    )
    expected = [[True, False, True], [False, True, False], [True, False, True]]
    np.testing.assert_array_equal(same, expected)


def test_other_counts():
    weights = keras.ops.convert_to_tensor(np.array([0.0, 1.0, 3.0, 0.5], "float32"))
    counts = keras.ops.convert_to_numpy(ops.other_counts(weights))
    # Beside itself an anchor of weight 3 stands twice more, one of weight 1 never.
    expected = [
        [0.0, 1.0, 3.0, 0.5],
        [0.0, 0.0, 3.0, 0.5],
        [0.0, 1.0, 2.0, 0.5],
        [0.0, 1.0, 3.0, 0.0],
    ]
    np.testing.assert_array_equal(counts, expected)


def test_without_a_strategy_a_batch_is_whole():
    x = keras.ops.ones((3, 2))
    assert ops.num_replicas() == 1
    assert ops.gather_replicas(x, x) == (x, x)
