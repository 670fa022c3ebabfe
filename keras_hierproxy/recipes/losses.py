"""The losses that a recipe can name, with all of their arguments."""

from typing import Annotated, Literal

import pydantic

from keras_hierproxy import losses
from keras_hierproxy.recipes.table import Table

Positive = Annotated[float, pydantic.Field(gt=0)]
NotNegative = Annotated[float, pydantic.Field(ge=0)]
Count = Annotated[int, pydantic.Field(ge=1)]


class Loss(Table):
    """A term of the loss."""

    weight: Positive = 1.0

    def arguments(self):
        """Those of the class in `khp.losses`."""
        return self.model_dump(exclude={"name", "weight"}, exclude_none=True)


class ProxyAnchor(Loss):
    name: Literal["proxy_anchor"]
    margin: float
    alpha: Positive


class ProxyNCA(Loss):
    name: Literal["proxy_nca"]
    temperature: Positive


class NormalizedSoftmax(Loss):
    name: Literal["normalized_softmax"]
    temperature: Positive


class SoftTriple(Loss):
    name: Literal["soft_triple"]
    scale: Positive
    gamma: Positive
    margin: float


class CosFace(Loss):
    name: Literal["cosface"]
    margin: float
    scale: Positive


class ArcFace(Loss):
    """The margin is in degrees."""

    name: Literal["arcface"]
    margin: float
    scale: Positive


class SubCenterArcFace(Loss):
    """The margin is in degrees."""

    name: Literal["sub_center_arcface"]
    margin: float
    scale: Positive


class MultiSimilarity(Loss):
    name: Literal["multi_similarity"]
    alpha: Positive
    beta: Positive
    base: float


class SupCon(Loss):
    name: Literal["sup_con"]
    temperature: Positive


class Triplet(Loss):
    name: Literal["triplet"]
    margin: NotNegative


class HIER(Loss):
    name: Literal["hier"]
    margin: NotNegative
    temperature: Positive
    num_neighbors: Count
    triplets_per_anchor: Count
    max_triplets: Count | None = None


AnyLoss = Annotated[
    ProxyAnchor
    | ProxyNCA
    | NormalizedSoftmax
    | SoftTriple
    | CosFace
    | ArcFace
    | SubCenterArcFace
    | MultiSimilarity
    | SupCon
    | Triplet
    | HIER,
    pydantic.Field(discriminator="name"),
]

CLASSES = {
    "proxy_anchor": losses.ProxyAnchorLoss,
    "proxy_nca": losses.ProxyNCALoss,
    "normalized_softmax": losses.NormalizedSoftmaxLoss,
    "soft_triple": losses.SoftTripleLoss,
    "cosface": losses.CosFaceLoss,
    "arcface": losses.ArcFaceLoss,
    "sub_center_arcface": losses.SubCenterArcFaceLoss,
    "multi_similarity": losses.MultiSimilarityLoss,
    "sup_con": losses.SupConLoss,
    "triplet": losses.TripletLoss,
    "hier": losses.HIERLoss,
}
OVER_PROXIES = tuple(
    name for name, each in CLASSES.items() if issubclass(each, losses.ProxyLoss)
)
# Those that take several centers a class.
MULTI_CENTER = ("soft_triple", "sub_center_arcface")
