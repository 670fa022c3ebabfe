"""Latent proxies: the inner nodes of a hierarchy that nobody has labelled."""

import keras
import numpy as np
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.geometry import PoincareBall, check_geometry
from keras_hierproxy.layers.scoped_call import note_call
from keras_hierproxy.retrieval import knn
from keras_hierproxy.trees import Tree, pruned


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class LatentHierarchy(keras.layers.Layer):
    """Passes embeddings through and owns the latent proxies, for `HIERLoss`.

    Latent proxies stand for no class. Trained by `HIERLoss`, they become the common
    ancestors of embeddings and of each other: a hierarchy in hyperbolic space, the
    general near the origin. Input, output and proxies are float32 under any policy.

    Kim et al., "HIER: Metric Learning Beyond Class Labels via Hierarchical
    Regularization", CVPR 2023 (arXiv 2212.14258).

    Args:
        num_proxies: int, N; 512 as in the published runs.
        geometry: where the embeddings live, which must be points of it already;
            `khp.geometry.PoincareBall()` by default.
        seed: int, of the triplets and the ancestors that the loss draws; by default
            from Keras's global seed.
        name: str.

    Input shape: `(batch, d)`, points. Output shape: the same.

    Attributes:
        proxies: variable `(N, d)`, vectors that `geometry.project` maps to points.
            They start as `normal / sqrt(d) * clip_radius * 0.9`: most within the
            radius at which the ball clips.
        seed_generator: `keras.random.SeedGenerator`, saved with the layer.

    Example:

    >>> ball = khp.geometry.PoincareBall()
    >>> inputs = keras.Input((300,))
    >>> points = khp.layers.ProjectToGeometry(ball)(keras.layers.Dense(64)(inputs))
    >>> x = khp.layers.Proxies(num_classes=1000)(points)
    >>> model = khp.models.EmbeddingModel(inputs, khp.layers.LatentHierarchy()(x))
    >>> loss = khp.losses.ProxyAnchorLoss() + 0.5 * khp.losses.HIERLoss()
    >>> model.compile("adamw", loss=loss)
    """

    optimizer_group = "latent"

    def __init__(self, num_proxies=512, geometry=None, seed=None, name=None, **kwargs):
        kwargs["dtype"] = "float32"
        super().__init__(name=name, **kwargs)
        self.num_proxies = checks.integer("num_proxies", num_proxies, least=1)
        self.geometry = check_geometry(PoincareBall() if geometry is None else geometry)
        self.seed = None if seed is None else checks.integer("seed", seed, least=0)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._evaluating = False

    def build(self, input_shape):
        if len(input_shape) != 2:
            raise ValueError(
                "LatentHierarchy takes embeddings of shape (batch, dimension). "
                f"Received input shape {tuple(input_shape)}."
            )
        radius = getattr(self.geometry, "clip_radius", None) or 1.0
        stddev = 0.9 * radius / input_shape[-1] ** 0.5
        self.proxies = self.add_weight(
            name="latent",
            shape=(self.num_proxies, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(0.0, stddev, seed=self.seed),
        )

    def call(self, embeddings, training=None):
        # For the loss, which comes next in the same step.
        self._evaluating = training is False
        note_call(self, embeddings)
        return embeddings

    def compute_output_shape(self, input_shape):
        return input_shape

    def points(self):
        """The latent proxies as points of the geometry, a tensor `(N, d)`."""
        return self.geometry.project(ops.convert_to_tensor(self.proxies))

    def tree(self, points=None):
        """The hierarchy that the latent proxies form, by their norms and distances.

        The general lives near the origin. So the latent proxy nearest to the origin
        is the root, and the parent of any other is the one nearest to it of those
        that are nearer to the origin than itself.

        Args:
            points: float array `(n, d)` of points of the geometry: embeddings, or
                means of classes. Each is a leaf under the latent proxy nearest to it,
                its lowest ancestor; latent proxies without a leaf are left out.
                By default the leaves are the latent proxies that are no parents.

        Returns:
            `khp.trees.Tree`. Its `ids` are rows of `points`, for leaves, and of the
            latent proxies.

        Raises:
            ValueError: on the sphere, where all points are as far from the origin.

        Example:

        >>> layer = khp.layers.LatentHierarchy(num_proxies=64)
        >>> layer.build((None, 16))
        >>> vectors = np.random.normal(size=(100, 16)).astype("float32")
        >>> tree = layer.tree(layer.geometry.project(vectors))
        >>> tree.num_leaves, len(tree) - tree.num_leaves <= 64
        (100, True)
        """
        if not isinstance(self.geometry, PoincareBall):
            raise ValueError(
                "Latent proxies are a tree by their distance from the origin, which "
                f"is one and the same on {self.geometry}. Received: layer "
                f"{self.name!r}. Train with `geometry=khp.geometry.PoincareBall()`."
            )
        if not self.built:
            raise ValueError(
                f"Layer {self.name!r} has no latent proxies yet. Call it on embeddings "
                "first, or build the model."
            )
        latents = ops.convert_to_numpy(self.points())
        parents = _nearest_inner(latents, self.geometry)
        if points is None:
            inner = np.isin(np.arange(self.num_proxies), parents)
            kept, parents = pruned(parents, np.flatnonzero(~inner))
            return Tree(parents, int((~inner).sum()), kept)
        points = ops.convert_to_numpy(points)
        self.geometry.check_points(points, "points")
        lowest, _ = knn(points, latents, k=1, geometry=self.geometry)
        rows = np.arange(len(points))
        # Points first, and the numbers of latent proxies after them.
        parents = np.where(parents < 0, -1, parents + len(points))
        parents = np.concatenate([lowest[:, 0] + len(points), parents])
        kept, parents = pruned(parents, rows)
        ids = np.concatenate([rows, np.arange(self.num_proxies)])
        return Tree(parents, len(points), ids[kept])

    def proxy_variables(self):
        """The trainable proxies, a list of variables."""
        return [self.proxies]

    def next_seed(self):
        """The seed of this step's draws, an int tensor `(2,)`.

        Outside training it is given out without being used up: a validation
        between two steps must not change what the next one draws.
        """
        if self._evaluating:
            return ops.convert_to_tensor(self.seed_generator.state)
        return self.seed_generator.next()

    # Keras does not save the state of seed generators.

    def save_own_variables(self, store):
        store["proxies"] = ops.convert_to_numpy(self.proxies)
        store["seed_state"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        self.proxies.assign(store["proxies"])
        state = self.seed_generator.state
        # Backends differ in the type, not in the numbers.
        state.assign(np.asarray(store["seed_state"]).astype(state.dtype))

    def get_config(self):
        return {
            **super().get_config(),
            "num_proxies": self.num_proxies,
            "geometry": keras.saving.serialize_keras_object(self.geometry),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        geometry = keras.saving.deserialize_keras_object(config["geometry"])
        return cls(**{**config, "geometry": geometry})


def _nearest_inner(points, geometry):
    """For each of `(n, d)` points the nearest of those nearer to the origin, int
    `(n,)`; -1 for one of those nearest to it, the parent of the others."""
    norms = np.linalg.norm(points.astype("float64"), axis=1)
    order = np.argsort(norms, kind="stable")
    # Points that were clipped to one radius differ by float32's rounding alone.
    nearer = np.searchsorted(norms[order], norms * (1 - 1e-5))
    parents = np.full(len(points), -1)
    for row in order[1:]:
        inner = order[: max(nearer[row], 1)]
        distances = geometry.exact_distance(points[row], points[inner])
        parents[row] = inner[np.argmin(distances)]
    return parents
