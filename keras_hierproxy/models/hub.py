"""What needs keras-hub, the extra `hub`: imported here alone, when it is asked for."""

import importlib
import importlib.metadata
import inspect

import keras

# Under whose names keras-hub registers its classes: an earlier one, too.
PACKAGES = ("keras_hub", "keras_nlp")


def keras_hub(wanted):
    """The package keras-hub, which takes seconds to import.

    Args:
        wanted: str, what needs it, the beginning of the error where it is missing.

    Raises:
        ImportError: it is not installed, or does not fit this Keras.
    """
    return _imported("keras_hub", "hub", wanted)


def register(package, wanted):
    """Imports the package whose classes a file names, if it is one of these.

    Args:
        package: str, such as `"keras_hub"` or `"keras_cv"`; others are passed over.
        wanted: as of `keras_hub`.
    """
    if package in PACKAGES:
        keras_hub(wanted)
    elif package == "keras_cv":
        _imported("keras_cv", "keras-cv", wanted)


def version():
    """The version of keras-hub that is installed, or None."""
    try:
        return importlib.metadata.version("keras-hub")
    except importlib.metadata.PackageNotFoundError:
        return None


def builtin_presets(wanted):
    """The presets that keras-hub knows by name, a dict."""
    return keras_hub(wanted).models.Backbone.presets


def get_file(location, file):
    """The path of a preset's file on this machine, downloaded if need be.

    Args:
        location: str, a name that keras-hub knows, or a handle.
        file: str, its name.

    Raises:
        FileNotFoundError: the preset has none.
    """
    return _preset_utils(location).get_file(location, file)


def is_a(thing, name):
    """Whether an object is of a class of keras-hub, which need not be imported."""
    return any(
        each.__name__ == name and each.__module__.startswith("keras_hub.")
        for each in type(thing).__mro__
    )


def is_task(found):
    """Whether what a name is registered for is a task of keras-hub."""
    return inspect.isclass(found) and any(
        each.__name__ == "Task" and each.__module__.startswith("keras_hub.")
        for each in found.__mro__
    )


def inputs_besides_images(backbone_class):
    """What a backbone of keras-hub takes that is no image: a word, or None."""
    hub = keras_hub(f"{backbone_class.__name__}")
    kinds = {hub.tokenizers.Tokenizer: "text", hub.layers.AudioConverter: "sound"}
    for kind, inputs in kinds.items():
        if _made_for(backbone_class, kind) is not None:
            return inputs
    return None


class Converter:
    """A model of Transformers or timm, which keras-hub makes one of its own of.

    Args:
        location: str, a folder or a handle.

    Attributes:
        backbone_class: class of `keras_hub.models`.

    Raises:
        ValueError: it converts no such model.
    """

    def __init__(self, location):
        # By the public `Backbone.from_preset` one knows what it is when it is loaded.
        self._loader = _preset_utils(location).get_preset_loader(location)
        self.backbone_class = self._loader.check_backbone_class()

    def backbone(self, load_weights, **options):
        return self._loader.load_backbone(self.backbone_class, load_weights, **options)

    def image_converter(self):
        """What it does to images before the backbone, a layer, or None."""
        general = keras_hub("An image converter").layers.ImageConverter
        return self._loader.load_image_converter(
            _made_for(self.backbone_class, general) or general
        )


def _preset_utils(wanted):
    # Private, but it alone knows where each hub keeps a file.
    keras_hub(f"The preset {wanted!r}")
    return importlib.import_module("keras_hub.src.utils.preset_utils")


def _made_for(backbone_class, kind):
    """The class of a kind that keras-hub has for a backbone, or None."""
    for each in keras.saving.get_custom_objects().values():
        if inspect.isclass(each) and issubclass(each, kind):
            if getattr(each, "backbone_cls", None) is backbone_class:
                return each
    return None


def _imported(package, extra, wanted):
    name = package.replace("_", "-")
    install = f"pip install 'keras-hierproxy[{extra}]'"
    try:
        return importlib.import_module(package)
    except Exception as error:  # of whatever of Keras it does not find
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            raise ImportError(
                f"{wanted} needs {name}, which is not installed: `{install}`."
            ) from error
        raise ImportError(
            f"{wanted} needs {name}, which cannot be imported with keras "
            f"{keras.__version__} ({type(error).__name__}: {error}). Install one that "
            f"fits: `{install} --upgrade`."
        ) from error
