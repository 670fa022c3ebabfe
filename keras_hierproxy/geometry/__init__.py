"""Where embeddings live.

A geometry turns raw vectors into points (`project`), measures them
(`pairwise_distance`) and prepares them for an inner-product index
(`search_vectors`). Models carry theirs, so that what was trained is what is
evaluated.
"""

from keras_hierproxy.geometry.check import check_geometry as check_geometry
from keras_hierproxy.geometry.poincare_ball import PoincareBall as PoincareBall
from keras_hierproxy.geometry.sphere import Sphere as Sphere
