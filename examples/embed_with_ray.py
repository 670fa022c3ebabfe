"""Embeds a folder of images on several workers, to Parquet, and makes a gallery of it.

    pip install 'keras-hierproxy[torch,ray,milvus]'
    python examples/embed_with_ray.py photos/ -o points/ [--milvus photos.db]

Ray starts a small cluster of its own on this machine, or joins the one that
RAY_ADDRESS names. With `--milvus` the gallery is copied into Milvus: to a file, or to
the cluster of an address such as http://localhost:19530#photos.
"""

import argparse
import pathlib

import numpy as np
import ray

import keras_hierproxy as khp


def embed(paths, model, output, workers=2):
    """Writes the paths and the points of images to Parquet files in a folder."""
    table = ray.data.from_items([{"path": str(path)} for path in paths])
    # The column of the images is left out; names stay.
    table = table.add_column("name", lambda batch: batch["path"])
    table = table.map_batches(
        khp.embeddings.BatchEmbedder,
        fn_constructor_args=(model, "path"),
        concurrency=workers,
        batch_size=64,
    )
    table.write_parquet(str(output))


def gallery_of(folder, model):
    """A gallery of the points in a folder of Parquet files, in the order of names."""
    table = ray.data.read_parquet(str(folder)).to_pandas().sort_values("name")
    gallery = khp.Gallery(model)
    names = [pathlib.Path(name).stem for name in table["name"]]
    gallery.add(points=np.stack(table["points"]).astype("float32"), labels=names)
    return gallery


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("--model", default="efficientnet_lite0_imagenet")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--milvus", metavar="URI")
    args = parser.parse_args()
    suffixes = {".jpg", ".jpeg", ".png", ".webp"}
    paths = sorted(p for p in args.images.rglob("*") if p.suffix.lower() in suffixes)
    if not paths:
        parser.error(f"{args.images} holds no images.")
    embed([path.resolve() for path in paths], args.model, args.output, args.workers)
    gallery = gallery_of(args.output, args.model)
    if args.milvus:
        gallery = gallery.copy_to("milvus", uri=args.milvus)
    hits = gallery.search([paths[0]], k=3)
    nearest = ", ".join(hits.labels[0])
    print(f"{len(gallery):,} images. Nearest to {paths[0].name}: {nearest}")


if __name__ == "__main__":
    main()
