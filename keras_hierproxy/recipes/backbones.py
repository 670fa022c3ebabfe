"""The backbones that a recipe names by their architecture."""

import inspect

from keras_hierproxy.models import conv4, efficientnet_lite, hub
from keras_hierproxy.recipes.table import unknown

# Those of this package, which scale pixels themselves.
OURS = {"conv4": conv4, "efficientnet_lite": efficientnet_lite}


def arguments_of_ours(architecture):
    """The arguments of one of `OURS` besides the shape of images."""
    return [name for name in _arguments(OURS[architecture]) if name != "image_shape"]


def build_backbone(backbone, image_shape):
    """The architecture, with random weights."""
    if backbone.architecture in OURS:
        arguments = {"image_shape": tuple(image_shape), **backbone.arguments}
        return OURS[backbone.architecture](**arguments)
    keras_hub = hub.keras_hub(f"The backbone {backbone.architecture!r}")
    known = {
        name: value
        for name, value in vars(keras_hub.models).items()
        if name.endswith("Backbone") and name != "Backbone"
    }
    if backbone.architecture not in known:
        raise ValueError(
            f"model.backbone.architecture: {backbone.architecture} "
            + unknown(backbone.architecture, [*OURS, *sorted(known)])
        )
    architecture = known[backbone.architecture]
    # Others would be swallowed.
    taken = _arguments(architecture)
    for name in backbone.arguments:
        if name not in taken:
            raise ValueError(f"model.backbone.arguments.{name}: {unknown(name, taken)}")
    arguments = {"image_shape": tuple(image_shape), **backbone.arguments}
    try:
        return architecture(**arguments)
    except Exception as error:  # whatever its code makes of them
        raise ValueError(f"model.backbone.arguments: {error}") from None


def build_scaling(backbone):
    """What brings pixels to its range, or None for those that do it themselves."""
    if backbone.architecture in OURS:
        return None
    keras_hub = hub.keras_hub("The scaling of images for a pretrained backbone")
    scale, offset = (
        value[0] if value is not None and len(value) == 1 else value
        for value in (backbone.scale or [1 / 255], backbone.offset)
    )
    return keras_hub.layers.ImageConverter(scale=scale, offset=offset)


def _arguments(function):
    """The names of all that have one."""
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
