"""Data sets for retrieval, with nested labels and disjoint classes."""

import pathlib

from keras_hierproxy.checks import did_you_mean
from keras_hierproxy.datasets.augment import KerasCVCrop as KerasCVCrop
from keras_hierproxy.datasets.augment import KerasLayers as KerasLayers
from keras_hierproxy.datasets.augment import RandomAffine as RandomAffine
from keras_hierproxy.datasets.augment import RandomElastic as RandomElastic
from keras_hierproxy.datasets.augment import RandomResizedCrop as RandomResizedCrop
from keras_hierproxy.datasets.augment import RandomStrokeWidth as RandomStrokeWidth
from keras_hierproxy.datasets.batches import Batches as Batches
from keras_hierproxy.datasets.dataset import RetrievalDataset as RetrievalDataset
from keras_hierproxy.datasets.dataset import Splits as Splits
from keras_hierproxy.datasets.glyphs import load_glyphs as load_glyphs
from keras_hierproxy.datasets.glyphs import load_letters as load_letters
from keras_hierproxy.datasets.images import ImageFiles as ImageFiles
from keras_hierproxy.datasets.official import load_cars as load_cars
from keras_hierproxy.datasets.official import load_cub as load_cub
from keras_hierproxy.datasets.official import (
    load_fashion_products as load_fashion_products,
)
from keras_hierproxy.datasets.official import load_grocery_store as load_grocery_store
from keras_hierproxy.datasets.official import load_in_shop as load_in_shop
from keras_hierproxy.datasets.official import load_inaturalist as load_inaturalist
from keras_hierproxy.datasets.official import load_omniglot as load_omniglot
from keras_hierproxy.datasets.official import load_sop as load_sop
from keras_hierproxy.datasets.sources import from_csv as from_csv
from keras_hierproxy.datasets.sources import from_directory as from_directory

_LOADERS = {
    "glyphs": load_glyphs,
    "omniglot": load_omniglot,
    "letters": load_letters,
    "grocery_store": load_grocery_store,
    "fashion_products": load_fashion_products,
    "cub": load_cub,
    "cars": load_cars,
    "sop": load_sop,
    "in_shop": load_in_shop,
    "inaturalist": load_inaturalist,
}
NAMES = tuple(_LOADERS)


def load(name, root=None, **options):
    """Loads a data set by name.

    Args:
        name: `"glyphs"`, characters of many scripts rendered from matplotlib's
            fonts, no files needed (`load_glyphs`); `"omniglot"`, handwritten
            ones (`load_omniglot`); `"letters"`, both (`load_letters`); or one of
            photos: `"grocery_store"`, `"fashion_products"`, `"cub"`, `"cars"`, `"sop"`,
            `"in_shop"` or `"inaturalist"` (`load_cub` and so on).
        root: folder that holds the official files; for `"glyphs"` the one
            that caches the rendered images.
        **options: arguments of that function.

    Returns:
        `Splits`: `train`, `validation` and `test`.

    Raises:
        ValueError: an unknown name.

    Example:

    >>> data = khp.datasets.load("glyphs")
    >>> data.train.level_names
    ('character', 'base letter', 'script')
    """
    if name == "glyphs":
        return loader(name)(cache_dir=root, **options)
    return loader(name)(root, **options)


def loader(name):
    """The function that `load` calls.

    Args:
        name: str, as of `load`.

    Raises:
        ValueError: an unknown name.

    Example:

    >>> khp.datasets.loader("cub").__name__
    'load_cub'
    """
    if name in _LOADERS:
        return _LOADERS[name]
    raise ValueError(_unknown(name))


def _unknown(name):
    message = f"Unknown data set {name!r}. Known: {', '.join(NAMES)}."
    if pathlib.Path(name).is_dir():
        return message + " Read a folder of images with `datasets.from_directory`."
    if pathlib.Path(name).is_file():
        return message + " Read a CSV file with `datasets.from_csv`."
    return message + did_you_mean(name, NAMES)
