"""A pyramid of proxies: classes, and coarser groups of them."""

import base64

import keras
import numpy as np
from keras import ops

from keras_hierproxy import checks
from keras_hierproxy.layers.clustering import (
    cluster_centroids,
    cluster_directions,
    match_clusters,
    unit_rows,
)
from keras_hierproxy.layers.large_tables import read_parts
from keras_hierproxy.layers.proxies import Proxies, _without_padding
from keras_hierproxy.trees import Tree, pruned

# Numbers of a taxonomy that stand one by one in a configuration.
_MOST_IN_LISTS = 2**16


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class HierProxies(Proxies):
    """Class proxies under levels of coarser proxies, for `HierProxyLoss`.

    Level 0 holds the class proxies, level l >= 1 has `level_sizes[l - 1]` coarse
    ones. Which class belongs to which coarse proxy is given as a taxonomy, or
    learned: `refresh`, called by `khp.callbacks.HierarchyUpdate`, clusters the
    normalised proxies of the level below by k-means. Until the first refresh a
    learned hierarchy is not `ready` and its coarse proxies are zero.

    It is a `Proxies`: any other loss over proxies reads its class level, and its
    coarse proxies then stand still.

    Yang et al., "Hierarchical Proxy-based Loss for Deep Metric Learning", WACV
    2022 (arXiv 2103.13538).

    Args:
        num_classes: int, C.
        level_sizes: tuple of ints, the numbers of coarse proxies from fine to
            coarse, none larger than the one before; or `"auto"`, one coarse level
            of `round(sqrt(C))`, which halves the classes' scale of log(C). Not
            with a taxonomy, which says its own.
        taxonomy: int array `(C, L - 1)`, row c the ancestors of class c from fine
            to coarse, dense ids from 0 at each level, nested (what agrees at a
            level agrees at all coarser ones). `data.train.taxonomy` has this form.
        centers_per_class: int, rows a class at level 0; coarse levels have one.
        initializer: Keras initializer of the class proxies, `"he_normal"` by
            default.
        regularizer: Keras regularizer of the class proxies.
        name: str.

    Input shape: `(batch, d)`. Output shape: the same.

    Attributes:
        proxies: variable `(C * centers_per_class, d)`, class-major.
        coarse_proxies: list of variables `(level_sizes[l - 1], d)`.
        taxonomy: int32 variable `(C, L - 1)`, given or learned.
        ready: variable, 1.0 once there is a hierarchy, else 0.0.

    Example:

    >>> layer = khp.layers.HierProxies(num_classes=100, level_sizes=(20, 5))
    >>> embeddings = layer(np.random.normal(size=(32, 16)).astype("float32"))
    >>> layer.refresh()
    >>> tuple(layer.taxonomy.shape)
    (100, 2)
    """

    def __init__(
        self,
        num_classes,
        level_sizes="auto",
        taxonomy=None,
        centers_per_class=1,
        initializer="he_normal",
        regularizer=None,
        name=None,
        **kwargs,
    ):
        super().__init__(
            num_classes,
            centers_per_class=centers_per_class,
            initializer=initializer,
            regularizer=regularizer,
            name=name,
            **kwargs,
        )
        self.learned = taxonomy is None
        self._given_taxonomy = None
        if self.learned:
            self.level_sizes = self._check_level_sizes(level_sizes)
        else:
            if level_sizes != "auto":
                raise ValueError(
                    "A taxonomy says how large its levels are: pass either "
                    f"`level_sizes` or `taxonomy`. Received: level_sizes={level_sizes}."
                )
            self._given_taxonomy = check_taxonomy(taxonomy, self.num_classes)
            self.level_sizes = tuple(int(n) + 1 for n in self._given_taxonomy.max(0))
        self.num_levels = 1 + len(self.level_sizes)

    def build(self, input_shape):
        super().build(input_shape)
        self.coarse_proxies = [
            self._add_proxies(
                f"level{level}_proxies",
                size,
                input_shape[-1],
                initializer=keras.initializers.Zeros(),
                regularized=False,
            )
            for level, size in enumerate(self.level_sizes, start=1)
        ]
        shape = (self.num_classes, len(self.level_sizes))
        self.taxonomy = replicated("taxonomy", shape, "int32")
        self.ready = replicated("ready", (), "float32")
        if self._given_taxonomy is not None:
            self._adopt_given_taxonomy()

    def is_ready(self):
        """Bool scalar tensor: whether there is a hierarchy yet."""
        return ops.convert_to_tensor(self.ready) > 0

    def proxy_variables(self):
        return [self.proxies, *self.coarse_proxies]

    def level_proxies(self, level):
        """The proxies `(level_sizes[level - 1], d)` of a coarse level, 1 upwards."""
        level = self._check_level(level)
        rows = self.level_sizes[level - 1]
        return _without_padding(self.coarse_proxies[level - 1], rows)

    def labels_at(self, level, labels):
        """Class ids to ids of their ancestors at a coarse level, int32 `(b,)`."""
        level = self._check_level(level)
        return ops.take(self.taxonomy, labels, axis=0)[:, level - 1]

    def parents(self, level):
        """Which proxy of `level` each proxy of the level below belongs to.

        Args:
            level: int, 1 for the parents of the classes.

        Returns:
            int32 NumPy array, `(C,)` for level 1 and `(level_sizes[level - 2],)`
            above.
        """
        level = self._check_level(level)
        taxonomy = ops.convert_to_numpy(self.taxonomy)
        if level == 1:
            return taxonomy[:, 0]
        parents = np.zeros(self.level_sizes[level - 2], dtype="int32")
        parents[taxonomy[:, level - 2]] = taxonomy[:, level - 1]
        return parents

    def tree(self):
        """The hierarchy, given or learned, as a tree over the classes.

        Leaves are the classes; above them stand the coarse proxies level by level,
        and one more node as the root where the coarsest level has several. Coarse
        proxies without a class are left out.

        Returns:
            `khp.trees.Tree`. Its `ids` are classes and, on each level, the rows of
            the coarse proxies; -1 for a root that is none.

        Raises:
            ValueError: if there is no hierarchy yet.

        Example:

        >>> taxonomy = [[0, 0], [0, 0], [1, 0], [2, 1]]
        >>> layer = khp.layers.HierProxies(num_classes=4, taxonomy=taxonomy)
        >>> layer.build((None, 16))
        >>> tree = layer.tree()
        >>> tree
        <Tree of 4 leaves under 6 inner nodes, depth 3>
        >>> tree.ids[tree.ancestors(2)].tolist()
        [1, 0, -1]
        """
        if not (self.built and ops.convert_to_numpy(self.is_ready())):
            raise ValueError(
                f"Layer {self.name!r} has no hierarchy yet. Train it with "
                "`khp.losses.HierProxyLoss()`, or call the layer on embeddings and "
                "then `layer.refresh()`."
            )
        sizes = (self.num_classes, *self.level_sizes)
        starts = np.cumsum(sizes)
        parents = [
            start + self.parents(level) for level, start in enumerate(starts[:-1], 1)
        ]
        tops = np.unique(ops.convert_to_numpy(self.taxonomy)[:, -1])
        root = starts[-1] if len(tops) > 1 else -1
        parents += [np.full(sizes[-1], root), [-1]]
        kept, parents = pruned(np.concatenate(parents), np.arange(self.num_classes))
        ids = np.concatenate([*map(np.arange, sizes), [-1]])
        return Tree(parents, self.num_classes, ids[kept])

    def refresh(self, seed=0, verbose=True):
        """Learns the hierarchy anew from the proxies as they are now.

        From fine to coarse, the normalised proxies of the level below are clustered
        by k-means. Up to 20,000 all take part in each pass, `n k d` multiplications
        with n proxies, k clusters and d dimensions, until nothing moves, from four
        starts; of more a sample, 25 passes of `min(n, 256 k) k d`, and the end `n k d`:
        some 10 s for a million classes in a thousand clusters.

        At the first refresh coarse proxies start at the centroids of their clusters. At
        later ones, each new cluster takes the name of the old one that it shares
        most members with (linear assignment, up to `k^3`), and its proxy, learned so
        far, stays; only a cluster that shares no member with its namesake starts at its
        centroid again. The optimizer's moments belong to the names and stay as they
        are.

        Args:
            seed: int, of k-means.
            verbose: bool, whether a bar shows how far it is, of more than 20,000.

        Raises:
            ValueError: if the taxonomy was given, or `seed` is no integer of 0 or more.
        """
        seed = checks.integer("seed", seed, least=0, most=2**32 - 1)
        verbose = checks.flag("verbose", verbose)
        if not self.learned:
            raise ValueError(
                f"Layer {self.name!r} was given its taxonomy; there is nothing to "
                "learn. Leave `taxonomy` out to learn one."
            )
        was_ready = bool(ops.convert_to_numpy(self.is_ready()))
        below = self._class_directions()
        ancestors = np.arange(self.num_classes)
        columns = []
        for level, size in enumerate(self.level_sizes, start=1):
            clusters = cluster_directions(below, size, seed, verbose)
            restart = np.ones(size, dtype=bool)
            if was_ready:
                clusters, restart = match_clusters(clusters, self.parents(level), size)
            centroids = cluster_centroids(below, clusters, size)
            below = self._restart_level(level, centroids, restart)
            ancestors = clusters[ancestors]
            columns.append(ancestors)
        self.taxonomy.assign(np.stack(columns, axis=1))
        self.ready.assign(1.0)

    def _check_level_sizes(self, level_sizes):
        if isinstance(level_sizes, str) and level_sizes == "auto":
            return (max(1, round(self.num_classes**0.5)),)
        if not isinstance(level_sizes, (list, tuple)) or not level_sizes:
            raise ValueError(
                "`level_sizes` must be 'auto' or a tuple with one size for each coarse "
                f"level, such as (50,). Received: level_sizes={level_sizes!r}."
            )
        sizes = tuple(
            checks.integer("level_sizes", size, least=1) for size in level_sizes
        )
        for finer, coarser in zip((self.num_classes, *sizes), sizes, strict=False):
            if coarser > finer:
                raise ValueError(
                    "A coarser level cannot have more proxies than the one below it. "
                    f"Received: num_classes={self.num_classes}, level_sizes={sizes}."
                )
        return sizes

    def _check_level(self, level):
        return checks.integer("level", level, least=1, most=len(self.level_sizes))

    def _adopt_given_taxonomy(self):
        self.taxonomy.assign(self._given_taxonomy)
        classes = self._class_directions()
        for level, size in enumerate(self.level_sizes, start=1):
            members = self._given_taxonomy[:, level - 1]
            centroids = cluster_centroids(classes, members, size)
            self._restart_level(level, centroids, np.ones(size, dtype=bool))
        self.ready.assign(1.0)

    def _class_directions(self):
        """One direction a class, `(C, d)`: the mean of its centers' directions."""
        proxies, centers = self.proxies, self.centers_per_class
        directions = np.empty((self.num_classes * centers, proxies.shape[1]), "float32")
        parts = read_parts(proxies, len(directions), self.moves_by_rows)
        for part, rows in parts:
            directions[part] = unit_rows(rows)
        directions = directions.reshape(self.num_classes, centers, -1)
        # The mean of one is itself, and would be a copy.
        return directions[:, 0] if centers == 1 else directions.mean(1)

    def _restart_level(self, level, centroids, restart):
        """Puts the proxies marked in `restart` at their centroids; returns all."""
        variable = self.coarse_proxies[level - 1]
        values = ops.convert_to_numpy(variable).copy()
        values[: len(centroids)][restart] = centroids[restart]
        variable.assign(values)
        return values[: len(centroids)]

    def _rows_by_name(self):
        named = super()._rows_by_name()
        for variable, size in zip(self.coarse_proxies, self.level_sizes, strict=True):
            named[variable.name] = (variable, size)
        return {**named, "taxonomy": (self.taxonomy, self.num_classes)}

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["ready"] = ops.convert_to_numpy(self.ready)

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.ready.assign(np.asarray(store["ready"]))

    def get_config(self):
        levels = {"level_sizes": self.level_sizes}
        if self._given_taxonomy is not None:
            # Also a variable; but a layer made from its config alone, as a clone or
            # a preset without weights is, has no other.
            levels = {"taxonomy": _packed(self._given_taxonomy)}
        return {**super().get_config(), **levels}

    @classmethod
    def from_config(cls, config):
        if config.get("taxonomy") is None:
            return super().from_config(config)
        # Lists of a million Keras would keep, at 200 bytes a class.
        taxonomy = _unpacked(config["taxonomy"], config["num_classes"])
        return super().from_config({**config, "taxonomy": taxonomy})


