"""A labelled set of images for retrieval, and its training, validation, test split."""

import dataclasses
import inspect
import warnings

import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.datasets.batches import Batches
from keras_hierproxy.labels import (
    DISTRACTOR,
    as_array,
    check_keys,
    check_labels,
    is_none,
    look_one_hot,
    usual_level_names,
)


def _signature_of_batches():
    """That of `Batches`, of a data set, which has the super-classes itself."""
    own, _, _, *options = inspect.signature(Batches.__init__).parameters.values()
    level = inspect.Parameter("level", own.kind, default=1)
    options = [level if each.name == "super_labels" else each for each in options]
    return inspect.Signature([own, *options])


_BATCHES = _signature_of_batches()


class RetrievalDataset:
    """Images with nested class labels.

    Classes form a hierarchy of `L` levels, the finest first: each class of a
    level lies in exactly one class of the next. Ids are made dense on each
    level (0, 1, 2, ... in the order of the ids given), so that the labels of any
    subset can be fed to a proxy layer of `num_classes` classes.

    Args:
        images: `uint8` array of shape `(N, H, W, C)`, an array of any other
            `N` items, or a `keras_hierproxy.datasets.ImageFiles`, which decodes
            the images that it is asked for.
        labels: integer array of shape `(N,)` or `(N, L)`, finest level first. -1 is
            a distractor, which no query matches and which is no query itself; on the
            finer levels alone, an image whose class is known on the coarser ones only.
        class_names: one list of names a level, indexed by the ids in `labels`.
            Defaults to these ids as strings.
        level_names: a name for each level. Defaults to
            `("class", "level1", "level2", ...)`, as in the names of the metrics.
        name: what to call the data set in messages and file names.
        paths: where each image comes from, a sequence of `N` strings.
        is_query: bool array `(N,)`: which images are queries; the others are the
            gallery that they retrieve from. By default `None`: each image is a
            query against all others.
        groups: int or str array `(N,)`: which images were taken together, as of one
            clip, camera or product shoot. In evaluation a query does not retrieve
            the images of its own group. -1 or an empty string is an image that is in
            no group. By default `None`: none is.
        columns: dict of what else is known of the images: a name to a sequence of `N`
            strings. Nothing here reads it; it goes along with the images. By default
            nothing.

    Attributes:
        labels: `int32` array `(N, L)`, finest level first, dense ids, -1 for none.
        taxonomy: `int32` array `(num_classes, L - 1)`: the class of each coarser
            level in which each of the finest classes lies, finest first.
        class_names: tuple of `L` tuples; `class_names[level][id]` is a name.
        groups: `int64` array `(N,)` of dense ids, -1 for none; or `None`.
        columns: dict of names to arrays `(N,)`.

    Raises:
        ValueError: labels that are not integers, negative, one-hot, not nested,
            or of another length than `images`; names that do not fit them; all
            images queries, or none, or no query with a class that is in the gallery.

    Example:

    >>> images = np.zeros((4, 8, 8, 1), "uint8")
    >>> labels = [[0, 0], [0, 0], [1, 0], [2, 1]]  # character, script
    >>> data = khp.datasets.RetrievalDataset(
    ...     images, labels, class_names=[["a", "b", "alpha"], ["Latin", "Greek"]]
    ... )
    >>> data.num_classes, data.taxonomy.tolist()
    (3, [[0], [0], [1]])
    >>> data.select_classes([2]).class_names
    (('alpha',), ('Greek',))
    """

    def __init__(
        self,
        images,
        labels,
        class_names=None,
        level_names=None,
        name="dataset",
        paths=None,
        is_query=None,
        groups=None,
        columns=None,
    ):
        self.images = images if hasattr(images, "subset") else np.asarray(images)
        if self.images.dtype == object:
            raise ValueError(
                "images must have one shape to be an array. Received images of "
                "different shapes: resize them, or use `from_directory`."
            )
        _check_level_names(level_names)
        labels = check_labels(
            labels,
            len(self.images),
            rows_are="images",
            level_names=level_names,
            class_names=class_names,
        )
        _check_length("paths", paths, len(labels), "images")
        _check_length("class_names", class_names, labels.shape[1], "label levels")
        _check_length("level_names", level_names, labels.shape[1], "label levels")
        if (labels[:, 0] == DISTRACTOR).all():
            raise ValueError(
                f"labels must hold a class. Received {len(labels)} rows that are -1 on "
                "the finest level, distractors all of them."
            )

        self.name = name
        self.paths = None if paths is None else tuple(str(path) for path in paths)
        self.is_query = _check_is_query(is_query, len(labels))
        self.groups = None if groups is None else _dense_groups(groups, len(labels))
        self.columns = {}
        for key, column in (columns or {}).items():
            self.columns[key] = np.asarray(column)
            _check_length(f"columns[{key!r}]", self.columns[key], len(labels), "images")
        self.level_names = tuple(level_names or usual_level_names(labels.shape[1]))
        ids, dense = zip(*map(_dense, labels.T), strict=True)
        self.labels = np.stack(dense, axis=1).astype("int32")
        self.class_names = tuple(
            _names_of(present, None if class_names is None else class_names[level])
            for level, present in enumerate(ids)
        )
        # Every class has a first image, and they nest.
        _, first = np.unique(self.labels[:, 0], return_index=True)
        self.taxonomy = self.labels[first[-self.num_classes :], 1:]
        if self.is_query is not None:
            self._check_that_queries_have_positives()

    def __len__(self):
        return len(self.labels)

    def __repr__(self):
        sizes = ", ".join(
            f"{level}: {len(names)}"
            for level, names in zip(self.level_names, self.class_names, strict=True)
        )
        return f"<RetrievalDataset {self.name!r}, {len(self)} images, {sizes}>"

    @property
    def num_classes(self):
        """Number of classes of the finest level."""
        return len(self.class_names[0])

    @property
    def num_levels(self):
        """Number of label levels."""
        return self.labels.shape[1]

    @property
    def gallery_size(self):
        """How many images each query retrieves from."""
        return len(self) - 1 if self.is_query is None else int((~self.is_query).sum())

    def retrieval_arguments(self, points):
        """What `khp.retrieval.evaluate` takes, as keyword arguments.

        Args:
            points: array `(N, ...)`, the embeddings of the images.

        Returns:
            Dictionary of `queries` and `query_labels`; where some images are the
            gallery of others, of `gallery` and `gallery_labels`; and, where there are
            groups, of `groups` (and `gallery_groups`).

        Example:

        >>> images, points = np.zeros((4, 8, 8, 1), "uint8"), np.eye(4)
        >>> data = khp.datasets.RetrievalDataset(
        ...     images, [0, 1, 0, 1], is_query=[True, True, False, False]
        ... )
        >>> results = khp.retrieval.evaluate(**data.retrieval_arguments(points), k=1)
        >>> results["recall@1"]
        0.5
        """
        labels = self.labels
        if look_one_hot(labels):
            # They have names, so they are not; other ids of the coarser levels say so.
            labels = labels + 2 * (np.arange(self.num_levels) > 0)
        of_queries = {"queries": points, "query_labels": labels}
        if self.groups is not None:
            of_queries["groups"] = self.groups
        if self.is_query is None:
            return of_queries
        of_gallery = {"gallery": points, "gallery_labels": labels}
        if self.groups is not None:
            of_gallery["gallery_groups"] = self.groups
        return {name: values[self.is_query] for name, values in of_queries.items()} | {
            name: values[~self.is_query] for name, values in of_gallery.items()
        }

    def subset(self, indices, name=None):
        """The images at `indices`, with ids made dense again.

        Args:
            indices: integer positions of shape `(n,)`, or a boolean mask of shape
                `(N,)`.
            name: name of the new data set. Defaults to this one's.

        Returns:
            A `RetrievalDataset`.

        Example:

        >>> images = np.zeros((4, 8, 8, 1), "uint8")
        >>> data = khp.datasets.RetrievalDataset(images, [0, 0, 1, 1])
        >>> data.subset([2, 3]).labels.ravel()
        array([0, 0], dtype=int32)
        """
        indices = self._rows_at(indices)
        if isinstance(self.images, np.ndarray):
            images = self.images[indices]
        else:
            images = self.images.subset(indices)
        return RetrievalDataset(
            images,
            self.labels[indices],
            class_names=self.class_names,
            level_names=self.level_names,
            name=name or self.name,
            paths=None if self.paths is None else [self.paths[i] for i in indices],
            is_query=None if self.is_query is None else self.is_query[indices],
            groups=None if self.groups is None else self.groups[indices],
            columns={key: column[indices] for key, column in self.columns.items()},
        )

    def _rows_at(self, indices):
        """Positions `(n,)`, of such that may count from the end, or of a mask."""
        indices = as_array(indices, "indices")
        if indices.dtype == bool and indices.shape == (len(self),):
            indices = np.flatnonzero(indices)
        inside = indices.dtype.kind in "iu" and indices.ndim == 1 and indices.size > 0
        if not inside or indices.min() < -len(self) or indices.max() >= len(self):
            raise ValueError(
                f"indices must be positions of some of the {len(self)} images, or a "
                f"bool mask of shape ({len(self)},). Received: {indices.dtype} of "
                f"shape {indices.shape}"
                + (f", from {indices.min()} to {indices.max()}." if inside else ".")
            )
        return np.arange(len(self))[indices]

    def select_classes(self, classes, level=0, name=None):
        """The images of some classes.

        Args:
            classes: ids of the classes to keep.
            level: the level that the ids are of. Defaults to 0, the finest.
            name: name of the new data set. Defaults to this one's.

        Returns:
            A `RetrievalDataset`.

        Example:

        >>> images = np.zeros((4, 8, 8, 1), "uint8")
        >>> labels = [[0, 0], [1, 0], [2, 1], [2, 1]]
        >>> data = khp.datasets.RetrievalDataset(images, labels)
        >>> len(data.select_classes([0], level=1))
        2
        """
        level = checks.integer("level", level, least=0, most=self.num_levels - 1)
        classes = as_array(classes, "classes").reshape(-1)
        known = len(self.class_names[level])
        of_ids = classes.dtype.kind in "iu" and len(classes) > 0
        if not of_ids or classes.min() < 0 or classes.max() >= known:
            raise ValueError(
                f"classes must be ids in [0, {known}) of level {level} "
                f"({self.level_names[level]!r}), at least one. "
                f"Received: {classes.tolist()}"
            )
        return self.subset(np.isin(self.labels[:, level], classes), name)

    def split(self, validation=0.15, test=0.15, seed=0, level=0):
        """Splits into training, validation and test sets of disjoint classes.

        Images without a class (label -1) are in none of them, which a warning says.

        Args:
            validation: share of the classes for validation, in `[0, 1)`.
            test: share of the classes for the test, in `[0, 1)`. A set of share 0
                is `None`; any other gets at least one class. Of a single one every
                neighbour is right, which a warning says.
            seed: seed of the draw: the same seed, the same classes.
            level: level whose classes are drawn. Defaults to 0, the finest; a
                coarser one also keeps the sets disjoint in that level.

        Returns:
            `Splits`.

        Example:

        >>> images = np.zeros((20, 8, 8, 1), "uint8")
        >>> data = khp.datasets.RetrievalDataset(images, np.arange(20) // 2)
        >>> splits = data.split(validation=0.2, test=0.2)
        >>> splits.train.num_classes, splits.test.num_classes
        (6, 2)
        """
        validation = checks.real("validation", validation)
        test = checks.real("test", test)
        level = checks.integer("level", level, least=0, most=self.num_levels - 1)
        seed = checks.integer("seed", seed, least=0)
        classes = np.random.default_rng(seed).permutation(len(self.class_names[level]))
        sizes = [
            max(1, round(share * len(classes))) if share else 0
            for share in (validation, test)
        ]
        if min(validation, test) < 0 or sum(sizes) >= len(classes):
            raise ValueError(
                f"validation={validation} and test={test} of {len(classes)} classes "
                f"({self.level_names[level]!r}) leave no training class. Pass shares "
                "in [0, 1) that leave at least one."
            )
        held_out = np.split(classes, np.cumsum(sizes))
        parts = {"validation": held_out[0], "test": held_out[1], "train": held_out[2]}
        splits = Splits(
            **{
                part: self.select_classes(ids, level, f"{self.name}/{part}")
                if len(ids)
                else None
                for part, ids in parts.items()
            }
        )
        num_unknown = int((self.labels[:, level] == DISTRACTOR).sum())
        if num_unknown:
            warnings.warn(
                f"{num_unknown:,} images of {self.name!r} have no class (label -1) and "
                "are in none of the sets.",
                stacklevel=2,
            )
        for aside in (splits.validation, splits.test):
            if aside is not None and aside.num_classes == 1:
                warnings.warn(
                    f"{aside.name!r} has a single class: every neighbour is right "
                    f"and Recall@K is 1. Received: validation={validation} and "
                    f"test={test} of {len(classes)} classes; pass larger shares.",
                    stacklevel=2,
                )
        return splits

    def batches(self, *args, **options):
        """Batches `(images, labels)` for `fit`, labels those of the finest level.

        What a batch holds depends on `seed`, the epoch and its place in the epoch,
        and on nothing else: see `keras_hierproxy.datasets.Batches`.

        Args:
            *args, **options: those of `Batches` after images and labels, in their
                order: `batch_size`, `sampler`, `images_per_class` and so on. In the
                place of `super_labels` stands `level`, the level of the hierarchical
                sampler's super-classes. Defaults to 1, the one above the finest.

        Returns:
            A `keras.utils.PyDataset` of images `(B, H, W, C)` and labels `int32`
            `(B,)`.

        Raises:
            ValueError: arguments that make no batch of these images.

        Example:

        >>> images = np.zeros((8, 4, 4, 1), "uint8")
        >>> data = khp.datasets.RetrievalDataset(images, [0, 0, 1, 1, 2, 2, 3, 3])
        >>> images, labels = data.batches(4, sampler="balanced")[0]
        """
        options = dict(_BATCHES.bind(self, *args, **options).arguments)
        del options["self"]
        level = options.pop("level", 1)
        num_unknown = int((self.labels[:, 0] == DISTRACTOR).sum())
        if num_unknown:
            raise ValueError(
                f"Batches are for training, and {num_unknown:,} of {len(self):,} "
                "images have no class to be trained on (label -1). Pass "
                "`data.subset(data.labels[:, 0] >= 0).batches(...)`."
            )
        if options.get("sampler") == "hierarchical":
            level = checks.integer("level", level)
            if level not in range(1, self.num_levels):
                raise ValueError(
                    "sampler='hierarchical' needs a level of super-classes, above the "
                    f"finest. Received: level={level!r} of {self.num_levels}, "
                    f"{', '.join(self.level_names)}."
                )
            options["super_labels"] = self.labels[:, level]
        return Batches(self.images, self.labels[:, 0], **options)

    batches.__signature__ = _BATCHES

    def _check_that_queries_have_positives(self):
        queries, gallery = self.labels[self.is_query], self.labels[~self.is_query]
        shared = [
            np.intersect1d(*pair)[-1:].tolist() not in ([], [DISTRACTOR])
            for pair in zip(queries.T, gallery.T, strict=True)
        ]
        if shared[0]:
            return
        names = [
            [self.class_names[0][i] for i in np.unique(labels[:, 0]) if i >= 0][:3]
            for labels in (queries, gallery)
        ]
        what = (
            f"No query of {self.name!r} has a class that is in the gallery. Received "
            f"queries of {names[0]} ..., and a gallery of {names[1]} ..."
        )
        if not any(shared):
            raise ValueError(
                f"{what} There is nothing to find: are queries and gallery those of "
                "one test set?"
            )
        warnings.warn(
            f"{what} They share super-classes alone: metrics of "
            f"{self.level_names[0]!r} will be NaN.",
            stacklevel=3,
        )


