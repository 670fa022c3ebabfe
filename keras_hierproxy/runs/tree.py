"""The hierarchies in the model of a run: numbers and pictures.

What `write_trees` writes:

tree.json        the trees as plain arrays
dendrogram.png   classes under coarse or latent proxies; of a model with both
                 dendrogram_proxies.png and dendrogram_latent.png
disk.png         images and latent proxies in the Poincare disk
"""

import dataclasses
import json
import pathlib

import keras
import numpy as np

from keras_hierproxy import files, pictures
from keras_hierproxy.geometry import PoincareBall
from keras_hierproxy.labels import usual_level_names
from keras_hierproxy.layers import HierProxies
from keras_hierproxy.runs.evaluation import load_split
from keras_hierproxy.runs.record import read_record
from keras_hierproxy.runs.trained import load_embedder
from keras_hierproxy.trees import Tree


@dataclasses.dataclass
class LearnedTree:
    """A tree over classes or images, and what is known of its nodes.

    Attributes:
        title: str, what stands under what.
        tree: `khp.trees.Tree`.
        kinds: list of str, what each node is: `"class"` or `"image"`, and `"level1"`
            ..., `"latent"` or `"root"`.
        names: list of str, the class of each leaf.
        groups: dict, the arguments of the pictures that colour leaves.
        radii: float array `(n,)`, distances from the origin as shares of the ball's
            radius, or None.
    """

    title: str
    tree: Tree
    kinds: list
    names: list
    groups: dict
    radii: np.ndarray | None = None

    def arrays(self):
        """What stands in `tree.json`."""
        content = {
            "num_leaves": self.tree.num_leaves,
            "parents": self.tree.parents.tolist(),
            "depth": self.tree.depth.tolist(),
            "kinds": self.kinds,
            "ids": self.tree.ids.tolist(),
            "names": self.names,
        }
        if self.radii is not None:
            content["radii"] = self.radii.round(6).tolist()
        return content

    def levels(self):
        """A tuple for each depth, that of the root first: what its inner nodes are,
        how many there are, and how many leaves the smallest, the median and the
        largest have below themselves."""
        first = self.tree.num_leaves
        sizes, depth = self.tree.sizes()[first:], self.tree.depth[first:]
        for each in range(depth.max() + 1):
            here = sizes[depth == each]
            kind = self.kinds[first + np.flatnonzero(depth == each)[0]]
            fewest_to_most = here.min(), np.median(here), here.max()
            yield kind, len(here), *map(int, fewest_to_most)


def read_trees(run, split=None):
    """The trees that the model of a run holds.

    Args:
        run: path of its folder.
        split: str, whose images, and means of classes, stand under the latent proxies;
            by default `"train"`. Under coarse proxies stand the training classes.

    Returns:
        dict of `LearnedTree`: `"proxies"` of a model with `HierProxies` that has a
        hierarchy, over its classes; `"latent"` and `"images"` of one with a
        `LatentHierarchy`, over the means of classes and over images.

    Raises:
        ValueError: if that is no run, or its model has no hierarchy.
    """
    record = read_record(run)
    if record is None:
        raise ValueError(
            f"{run} is not the folder of a run. Name one, as `hierproxy train` writes."
        )
    recipe, source = record.recipe, (record.recipe.data, record.place)
    embedder = load_embedder(run)
    proxies, latent = _hierarchies(embedder)
    _check(run, recipe, split, proxies, latent)
    trees, data = {}, None
    if proxies is not None:
        data = load_split(*source, "train", embedder, run)
        trees["proxies"] = _over_classes(recipe.name, proxies, data)
    if latent is not None:
        if data is None or split not in (None, "train"):
            data = load_split(*source, split or "train", embedder, run)
        points = embedder.embed(data.images)
        trees["latent"] = _over_means(recipe.name, latent, points, data)
        trees["images"] = _over_images(recipe.name, latent, points, data)
    return trees