def _packed(taxonomy):
    """A taxonomy as a configuration holds it: lists, or of very many classes base64."""
    if taxonomy.size <= _MOST_IN_LISTS:
        return taxonomy.tolist()
    return base64.b64encode(taxonomy.astype("<i4").tobytes()).decode()


def _unpacked(taxonomy, num_classes):
    if not isinstance(taxonomy, str):
        return np.asarray(taxonomy)
    try:
        numbers = np.frombuffer(base64.b64decode(taxonomy, validate=True), "<i4")
        return numbers.reshape(num_classes, -1)
    except ValueError as error:
        raise ValueError(
            "The configuration's taxonomy is not what was saved: it must be base64 of "
            f"4 bytes for each of {num_classes} classes and each level. {error}."
        ) from error


def replicated(name, shape, dtype="float32", trainable=False):
    """A variable of zeros that every device holds in full, whatever a `LayoutMap`
    says of paths with "proxies" in them."""
    distribution = keras.distribution.distribution()
    layout = None
    if distribution is not None:
        layout = keras.distribution.TensorLayout(
            [None] * len(shape), distribution.device_mesh
        )
    return keras.Variable(
        "zeros", shape, dtype, trainable, autocast=False, name=name, layout=layout
    )


def check_taxonomy(taxonomy, num_classes):
    """Returns a taxonomy as an int32 array `(C, L - 1)`, or raises a `ValueError`."""
    array = np.asarray(taxonomy)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer) or array.size == 0:
        raise ValueError(
            "`taxonomy` must be an int array (num_classes, coarse levels), row c the "
            "ancestors of class c from fine to coarse. Received: shape "
            f"{array.shape}, dtype {array.dtype}."
        )
    if len(array) != num_classes:
        raise ValueError(
            "`taxonomy` needs one row a class. Received: "
            f"{len(array)} rows for num_classes={num_classes}."
        )
    for level, column in enumerate(array.T, start=1):
        if not np.array_equal(np.unique(column), np.arange(column.max() + 1)):
            raise ValueError(
                "The ids of a taxonomy's level must be dense, 0 to n - 1; level "
                f"{level} has {len(np.unique(column))} distinct ids from "
                f"{column.min()} to {column.max()}. "
                "`np.unique(ids, return_inverse=True)[1]` makes them so."
            )
    for level, (fine, coarse) in enumerate(
        zip(array.T[:-1], array.T[1:], strict=True), start=1
    ):
        parents = np.unique(np.stack([fine, coarse], axis=1), axis=0)
        ids, counts = np.unique(parents[:, 0], return_counts=True)
        if (counts > 1).any():
            split = ids[counts > 1][0]
            raise ValueError(
                f"The taxonomy is not nested: group {split} of level {level} has "
                f"{counts[counts > 1][0]} parents at level {level + 1} "
                f"({parents[parents[:, 0] == split, 1].tolist()}). Each group must lie "
                "within one coarser group."
            )
    return array.astype("int32")
