"""What trains of a network that begins frozen, on maps of what that part makes."""

import copy

import keras
import numpy as np

from keras_hierproxy.models.faster_on_cpu import faster_on_cpu
from keras_hierproxy.models.trunk import split_frozen

# Bytes up to which feature maps are kept, those of the readers for images.
_MOST_BYTES = 2**30


def computed_once(embedder, parts, batch_size, augments):
    """Takes the layers that stand still out of training, where nothing is lost by it.

    Args:
        embedder: `ImageEmbedder`.
        parts: list of `RetrievalDataset`, or None for parts that are not there.
        batch_size: int, of embedding.
        augments: bool, whether images are another each time.

    Returns:
        The embedder that is left to train, not compiled, which has its layers in common
        with `embedder`, and the parts with feature maps instead of images. None where
        the first layers train, where images are augmented, and where the maps would
        not fit into memory.
    """
    split = None if augments else split_frozen(embedder)
    if split is None:
        return None
    trunk, rest = split

    def maps(images):
        prepare = embedder.preprocessor
        images = images if prepare is None else prepare(images)
        images = keras.ops.convert_to_tensor(images, embedder.inputs[0].dtype)
        with faster_on_cpu(trunk):
            return np.asarray(trunk.predict_on_batch(images))

    one = maps(parts[0].images[:1])
    if one.nbytes * sum(len(part) for part in parts if part) > _MOST_BYTES:
        return None

    def mapped(part):
        result = copy.copy(part)
        starts = range(0, len(part), batch_size)
        batches = [maps(part.images[start : start + batch_size]) for start in starts]
        result.images = np.concatenate(batches)
        return result

    return rest, [part and mapped(part) for part in parts]
