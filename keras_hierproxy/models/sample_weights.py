"""Weights of samples and of classes on their way into training, checked on the host."""

import keras
import numpy as np

from keras_hierproxy import checks


def check_weights(weights):
    """Raises a `ValueError` for weights that are no multiplicities.

    Args:
        weights: array, or a list or dict of them for several outputs, or None.
    """
    for part in keras.tree.flatten(weights):
        if part is None:
            continue
        values = keras.ops.convert_to_numpy(part)
        if values.dtype.kind not in "biuf":
            raise ValueError(
                "`sample_weight` must be numbers, how often each sample counts. "
                f"Received dtype {values.dtype}."
            )
        bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
        if len(bad):
            raise ValueError(
                "`sample_weight` must be finite and not negative: 0 is absent, 2 is "
                f"twice. Received {len(bad)} others of {values.size}, first "
                f"{values.flat[bad[0]]} of sample {bad[0]}."
            )


def check_class_weight(class_weight, num_classes):
    """Raises a `ValueError` for classes that are not there, and for bad weights.

    Args:
        class_weight: dict from class ids to weights, or None.
        num_classes: int, or None where nothing says how many there are.
    """
    if class_weight is None:
        return
    if not isinstance(class_weight, dict):
        raise ValueError(
            "`class_weight` must be a dict from class ids to weights, such as "
            f"{{0: 1.0, 1: 2.0}}. Received: {class_weight!r}."
        )
    for label, weight in class_weight.items():
        most = None if num_classes is None else num_classes - 1
        checks.integer("a key of class_weight", label, least=0, most=most)
        checks.real(f"class_weight[{label}]", weight, least=0)
