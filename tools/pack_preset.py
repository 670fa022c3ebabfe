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
    recipe = "hierproxy_cnn_glyphs"     # in zoo/recipes; or, where others trained it:
    source = "Converted from ..."       # Markdown, instead of a recipe
    limits = ["One letter an image, light on dark.", "..."]
    notes = "..."                       # Markdown; may be left out

    [[recall]]                          # one or more
    test_set = "glyphs: 366 unseen characters"  # lists show what precedes the colon
    arguments = "--data glyphs"         # of `hierproxy evaluate NAME`
    value = 0.888                       # of these weights; left out, the run's own
    seeds = { 0 = 0.888, 1 = 0.881, 2 = 0.884 }  # left out, where others trained it

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
OPTIONAL = {"recipe", "source", "notes", "images_per_second"}
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
    parser.add_argument(
        "--float16", action="store_true", help="store weights in half of the space"
    )
    options = parser.parse_args(argv)
    metrics = (options.run / "metrics.json").read_text(encoding="utf-8")
    own = json.loads(metrics).get("test", {}).get("recall@1")
    pack(
        runs.load_embedder(options.run),
        options.name,
        read_facts(options.facts, own),
        options.zoo,
        options.replace,
        "float16" if options.float16 else "float32",
    )


def pack(embedder, name, facts, zoo, replace, weights_dtype):
    """Writes a preset, its card and its entry.

    Args:
        embedder: `ImageEmbedder`.
        name: str, of the preset.
        facts: dict, of `read_facts`.
        zoo: path of the folder.
        replace: bool, whether a preset of that name may be there.
        weights_dtype: as of `ImageEmbedder.save_to_preset`.
    """
    target = zoo / "presets" / name
    if target.exists() and not replace:
        sys.exit(f"{target} exists. Pass --replace to pack it anew.")
    with tempfile.TemporaryDirectory() as folder:
        packed = pathlib.Path(folder, name)
        embedder.save_to_preset(packed, weights_dtype=weights_dtype)
        # As stored, which may be rounded.
        embedder = khp.models.ImageEmbedder.from_preset(packed)
        forget_the_date(packed / "metadata.json")
        images = reference_images(embedder)
        np.savez_compressed(
            packed / "reference.npz", images=images, embeddings=embedder.embed(images)
        )
        facts["checked"] = check_on_all_backends(packed)
        facts.setdefault("images_per_second", speed(embedder, images))
        facts |= facts_of(embedder)
        facts["size"] = sum(file.stat().st_size for file in packed.iterdir())
        fine_tuning = how_to_fine_tune(name, embedder)
        write(packed / "README.md", card(name, facts, fine_tuning))
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(packed, target)
    write_registry(zoo, name, facts)
    print(f"{target}: {facts['size'] / 1e6:.2f} MB")


def read_facts(path, own=None):
    """What the file says, with the means over seeds.

    Args:
        path: of the file.
        own: float, Recall@1 of the run, where the file does not say it.
    """
    facts = tomllib.loads(path.read_text(encoding="utf-8"))
    missing = [name for name in (*TEXTS, "limits", "recall") if not facts.get(name)]
    if ("recipe" in facts) == ("source" in facts):
        missing.append("either recipe or source")
    unknown = set(facts) - {*TEXTS, "limits", "recall"} - OPTIONAL
    if missing or unknown:
        sys.exit(f"{path}: missing {missing}, unknown {sorted(unknown)}")
    recall = []
    for entry in facts.pop("recall"):
        known = {name: entry[name] for name in ("test_set", "arguments")}
        known["value"] = round(entry.get("value", own), 4)
        if "recipe" in facts:
            by_seed = list(entry["seeds"].values())
            known["mean"] = round(statistics.fmean(by_seed), 4)
            known["least"] = round(min(by_seed), 4)
            known["most"] = round(max(by_seed), 4)
            known["seeds"] = [int(seed) for seed in entry["seeds"]]
        recall.append(known)
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


def card(name, facts, fine_tuning):
    """The model card, as Hugging Face and `hierproxy zoo show` display it."""
    evaluations = [
        f"hierproxy evaluate {name} {entry['arguments']}" for entry in facts["recall@1"]
    ]
    limits = [f"- {limit}" for limit in facts["limits"]]
    parameters = f"{facts['parameters']:,}"
    if facts["num_classes"] is not None:
        parameters += f", of these {facts['proxy_parameters']:,} of proxies"
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
| parameters | {parameters} |
| size | {facts["size"] / 1e6:.2f} MB |
| speed | {rate["value"]:,} images a second ({rate["machine"]}) |
| licence | {facts["licence"]} |

## How to use it

```python
import keras_hierproxy as khp

preset = "{name}"
embedder = khp.models.ImageEmbedder.from_preset(preset)
points = embedder.embed(images)  # (n, {facts["embedding_dim"]})
neighbors, similarities = khp.retrieval.knn(points, k=5, geometry=embedder.geometry)
```

{fine_tuning}

## Training

{_training(facts)}

## Recall@1

{_recall(facts)}

```bash
{chr(10).join(evaluations)}
```
{_notes(facts)}
## Limits

{chr(10).join(limits)}

## How it was checked

`reference.npz` holds eight images and their embeddings. Loaded on each backend, the
largest difference was: {checks}.
Packed with keras_hierproxy {facts["keras_hierproxy"]}.
"""


def how_to_fine_tune(name, embedder):
    if embedder.head is None:
        return (
            "Fine-tuned on classes of your own it keeps the backbone, and gets a new "
            "head and\n"
            f'new proxies: `from_preset("{name}", num_classes=100, embedding_dim=128)`.'
        )
    text = (
        "Fine-tuned on classes of your own it keeps backbone and head, and gets new "
        f'proxies:\n`from_preset("{name}", num_classes=100)`.'
    )
    if embedder.proxies is None:
        return text
    return (
        f"{text} The proxies of the training classes are in\nit, too; "
        f'`from_preset("{name}", num_classes=None)` leaves them out.'
    )


def _training(facts):
    trained = f"Trained on {facts['data']} ({facts['data_licence']})"
    if "source" in facts:
        return f"{trained} by others.\n{facts['source'].strip()}"
    recipe = facts["recipe"]
    command = f"hierproxy train --recipe {recipe}{_root(recipe)}"
    return f"{trained} by the recipe `{recipe}`:\n\n```bash\n{command}\n```"


def _recall(facts):
    """A table with a row for each test set."""
    if "source" in facts:
        lines = ["Of these weights.", "", "| test set | Recall@1 |", "|---|---|"]
    else:
        lines = [
            "Of these weights, and over all seeds of the same training: mean, least "
            "and most.",
            "",
            "| test set | these weights | all seeds | seeds |",
            "|---|---|---|---|",
        ]
    for entry in facts["recall@1"]:
        row = f"| {entry['test_set']} | {entry['value']:.3f} |"
        if "seeds" in entry:
            row += (
                f" {entry['mean']:.3f} ({entry['least']:.3f} to {entry['most']:.3f}) |"
                f" {', '.join(map(str, entry['seeds']))} |"
            )
        lines.append(row)
    return "\n".join(lines)


def _notes(facts):
    return f"\n{facts['notes'].strip()}\n" if "notes" in facts else ""


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
