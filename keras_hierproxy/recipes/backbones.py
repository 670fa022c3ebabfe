"""The backbones that a recipe names, by their architecture or in a preset."""

import inspect

from keras_hierproxy.models import ImageEmbedder, conv4, efficientnet_lite, hub
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


def load_preset(recipe, image_shape, new_options):
    """The embedder of a preset, for the recipe's images.

    Args:
        recipe: `Recipe`.
        image_shape: `(height, width, channels)` of its images.
        new_options: function of nothing that gives a dict of the arguments of
            `ImageEmbedder` that the recipe states, whose layers are in no model yet.
    """
    embedder = _of_preset(recipe, image_shape, new_options())
    other = _unstated(recipe, image_shape, embedder)
    if other:
        embedder = _of_preset(recipe, image_shape, {**new_options(), **other})
    resizes = getattr(embedder.preprocessor, "image_size", None) is not None
    if resizes and recipe.model.backbone.architecture is not None:
        # Images have the recipe's size already.
        embedder.preprocessor.image_size = None
    return embedder


def _of_preset(recipe, image_shape, options):
    backbone = recipe.model.backbone
    # Keras's own models would keep the policy that they were saved with.
    ours = {"dtype": recipe.training.precision}
    if options["proxies"] is None:
        ours["num_classes"] = None
    shape = backbone.arguments.get("image_shape")
    if backbone.architecture in OURS:
        shape = image_shape  # they take images of any size
    if shape is not None:
        ours["image_shape"] = tuple(shape)
    if backbone.scale is not None:
        ours["preprocessor"] = build_scaling(backbone)
    return ImageEmbedder.from_preset(backbone.preset, **{**ours, **options})


def _unstated(recipe, image_shape, embedder):
    """What a preset must be loaded with to be trained, beside what the recipe states.

    Args:
        recipe, image_shape: as above.
        embedder: as the preset describes it.

    Returns:
        dict of arguments of `from_preset`.
    """
    other = {}
    if embedder.head is None:
        parameters = inspect.signature(ImageEmbedder).parameters
        other["embedding_dim"] = parameters["embedding_dim"].default
    *own, channels = embedder.input_shape[1:]
    resizes = embedder.preprocessor is not None
    if recipe.data.image_size is not None and not resizes and own != [*image_shape[:2]]:
        other["image_shape"] = (*image_shape[:2], channels)
    return other


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
