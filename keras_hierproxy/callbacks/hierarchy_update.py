"""Learns the hierarchy of proxies while they are trained."""

import time
import warnings

import keras

from keras_hierproxy import checks
from keras_hierproxy.keras_internals import all_layers
from keras_hierproxy.layers import HierProxies


class HierarchyUpdate(keras.callbacks.Callback):
    """Refreshes the learned hierarchies of a model every few epochs.

    At the beginning of epoch `warmup_epochs` (counted from 0) and of every
    `every`-th epoch after it, each `khp.layers.HierProxies` that learns its
    hierarchy clusters its proxies anew (see `HierProxies.refresh`). Until then the
    coarse terms of `HierProxyLoss` are off. `EmbeddingModel.fit` and
    `ImageEmbedder.fit` add this callback where it is missing and needed. Unless
    `fit(verbose=0)`, it prints when it has refreshed one, and how long that took.

    Args:
        warmup_epochs: int, epochs before the first refresh: proxies that have not
            moved yet have no structure to find. 2 by default.
        every: int, epochs between refreshes; 2 by default.
        seed: int, of k-means; the epoch is added to it.

    Attributes:
        seconds: float, how long the refreshes before this epoch took, or None where
            there was none.

    Raises:
        ValueError: at the start of training, if the model has no hierarchy to
            learn.

    Example:

    >>> inputs = keras.Input((20,))
    >>> proxies = khp.layers.HierProxies(num_classes=12, level_sizes=(3,))
    >>> model = khp.models.EmbeddingModel(inputs, proxies(inputs))
    >>> model.compile("adamw", loss=khp.losses.HierProxyLoss())
    >>> x, y = np.random.normal(size=(48, 20)), np.arange(48) % 12
    >>> update = khp.callbacks.HierarchyUpdate(warmup_epochs=1)
    >>> history = model.fit(x, y, epochs=2, callbacks=[update], verbose=0)
    >>> proxies.tree()
    <Tree of 12 leaves under 4 inner nodes, depth 2>
    """

    def __init__(self, warmup_epochs=2, every=2, seed=0):
        super().__init__()
        self.warmup_epochs = checks.integer("warmup_epochs", warmup_epochs, least=0)
        self.every = checks.integer("every", every, least=1)
        self.seed = checks.integer("seed", seed, least=0)
        self.seconds = None

    def on_train_begin(self, logs=None):
        layers = learned_hierarchies(self.model)
        if not layers:
            raise ValueError(
                f"HierarchyUpdate found no hierarchy to learn in {self.model.name!r}. "
                "Build the model with `khp.layers.HierProxies` and no taxonomy, or "
                "leave the callback out."
            )
        ready = all(keras.ops.convert_to_numpy(layer.is_ready()) for layer in layers)
        if not ready and self.warmup_epochs >= self.params["epochs"]:
            warnings.warn(
                "The hierarchy is first learned before epoch "
                f"{self.warmup_epochs + 1}, and this run ends with epoch "
                f"{self.params['epochs']}: the coarse terms of `HierProxyLoss` stay "
                "off. Train for more epochs. `fit(initial_epoch=...)` goes on "
                "counting; `HierarchyUpdate(warmup_epochs=0)` begins at once.",
                stacklevel=2,
            )

    def on_epoch_begin(self, epoch, logs=None):
        self.seconds, since = None, epoch - self.warmup_epochs
        if since < 0 or since % self.every:
            return
        verbose = bool(self.params.get("verbose"))
        self.seconds = 0.0
        for layer in learned_hierarchies(self.model):
            start = time.monotonic()
            layer.refresh(seed=self.seed + epoch, verbose=verbose)
            seconds = time.monotonic() - start
            self.seconds += seconds
            if verbose:
                print(
                    f"Hierarchy of {layer.name!r} learned in {seconds:.1f} s, again "
                    f"every {self.every} epoch(s)."
                )


def learned_hierarchies(model):
    """The `HierProxies` layers of a model that learn their hierarchy."""
    return [
        layer
        for layer in all_layers(model)
        if isinstance(layer, HierProxies) and layer.learned
    ]
