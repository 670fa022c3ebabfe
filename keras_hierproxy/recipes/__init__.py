"""Recipes: training runs that state every setting, in TOML files."""

from keras_hierproxy.recipes.build import batches as batches
from keras_hierproxy.recipes.build import build_embedder as build_embedder
from keras_hierproxy.recipes.build import callbacks as callbacks
from keras_hierproxy.recipes.files import find as find
from keras_hierproxy.recipes.files import from_dict as from_dict
from keras_hierproxy.recipes.files import load as load
from keras_hierproxy.recipes.files import names as names
from keras_hierproxy.recipes.schema import Recipe as Recipe
