"""Trains, saves and loads an embedder of images where TensorFlow cannot be imported.

python -m tests.integration.without_tensorflow FOLDER
"""

import sys
from importlib.machinery import PathFinder
from pathlib import Path


class WithoutTensorFlow(PathFinder):
    """Looks for modules as Python does, but for TensorFlow and its companions."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.startswith("tensorflow"):
            return None
        return super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutTensorFlow

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_hierproxy as khp  # noqa: E402
from tests.integration import runs  # noqa: E402


def main(folder):
    data = runs.images()
    embedder = runs.compiled(runs.image_embedder())
    history = runs.fit_images(embedder, 2).history
    assert np.isfinite(history["loss"]).all()
    assert "val_recall@1" in history
    points = embedder.embed(data.images)

    embedder.save(folder / "embedder.keras")
    loaded = keras.models.load_model(folder / "embedder.keras")
    np.testing.assert_allclose(loaded.embed(data.images), points, atol=1e-6)
    runs.fit_images(loaded, 3, initial_epoch=2)

    embedder.save_to_preset(folder / "preset")
    preset = khp.models.ImageEmbedder.from_preset(folder / "preset", num_classes=5)
    np.testing.assert_allclose(preset.embed(data.images), points, atol=1e-6)

    # Arrays of images and labels, too.
    few = data.labels[:, 0] < 5
    preset.compile(loss=khp.losses.ProxyAnchorLoss())
    preset.fit(data.images[few], data.labels[few, 0], epochs=1, verbose=0)
    assert "tensorflow" not in sys.modules


if __name__ == "__main__":
    main(Path(sys.argv[1]))
