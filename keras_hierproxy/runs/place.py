"""Where the data of a run lies, and what others call it."""

import dataclasses
import os

from keras_hierproxy import datasets, recipes


@dataclasses.dataclass(frozen=True)
class Place:
    """What is no part of a run's recipe: it may be another elsewhere.

    Attributes:
        root: the folder with the official files of the data set, or None.
        skip_bad: bool, whether to leave out images that cannot be read.
        seed: int.
    """

    root: str | None = None
    skip_bad: bool = False
    seed: int = 0

    def __post_init__(self):
        if self.root is not None:
            # So that a run is understood in another working folder, too.
            object.__setattr__(self, "root", recipes.absolute(self.root))


def data_root(source, place):
    """The folder that the images of some data lie in, or None where they are no files.

    Of a data set with a name, and of a CSV file, `root`; of the latter by default the
    folder of the file. Else the folder of images itself.
    """
    if source.name == "glyphs":
        return None
    if source.name in datasets.NAMES:
        return place.root
    if is_csv(source):
        return place.root or os.path.dirname(os.path.abspath(source.name))
    return source.name


def path_below(path, root):
    """The path of an image as others know it: from the folder of its data."""
    return os.path.relpath(path, root) if root and os.path.isabs(path) else path


def is_csv(source):
    """Whether a source is a CSV file."""
    return source.name.lower().endswith(".csv")


def name_of(value):
    """A data set, preset or run as others know it: of a path its last part."""
    is_path = os.path.isabs(value) or os.path.exists(value)
    return os.path.basename(os.path.abspath(value)) if is_path else str(value)


def anywhere(recipe):
    """A recipe whose paths are understood in another working folder, too."""
    data, model = recipe.data, recipe.model
    data = data.model_copy(update={"name": recipes.absolute(data.name)})
    if model.backbone.preset is not None:
        preset = {"preset": recipes.absolute(model.backbone.preset)}
        backbone = model.backbone.model_copy(update=preset)
        model = model.model_copy(update={"backbone": backbone})
    return recipe.model_copy(update={"data": data, "model": model})
