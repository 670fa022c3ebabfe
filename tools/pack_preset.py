"""Packs a trained run into `zoo/presets/`, with its model card and registry entry.

    python tools/pack_preset.py runs/hierproxy_cnn_glyphs-0 hierproxy_cnn_glyphs \\
        facts.toml

`facts.toml` says what the model itself does not:

    description = "Embeds letters and signs, 32 x 32 pixels, also of unseen scripts."
    method = "HPL"
    architecture = "Conv-4, 64 channels"
    data = "glyphs"                     # the name of what it was trained on
    data_licence = "characters of the fonts of matplotlib; free to use"  # more of it
    licence = "Apache-2.0"              # of the weights
    recipe = "hierproxy_cnn_glyphs"     # in zoo/recipes
    limits = ["One letter an image, light on dark.", "..."]

    [[recall]]                          # one or more
    test_set = "glyphs: 366 unseen characters"  # lists show what precedes the colon
    arguments = "--data glyphs"         # of `hierproxy evaluate NAME`
    value = 0.888                       # of these weights; left out, the run's own
    seeds = { 0 = 0.888, 1 = 0.881, 2 = 0.884 }

    [images_per_second]                 # left out, measured here and now
    value = 1200
    machine = "2 cores, TensorFlow"

Optimizer state stays behind. The packed preset is loaded on every backend, and must
give the same embeddings, before anything is written to the zoo.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from PIL import Image

import keras_hierproxy as khp
from keras_hierproxy import runs, shipped
from keras_hierproxy.files import write

BACKENDS = ("tensorflow", "jax", "torch")
TEXTS = ("description", "method", "architecture", "data", "data_licence", "licence")
TEXTS += ("recipe",)
TOLERANCE = 1e-4
# Loads a preset in a process of its own and prints how far its embeddings are off.
CHECK = """
import sys
import numpy as np
import keras_hierproxy as khp
reference = np.load(f"{sys.argv[1]}/reference.npz")
embedder = khp.models.ImageEmbedder.from_preset(sys.argv[1])
print(np.abs(embedder.embed(reference["images"]) - reference["embeddings"]).max())
"""


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path, help="folder with model.keras")
    parser.add_argument("name", help="of the preset: METHOD_BACKBONE_DATA")
    parser.add_argument("facts", type=pathlib.Path, help="TOML, see this file's head")
    parser.add_argument("--zoo", type=pathlib.Path, default=shipped.folder())
    parser.add_argument("--replace", action="store_true", help="an older one")
    options = parser.parse_args(argv)
    target = options.zoo / "presets" / options.name
    if target.exists() and not options.replace:
        sys.exit(f"{target} exists. Pass --replace to pack it anew.")

    facts = read_facts(options.facts, options.run)
    embedder = runs.load_embedder(options.run)
    with tempfile.TemporaryDirectory() as folder:
        packed = pathlib.Path(folder, options.name)
        embedder.save_to_preset(packed)
        forget_the_date(packed / "metadata.json")
        images = reference_images(embedder)
        np.savez_compressed(
            packed / "reference.npz", images=images, embeddings=embedder.embed(images)
        )
        facts["checked"] = check_on_all_backends(packed)
        facts.setdefault("images_per_second", speed(embedder, images))
        facts |= facts_of(embedder)
        facts["size"] = sum(file.stat().st_size for file in packed.iterdir())
        write(packed / "README.md", card(options.name, facts))
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(packed, target)
    write_registry(options.zoo, options.name, facts)
    print(f"{target}: {facts['size'] / 1e6:.2f} MB")


def read_facts(path, run):
    """What the file says, with the means over seeds."""
    facts = tomllib.loads(path.read_text(encoding="utf-8"))
    missing = [name for name in (*TEXTS, "limits", "recall") if not facts.get(name)]
    unknown = set(facts) - {*TEXTS, "limits", "recall", "images_per_second"}
    if missing or unknown:
        sys.exit(f"{path}: missing {missing}, unknown {sorted(unknown)}")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    own = metrics.get("test", {}).get("recall@1")
    recall = []
    for entry in facts.pop("recall"):
        by_seed = list(entry["seeds"].values())
        recall.append(
            {
                "test_set": entry["test_set"],
                "arguments": entry["arguments"],
                "value": round(entry.get("value", own), 4),
                "mean": round(statistics.fmean(by_seed), 4),
                "least": round(min(by_seed), 4),
                "most": round(max(by_seed), 4),
                "seeds": [int(seed) for seed in entry["seeds"]],
            }
        )
    return {**facts, "recall@1": recall}


def facts_of(embedder):
    """What the model itself says."""
    proxies = [layer for layer in (embedder.proxies, embedder.latent) if layer]
    return {
        "embedding_dim": embedder.embedding_dim,
        "geometry": str(embedder.geometry),
        "image_shape": list(embedder.input_shape[1:]),
        "num_classes": embedder.num_classes,
        "parameters": embedder.count_params(),
        "proxy_parameters": sum(layer.count_params() for layer in proxies),
        "keras_hierproxy": khp.__version__,
    }


def forget_the_date(path):
    """So that the same run packs to the same bytes."""
    metadata = json.loads(path.read_text(encoding="utf-8"))
    del metadata["date_saved"]
    write(path, json.dumps(metadata, indent=4))


def reference_images(embedder):
    """Eight images to compare embeddings on: glyphs, or patches of soft colours."""
    height, width, channels = embedder.input_shape[1:]
    glyphs = khp.datasets.load("glyphs").test.images
    if (height, width, channels) == glyphs.shape[1:]:
        return glyphs[:: len(glyphs) // 8][:8]
    rng = np.random.default_rng(0)
    size = (width or 96, height or 96)
    patches = [
        Image.fromarray(rng.integers(0, 256, (6, 6, 3), "uint8")).resize(size)
        for _ in range(8)
    ]
    mode = "L" if channels == 1 else "RGB"
    images = np.stack([np.asarray(patch.convert(mode)) for patch in patches])
    return images.reshape(8, size[1], size[0], channels)


def check_on_all_backends(folder):
    """Of each backend its version, and how far it is off; exits where it is too far."""
    checked = {}
    for backend in BACKENDS:
        printed = subprocess.run(
            [sys.executable, "-c", CHECK, str(folder)],
            env=os.environ | {"KERAS_BACKEND": backend},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        off = float(printed.split()[-1])
        if not off <= TOLERANCE:
            sys.exit(f"On {backend} embeddings differ by {off}; nothing was packed.")
        checked[backend] = {
            "version": importlib.metadata.version(backend),
            "largest_difference": float(f"{off:.1g}"),
        }
    return checked


def speed(embedder, images):
    """Images embedded in a second, the best of three rounds."""
    many = np.tile(images, (64, 1, 1, 1))
    embedder.embed(many[:256])
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        embedder.embed(many)
        seconds.append(time.perf_counter() - start)
    machine = f"{os.cpu_count()} cores, {keras.backend.backend()}"
    return {"value": round(len(many) / min(seconds)), "machine": machine}


def card(name, facts):
    """The model card, as Hugging Face and `hierproxy zoo show` display it."""
    rows = [
        f"| {entry['test_set']} | {entry['value']:.3f} | {entry['mean']:.3f} "
        f"({entry['least']:.3f} to {entry['most']:.3f}) | "
        f"{', '.join(map(str, entry['seeds']))} |"
        for entry in facts["recall@1"]
    ]
    evaluations = [
        f"hierproxy evaluate {name} {entry['arguments']}" for entry in facts["recall@1"]
    ]
    limits = [f"- {limit}" for limit in facts["limits"]]
    of_proxies = f"of these {facts['proxy_parameters']:,} of proxies"
    checks = ", ".join(
        f"{backend} {found['version']} ({found['largest_difference']})"
        for backend, found in facts["checked"].items()
    )
    height, width, channels = (side or "any" for side in facts["image_shape"])
    rate = facts["images_per_second"]
    return f"""---
