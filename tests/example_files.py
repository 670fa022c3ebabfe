"""The data that examples in pages and docstrings read: as theirs, and small."""

import dataclasses

import numpy as np

import keras_hierproxy as khp
from keras_hierproxy.runs.sample_layouts import write_omniglot
from tests import official_layouts
from tests.photos import write_photos


def write_example_files(root):
    """Writes photos, a list of them, embeddings and official layouts into a folder.

    Returns:
        The folder, `root`.
    """
    names = [f"{group}/{i}" for group in ("fruit", "drinks") for i in range(6)]
    write_photos(root / "photos", names, images_per_class=2)
    lines = [f"photos/{name}/{i}.png,{name}" for name in names for i in (0, 1)]
    (root / "items.csv").write_text("\n".join(["path,product", *lines, ""]))
    photos = khp.datasets.from_directory(root / "photos", 8, split=None)
    identity = {"model": {}, "data": {"name": "photos"}}
    writer = khp.embeddings.EmbeddingWriter(
        root / "gallery", photos, khp.geometry.Sphere(), 24, identity=identity
    )
    with writer:
        writer.append(np.eye(24, dtype="float32"), range(24), {})
        writer.finish()
    for write in (
        official_layouts.write_cub,
        official_layouts.write_cars,
        official_layouts.write_sop,
        official_layouts.write_in_shop,
        official_layouts.write_inaturalist,
        official_layouts.write_grocery_store,
        official_layouts.write_fashion_products,
    ):
        write(root / "data")
    write_omniglot(root / "data")
    return root


def little_glyphs(load=khp.datasets.load):
    """Two images each of some of the glyphs, as `khp.datasets.load("glyphs")`."""
    splits = load("glyphs")
    little = {}
    for name in ("train", "validation", "test"):
        data = getattr(splits, name).select_classes(range(110))
        _, first = np.unique(data.labels[:, 0], return_index=True)
        little[name] = data.subset(np.sort([*first, *(first + 1)]))
    return dataclasses.replace(splits, **little)
