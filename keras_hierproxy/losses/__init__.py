"""One method, one file; the equation stands in the docstring."""

from keras_hierproxy.losses.arcface import ArcFaceLoss as ArcFaceLoss
from keras_hierproxy.losses.arcface import SubCenterArcFaceLoss as SubCenterArcFaceLoss
from keras_hierproxy.losses.base import BoundLoss as BoundLoss
from keras_hierproxy.losses.base import EmbeddingLoss as EmbeddingLoss
from keras_hierproxy.losses.base import ProxyLoss as ProxyLoss
from keras_hierproxy.losses.base import SumLoss as SumLoss
from keras_hierproxy.losses.cosface import CosFaceLoss as CosFaceLoss
from keras_hierproxy.losses.hier import HIERLoss as HIERLoss
from keras_hierproxy.losses.hier_proxy import HierProxyLoss as HierProxyLoss
from keras_hierproxy.losses.multi_similarity import (
    MultiSimilarityLoss as MultiSimilarityLoss,
)
from keras_hierproxy.losses.normalized_softmax import (
    NormalizedSoftmaxLoss as NormalizedSoftmaxLoss,
)
from keras_hierproxy.losses.proxy_anchor import ProxyAnchorLoss as ProxyAnchorLoss
from keras_hierproxy.losses.proxy_nca import ProxyNCALoss as ProxyNCALoss
from keras_hierproxy.losses.soft_triple import SoftTripleLoss as SoftTripleLoss
from keras_hierproxy.losses.sup_con import SupConLoss as SupConLoss
from keras_hierproxy.losses.triplet import TripletLoss as TripletLoss
