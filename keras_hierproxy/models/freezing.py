"""Parts of a backbone that never train."""

import keras

from keras_hierproxy.checks import did_you_mean
from keras_hierproxy.keras_internals import all_layers


def freeze(backbone, parts):
    """Freezes parts of a backbone.

    Args:
        backbone: a built `keras.Model`.
        parts: names: `"patch_embedding"`, `"batch_norm"`, or that of a layer, which is
            frozen with all that comes before it.

    Returns:
        The names as a tuple.

    Raises:
        ValueError: an unknown name, or a backbone without such a part.
    """
    parts = (parts,) if isinstance(parts, str) else tuple(parts)
    for part in parts:
        if part in _BELONGS:
            layers = [each for each in all_layers(backbone) if _BELONGS[part](each)]
        else:
            layers = _up_to(backbone, part, parts)
        if not layers:
            raise ValueError(
                f"The backbone {backbone.name!r} has no {part.replace('_', ' ')} to "
                f"freeze. Received: frozen={parts!r}."
            )
        for layer in layers:
            layer.trainable = False
    return parts


def _up_to(backbone, name, parts):
    """The layers that a layer's output depends on, and itself."""
    names = [layer.name for layer in backbone.layers]
    if name not in names:
        raise ValueError(
            f"`frozen` takes any of {', '.join(map(repr, _BELONGS))}, or the name of a "
            f"layer of the backbone, up to which it is frozen. Received: "
            f"frozen={parts!r}.{did_you_mean(name, [*_BELONGS, *names])}"
        )
    return keras.Model(backbone.input, backbone.get_layer(name).output).layers


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
