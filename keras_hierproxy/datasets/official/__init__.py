"""Data sets of papers, each read from its official files."""

from keras_hierproxy.datasets.official.cars import load_cars as load_cars
from keras_hierproxy.datasets.official.cub import load_cub as load_cub
from keras_hierproxy.datasets.official.fashion_products import (
    load_fashion_products as load_fashion_products,
)
from keras_hierproxy.datasets.official.grocery_store import (
    load_grocery_store as load_grocery_store,
)
from keras_hierproxy.datasets.official.in_shop import load_in_shop as load_in_shop
from keras_hierproxy.datasets.official.inaturalist import (
    load_inaturalist as load_inaturalist,
)
from keras_hierproxy.datasets.official.omniglot import load_omniglot as load_omniglot
from keras_hierproxy.datasets.official.sop import load_sop as load_sop
