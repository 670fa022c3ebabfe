"""Augmentations: what `batches(augment=...)` does to the images of a batch.

An augmentation is a callable `(images, rng) -> images` on a batch, whose result is a
function of its arguments alone. It may be called from several threads at once.

One that treats each image by itself may also have `draw(rng, count)`, which returns an
array with a row of random numbers for each of `count` images, and
`apply(images, draws)`: then what happens to an image does not depend on which others
its host reads. And one with `takes_files = True` is given a batch of `ImageFiles` as it
is, not yet decoded.
"""

from keras_hierproxy.datasets.augment.affine import RandomAffine as RandomAffine
from keras_hierproxy.datasets.augment.elastic import RandomElastic as RandomElastic
from keras_hierproxy.datasets.augment.keras_cv_crop import KerasCVCrop as KerasCVCrop
from keras_hierproxy.datasets.augment.keras_layers import KerasLayers as KerasLayers
from keras_hierproxy.datasets.augment.random_resized_crop import (
    RandomResizedCrop as RandomResizedCrop,
)
from keras_hierproxy.datasets.augment.stroke_width import (
    RandomStrokeWidth as RandomStrokeWidth,
)
