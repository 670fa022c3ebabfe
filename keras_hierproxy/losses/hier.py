"""HIER: hierarchical regularization by latent proxies in hyperbolic space."""

import keras
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.layers.latent_hierarchy import LatentHierarchy
from keras_hierproxy.losses.base import BoundLoss
from keras_hierproxy.ops import (
    MASKED,
    LocalSeeds,
    lca_triplet_loss,
    mutual_neighbors,
    same_label,
    sample_triplets,
)


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class HIERLoss(BoundLoss):
    """Related samples should share a lower ancestor than unrelated ones.

    A regularizer beside a metric-learning loss: `ProxyAnchorLoss() + 0.5 * HIERLoss()`.
    The ancestors are the latent proxies of a `khp.layers.LatentHierarchy`. i and j
    are related if each is among the other's K most similar, by `exp(-d)`, plus 1
    where labels agree; k is neither i nor related to it. With lca the lowest common
    ancestor, drawn by straight-through Gumbel-softmax over the latent proxies p,

        lca_ij  ~ softmax_p( -max(d_ip, d_jp) / t )
        lca_ijk ~ softmax_p( -max(d_ip, d_jp, d_kp) / t )

        L_ijk = [d(i, lca_ij) - d(i, lca_ijk) + m]+
              + [d(j, lca_ij) - d(j, lca_ijk) + m]+
              + [d(k, lca_ijk) - d(k, lca_ij) + m]+

    averaged over the triplets drawn, for each i a number of j and k. To this term
    over the samples of the batch the same is added over the latent proxies
    themselves, which makes them a hierarchy of several levels.

    Kim et al., "HIER: Metric Learning Beyond Class Labels via Hierarchical
    Regularization", CVPR 2023 (arXiv 2212.14258). Defaults are those of the
    published runs; there the loss weighs 0.5 beside Proxy-Anchor.

    The published runs draw two images of a class into a batch:
    `batches(sampler="balanced", images_per_class=2)`. A term is 0 where no point has
    two related ones and one that is not, and the loss is 0 for a batch of one, in
    which nothing is related. What is drawn depends on the layer's seed and on how many
    training steps there were, not on validations.

    Args:
        margin: float, m, in units of distance.
        temperature: float, t. The smaller, the surer the nearest ancestor is drawn.
        num_neighbors: int, K, the point itself counted; all points if there are
            fewer.
        triplets_per_anchor: int, how often j and k are drawn for each i.
        max_triplets: int, how many triplets a term has at most: beyond, their
            anchors are drawn, too. The expectation stays, the variance grows, and
            time falls in proportion. None, the default, is the published algorithm.
        proxies: the `khp.layers.LatentHierarchy` to read; `compile` of an
            `EmbeddingModel` or `ImageEmbedder` finds it.
        name: str, the name in logs.

    Example:

    >>> layer = khp.layers.LatentHierarchy(num_proxies=64)
    >>> vectors = np.random.normal(size=(32, 16)).astype("float32")
    >>> points = layer(layer.geometry.project(vectors))
    >>> labels = np.random.randint(0, 10, size=32)
    >>> loss = khp.losses.HIERLoss(proxies=layer)(labels, points)
    """

    layer_class = LatentHierarchy
    layer_hint = (
        "End the model with `khp.layers.{layer}()(points)`; an `ImageEmbedder` gets "
        "one with `geometry=khp.geometry.PoincareBall()`."
    )

    def __init__(
        self,
        margin=0.1,
        temperature=0.1,
        num_neighbors=20,
        triplets_per_anchor=50,
        max_triplets: int | None = None,
        proxies=None,
        name="hier_loss",
    ):
        super().__init__(proxies, name)
        self.margin = checks.real("margin", margin, least=0)
        self.temperature = checks.real("temperature", temperature, above=0)
        self.num_neighbors = checks.integer("num_neighbors", num_neighbors, least=1)
        self.triplets_per_anchor = checks.integer(
            "triplets_per_anchor", triplets_per_anchor, least=1
        )
        if max_triplets is not None:
            max_triplets = checks.integer("max_triplets", max_triplets, least=1)
        self.max_triplets = max_triplets

    @property
    def required_geometry(self):
        return self._bound_layer().geometry

    def call(self, labels, embeddings, weights):
        layer = self._layer_of(embeddings)
        distance = layer.geometry.pairwise_distance
        latents = layer.points()
        seeds = LocalSeeds(layer.next_seed())

        within = distance(ops.stop_gradient(embeddings))
        similarity = ops.exp(-within) + ops.cast(same_label(labels), within.dtype)
        to_latents = distance(embeddings, latents)
        data_term = self._term(similarity, to_latents, weights, seeds)

        among_latents = distance(latents)
        similarity = ops.exp(-ops.stop_gradient(among_latents))
        once = ops.ones((layer.num_proxies,))
        latent_term = self._term(similarity, among_latents, once, seeds)

        several = ops.sum(ops.cast(weights > 0, "int32")) > 1
        return ops.where(several, data_term + latent_term, 0.0)

    def _term(self, similarity, distances, weights, seeds):
        """The mean loss of triplets of n points, from their similarities `(n, n)`
        and their distances to the latent proxies `(n, N)`."""
        present = weights > 0
        similarity = ops.where(present[None, :], similarity, MASKED)
        mutual = mutual_neighbors(similarity, self.num_neighbors)
        triplets, qualified = sample_triplets(
            mutual, present, self.triplets_per_anchor, seeds, self.max_triplets
        )
        # A sample of weight 2 stands for two, as anchor and as either partner.
        copies = ops.prod(ops.take(weights, triplets), axis=1)
        return lca_triplet_loss(
            distances,
            triplets,
            seeds,
            self.margin,
            self.temperature,
            ops.where(qualified, copies, 0.0),
        )

    def get_config(self):
        return {
            **super().get_config(),
            "margin": self.margin,
            "temperature": self.temperature,
            "num_neighbors": self.num_neighbors,
            "triplets_per_anchor": self.triplets_per_anchor,
            "max_triplets": self.max_triplets,
        }