library_name: keras-hub
license: {facts["licence"].lower()}
pipeline_tag: image-feature-extraction
tags:
- keras-hierproxy
- metric-learning
- image-retrieval
---

# {name}

{facts["description"]}

| | |
|---|---|
| method | {facts["method"]} |
| architecture | {facts["architecture"]} |
| images | {height} x {width} x {channels}, values from 0 to 255 |
| embeddings | {facts["embedding_dim"]} dimensions, `{facts["geometry"]}` |
| parameters | {facts["parameters"]:,}, {of_proxies} |
| size | {facts["size"] / 1e6:.2f} MB |
| speed | {rate["value"]:,} images a second ({rate["machine"]}) |
| licence | {facts["licence"]} |

## How to use it

```python
import keras_hierproxy as khp

embedder = khp.models.ImageEmbedder.from_preset("{name}")
points = embedder.embed(images)  # (n, {facts["embedding_dim"]})
neighbors, similarities = khp.retrieval.knn(points, k=5, geometry=embedder.geometry)
```

Fine-tuned on classes of your own it keeps backbone and head, and gets new proxies:
`from_preset("{name}", num_classes=100)`. The proxies of the training classes are in
it, too; `from_preset("{name}", num_classes=None)` leaves them out.

## Training

Trained on {facts["data"]} ({facts["data_licence"]}) by the recipe `{facts["recipe"]}`:

```bash
hierproxy train --recipe {facts["recipe"]}{_root(facts["recipe"])}
```

## Recall@1

Of these weights, and over all seeds of the same training: mean, least and most.

| test set | these weights | all seeds | seeds |
|---|---|---|---|
{chr(10).join(rows)}

```bash
{chr(10).join(evaluations)}
```

## Limits

{chr(10).join(limits)}

## How it was checked

`reference.npz` holds eight images and their embeddings. Loaded on each backend, the
largest difference was: {checks}.
Packed with keras_hierproxy {facts["keras_hierproxy"]}.
"""


def _root(recipe):
    """The option for the folder of the data, where they are not the library's own."""
    name = khp.zoo.load_recipe(recipe).data.name
    return "" if name == "glyphs" else " --root data/"


def write_registry(zoo, name, facts):
    """Puts an entry into the registry; the same entries give the same bytes."""
    path = zoo / shipped.REGISTRY
    presets = json.loads(path.read_text(encoding="utf-8"))["presets"]
    folder = zoo / "presets" / name
    files = {file.name: shipped.sha256(file) for file in folder.iterdir()}
    presets[name] = {**facts, "files": files}
    content = json.dumps({"presets": presets}, indent=2, sort_keys=True)
    write(path, content + "\n")


if __name__ == "__main__":
    main()