@dataclasses.dataclass(frozen=True)
class Splits:
    """Data sets of disjoint classes, so that the test is of classes never seen.

    In one data set the test classes are not new: Grocery Store's official splits
    divide the photos of each class. Its `train` and `validation` are disjoint.

    Attributes:
        train: the `RetrievalDataset` to train on.
        validation: the one to select models with, or `None`.
        test: the one to report, once, at the end, or `None`.

    Example:

    >>> splits = khp.datasets.load("glyphs")
    >>> splits.test.level_names
    ('character', 'base letter', 'script')
    """

    train: RetrievalDataset
    validation: RetrievalDataset | None
    test: RetrievalDataset | None


def _check_is_query(is_query, num_images):
    if is_query is None:
        return None
    is_query = np.asarray(is_query)
    if is_query.dtype != bool or is_query.shape != (num_images,):
        raise ValueError(
            f"is_query must be a bool array of shape ({num_images},), one entry an "
            f"image. Received: {is_query.dtype} of shape {is_query.shape}."
        )
    if is_query.all() or not is_query.any():
        raise ValueError(
            "is_query must leave some images for the gallery, and some queries. "
            f"Received: {is_query.sum()} queries of {num_images} images. For every "
            "image against all others pass None."
        )
    return is_query


def _check_level_names(names):
    if names is not None and not (
        isinstance(names, list | tuple) and all(isinstance(each, str) for each in names)
    ):
        raise ValueError(
            "level_names must be a list of strings, one for each label level. "
            f"Received: {names!r}."
        )


