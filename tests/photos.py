"""A folder of photos, so to speak."""

import numpy as np
from PIL import Image


def write_photos(root, classes, images_per_class=4, side=20):
    """Writes images of each class into a folder of its own, `root/name/0.png` ...

    Images of a class are noisy copies of a pattern.

    Args:
        root: path of a folder.
        classes: names of the classes; `"fruit/apple"` is one of two levels.
        images_per_class: int.
        side: int, pixels.
    """
    rng = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        pattern = rng.uniform(0, 255, (side, side, 3))
        for i in range(images_per_class):
            image = pattern + rng.normal(scale=60, size=pattern.shape)
            image = Image.fromarray(image.clip(0, 255).astype("uint8"))
            image.save(root / name / f"{i}.png")
    return root
