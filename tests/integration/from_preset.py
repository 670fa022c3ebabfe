"""Loads a preset on this backend; writes its embeddings of images, and its classes.

python -m tests.integration.from_preset PRESET IMAGES.npy FOUND.npz
"""

import sys

import numpy as np

import keras_hierproxy as khp

if __name__ == "__main__":
    preset, images, found = sys.argv[1:]
    embedder = khp.models.ImageEmbedder.from_preset(preset)
    np.savez(
        found,
        embeddings=embedder.embed(np.load(images)),
        num_classes=embedder.num_classes,
    )
