"""The frozen beginning of an embedder, and what is left to train."""

import keras


def split_frozen(embedder):
    """Cuts an embedder behind the first layers that stand still.

    What these make of an image is always the same. Computed once, it is what the rest
    trains on: of a network whose early layers are frozen, that takes a small part of
    the time.

    Args:
        embedder: `ImageEmbedder`.

    Returns:
        `(trunk, rest)`, or None where the first layers train. `trunk` is a
        `keras.Model` from images, behind the preprocessor, to feature maps; `rest` an
        `ImageEmbedder` of these, not compiled, which has its layers in common with
        `embedder`: training one trains the other.

    Example:

    >>> backbone = khp.models.efficientnet_lite(image_shape=(32, 32, 3))
    >>> embedder = khp.models.ImageEmbedder(backbone, 10, frozen=["stage3_block2_add"])
    >>> trunk, rest = khp.models.trunk.split_frozen(embedder)
    >>> trunk.output_shape, rest.output_shape
    ((None, 2, 2, 80), (None, 128))
    """
    parts = _cut(embedder.backbone)
    if parts is None:
        return None
    trunk, tail = parts
    rest = keras.models.clone_model(
        embedder,
        input_tensors=keras.Input(trunk.output_shape[1:]),
        clone_function=lambda layer: tail if layer is embedder.backbone else layer,
    )
    rest.preprocessor = None
    return trunk, rest


def _cut(backbone):
    """The backbone as two models, or None."""
    if not hasattr(backbone, "operations"):
        return None
    still = []
    for layer in backbone.layers:
        if layer.trainable and layer.variables:
            break
        still.append(layer)
    if not any(layer.variables for layer in still):
        return None
    for layer in reversed(still):
        # The layers behind may also need others than this one.
        try:
            tail = keras.Model(layer.output, backbone.output, name=backbone.name)
        except ValueError:
            continue
        return keras.Model(backbone.input, layer.output), tail
    return None
