"""State: proxies, hierarchies, and what turns features into points."""

from keras_hierproxy.layers.fit_to_ink import FitToInk as FitToInk
from keras_hierproxy.layers.hier_proxies import HierProxies as HierProxies
from keras_hierproxy.layers.latent_hierarchy import LatentHierarchy as LatentHierarchy
from keras_hierproxy.layers.pooling import (
    GeneralizedMeanPooling2D as GeneralizedMeanPooling2D,
)
from keras_hierproxy.layers.project import ProjectToGeometry as ProjectToGeometry
from keras_hierproxy.layers.proxies import Proxies as Proxies
from keras_hierproxy.layers.sampled_proxies import SampledProxies as SampledProxies
