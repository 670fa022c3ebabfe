"""Parts of a backbone that never train."""

import keras

from keras_hierproxy.keras_internals import all_layers


def freeze(backbone, parts):
    """Freezes parts of a backbone.

    Args:
        backbone: a built `keras.Model`.
        parts: names, `"patch_embedding"` and `"batch_norm"`.

    Returns:
        The names as a tuple.

    Raises:
        ValueError: an unknown name, or a backbone without such a part.
    """
    parts = (parts,) if isinstance(parts, str) else tuple(parts)
    for part in parts:
        if part not in _BELONGS:
            raise ValueError(
                f"`frozen` takes any of {', '.join(map(repr, _BELONGS))}. Received: "
                f"frozen={parts!r}."
            )
        layers = [each for each in all_layers(backbone) if _BELONGS[part](each)]
        if not layers:
            raise ValueError(
                f"The backbone {backbone.name!r} has no {part.replace('_', ' ')} to "
                f"freeze. Received: frozen={parts!r}."
            )
        for layer in layers:
            layer.trainable = False
    return parts


def _is_patch_embedding(layer):
    """Whether a layer cuts images into patches: a convolution that skips none of its
    inputs and sees none twice."""
    return (
        isinstance(layer, keras.layers.Conv2D)
        and tuple(layer.kernel_size) == tuple(layer.strides)
        and min(layer.strides) > 1
    )


def _is_batch_norm(layer):
    return isinstance(layer, keras.layers.BatchNormalization)


_BELONGS = {"patch_embedding": _is_patch_embedding, "batch_norm": _is_batch_norm}