def _check_length(argument, values, expected, what):
    if values is None:
        return
    # A string has a length, too.
    if isinstance(values, str) or not hasattr(values, "__len__"):
        received = repr(values)
    elif len(values) != expected:
        received = len(values)
    else:
        return
    raise ValueError(
        f"{argument} must have one entry for each of the {expected} {what}. "
        f"Received {received}."
    )


def _dense(ids):
    """The ids that are there, and of each row its place among them, or -1."""
    present, dense = np.unique(ids, return_inverse=True)
    num_missing = int(present[0] == DISTRACTOR)
    return present[num_missing:], dense - num_missing


def _dense_groups(groups, num_images):
    groups = check_keys(groups, num_images, "groups")
    known = ~is_none(groups)
    dense = np.full(num_images, DISTRACTOR)
    dense[known] = np.unique(groups[known], return_inverse=True)[1]
    return dense


def _names_of(ids, names):
    if names is None:
        return tuple(str(i) for i in ids)
    if isinstance(names, str):
        raise ValueError(
            "class_names must hold a list of names for each level. Received the "
            f"string {names!r} for a level."
        )
    if ids[-1] >= len(names):
        raise ValueError(
            f"class_names must name every id. Received {len(names)} names, "
            f"and the id {ids[-1]}."
        )
    return tuple(names[i] for i in ids)
