"""Which images come together in a batch.

A sampler has `batch_size`, `num_batches` and `draw(rng)`, which returns the positions
of the images in each batch of an epoch, as a list of integer arrays. Hosts that pass
generators of the same state draw the same epoch.
"""

from keras_hierproxy.datasets.samplers.balanced import BalancedSampler
from keras_hierproxy.datasets.samplers.hierarchical import HierarchicalSampler
from keras_hierproxy.datasets.samplers.random import RandomSampler

__all__ = ["BalancedSampler", "HierarchicalSampler", "RandomSampler"]