def write_trees(trees, folder):
    """Writes the trees of `read_trees` and draws them.

    Args:
        trees: dict of `LearnedTree`.
        folder: path.

    Returns:
        list of the paths of the files.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "tree.json"]
    content = {name: each.arrays() for name, each in trees.items()}
    files.write(paths[0], json.dumps(content))
    dendrograms = [name for name in ("proxies", "latent") if name in trees]
    for name in dendrograms:
        each = trees[name]
        suffix = f"_{name}" if len(dendrograms) > 1 else ""
        paths.append(folder / f"dendrogram{suffix}.png")
        pictures.plot_dendrogram(
            each.tree, each.names, paths[-1], title=each.title, **each.groups
        )
    if "images" in trees:
        each = trees["images"]
        paths.append(folder / "disk.png")
        pictures.plot_poincare_disk(
            each.tree, each.radii, paths[-1], title=each.title, **each.groups
        )
    return paths


def _hierarchies(embedder):
    """The layers of an embedder that hold a hierarchy, None where one does not."""
    proxies, latent = embedder.proxies, embedder.latent
    if not isinstance(proxies, HierProxies) or not proxies.is_ready():
        proxies = None
    if not isinstance(embedder.geometry, PoincareBall):
        latent = None
    return proxies, latent


def _check(run, recipe, split, proxies, latent):
    if proxies is None and latent is None:
        terms = " and ".join(term.name for term in recipe.loss)
        reason = f"it was trained by {recipe.name}, with the loss {terms} alone"
        if recipe.proxies.hierarchy is not None:
            warmup = recipe.proxies.hierarchy.warmup_epochs
            raise ValueError(
                f"The model in {run} has no hierarchy to draw: its best epoch came "
                f"before epoch {warmup + 1}, in which one is first learned. Go on with "
                f"it, in case a later one is better: hierproxy train --resume -o {run} "
                f"--epochs {2 * recipe.training.epochs}. Or keep the last epoch: "
                f"hierproxy train --recipe {run} --set 'training.selection=\"last\"'"
            )
        raise ValueError(
            f"The model in {run} has no hierarchy to draw: {reason}. --loss hpl, hier "
            "and hpl-hier learn one."
        )
    if latent is None and split not in (None, "train"):
        raise ValueError(
            f"--split {split} goes with latent proxies, which --loss hier and hpl-hier "
            f"learn. The model in {run} has coarse proxies of its training classes: "
            "leave --split out."
        )


def _over_classes(run, proxies, data):
    if data.num_classes != proxies.num_classes:
        raise ValueError(
            f"The data has changed since the run was trained: {data.name!r} had "
            f"{proxies.num_classes} classes and has {data.num_classes}."
        )
    tree = proxies.tree()
    # Classes are all as deep; -1 is a root that is no proxy.
    levels = tree.heights().astype(int)
    names = usual_level_names(1 + levels.max())
    kinds = [names[level] for level in levels]
    if tree.ids[tree.root] == -1:
        kinds[tree.root] = "root"
    return LearnedTree(
        f"{run} on {data.name}: classes under coarse proxies",
        tree,
        kinds,
        list(data.class_names[0]),
        _super_classes(data.taxonomy, data),
    )


def _over_means(run, latent, points, data):
    return _under_latent(
        f"{run} on {data.name}: means of classes under latent proxies",
        latent,
        _class_means(points, data.labels[:, 0], latent.geometry),
        "class",
        list(data.class_names[0]),
        _super_classes(data.taxonomy, data),
    )


def _over_images(run, latent, points, data):
    return _under_latent(
        f"{run} on {data.name}: images under latent proxies",
        latent,
        points,
        "image",
        [data.class_names[0][label] for label in data.labels[:, 0]],
        _super_classes(data.labels[:, 1:], data),
    )


def _under_latent(title, latent, points, kind, names, groups):
    tree = latent.tree(points)
    proxies = keras.ops.convert_to_numpy(latent.points())[tree.ids[len(points) :]]
    norms = np.linalg.norm(np.concatenate([points, proxies]), axis=1)
    radii = latent.geometry.curvature**0.5 * norms
    kinds = [kind] * len(points) + ["latent"] * len(proxies)
    return LearnedTree(title, tree, kinds, names, groups, radii)


def _super_classes(coarse, data):
    """What the pictures take of the coarsest level, `coarse` being `(n, levels)` of
    the leaves; nothing where labels have one level."""
    if data.num_levels < 2:
        return {}
    return {
        "groups": coarse[:, -1],
        "group_names": data.class_names[-1],
        "group_title": data.level_names[-1],
    }


def _class_means(points, labels, ball):
    """The Einstein midpoint of each class, `(C, d)`: on the hyperboloid, on which the
    ball's points stand as they do for searches, the mean moved back onto it."""
    _, rows = ball.search_vectors(points[:0], points)
    sums = np.zeros((labels.max() + 1, rows.shape[1]))
    np.add.at(sums, labels, rows)
    space, time = sums[:, :-1], sums[:, -1:]
    length = np.sqrt(time**2 - (space**2).sum(1, keepdims=True))
    return space / (ball.curvature**0.5 * (length + time))
