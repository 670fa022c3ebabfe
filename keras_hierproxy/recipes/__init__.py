"""Recipes: training runs that state every setting, in TOML files."""

from keras_hierproxy.recipes.build import batches as batches
from keras_hierproxy.recipes.build import build_embedder as build_embedder
from keras_hierproxy.recipes.build import callbacks as callbacks
from keras_hierproxy.recipes.build import compile_embedder as compile_embedder
from keras_hierproxy.recipes.checking import absolute as absolute
from keras_hierproxy.recipes.checking import as_dict as as_dict
from keras_hierproxy.recipes.checking import change as change
from keras_hierproxy.recipes.checking import from_dict as from_dict
from keras_hierproxy.recipes.older import is_older as is_older
from keras_hierproxy.recipes.older import of_run as of_run
from keras_hierproxy.recipes.places import beside_recipe as beside_recipe
from keras_hierproxy.recipes.schema import Recipe as Recipe
from keras_hierproxy.recipes.schema import Source as Source
from keras_hierproxy.recipes.short_forms import DEFAULTS as DEFAULTS
from keras_hierproxy.recipes.short_forms import LOSSES as LOSSES
from keras_hierproxy.recipes.short_forms import PHOTOS as PHOTOS
from keras_hierproxy.recipes.short_forms import from_options as from_options
from keras_hierproxy.recipes.toml_files import find as find
from keras_hierproxy.recipes.toml_files import load as load
from keras_hierproxy.recipes.toml_files import names as names

# For users; the others are between the rooms of this package.
__all__ = [
    "Recipe",
    "batches",
    "build_embedder",
    "callbacks",
    "change",
    "find",
    "from_dict",
    "from_options",
    "load",
    "names",
]
