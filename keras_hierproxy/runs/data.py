"""The data of a run."""

import dataclasses

from keras_hierproxy import datasets
from keras_hierproxy.datasets.glyphs.turns import with_quarter_turns
from keras_hierproxy.recipes.combinations import parameters
from keras_hierproxy.runs import photos
from keras_hierproxy.runs.place import is_csv

# The side of photos of data sets with a name, where nothing says another.
_SIDE = 96


def load_data(source, place, image_shape=None, **reading):
    """The splits of a known data set, a folder or a CSV file.

    Args:
        source: `khp.recipes.Source`, such as the `data` of a recipe.
        place: `Place`.
        image_shape: `(height, width, channels)`, None where any will do, that a
            trained model takes, or `image_shape` of a recipe. By default the source
            decides.
        **reading: for photos, further arguments of `from_directory`, `from_csv` and
            the readers of `datasets.load`.
    """
    if source.name not in datasets.NAMES:
        load = photos.load_csv if is_csv(source) else photos.load_folder
        splits, taken = load(source, place, image_shape, **reading), ()
    else:
        taken = parameters(datasets.loader(source.name))
        splits = _load_known(source, place, image_shape, taken, reading)
    # Some readers know which images to turn.
    if source.quarter_turns and "quarter_turns" not in taken:
        splits = dataclasses.replace(splits, train=with_quarter_turns(splits.train))
    return splits


def _load_known(source, place, image_shape, taken, reading):
    photos.check_options(source)
    options = source.model_dump(exclude={"name", "image_size"}, exclude_none=True)
    options["skip_bad"] = place.skip_bad
    size = photos.image_size(source, image_shape)
    if "color_mode" in taken:
        options["image_size"] = size or _SIDE
        options["color_mode"] = photos.color_mode(image_shape)
    elif size is not None:
        options["image_size"] = size[0]
    options = {name: value for name, value in options.items() if name in taken}
    if "memory_limit" in taken:
        options |= reading
    return datasets.load(source.name, root=place.root, **options)
