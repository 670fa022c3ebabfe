"""What augmentations that treat each image by itself share."""


class PerImage:
    """Has `draw` and `apply`, and by them is called on a batch."""

    def __call__(self, images, rng):
        """Augments a batch.

        Args:
            images: `uint8` array `(B, H, W, C)`, `C` 1 or 3, or, where the class
                says so, `ImageFiles`.
            rng: `numpy.random.Generator`.

        Returns:
            `uint8` array of the same shape.
        """
        return self.apply(images, self.draw(rng, len(images)))
