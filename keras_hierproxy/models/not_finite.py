"""Says when a loss is NaN or infinite, and of what."""

import math
import warnings

import keras


class NotFinite(keras.callbacks.Callback):
    """Warns, once, as soon as the loss is not finite.

    Args:
        num_classes: int, how many classes have proxies, or None.
        most_classes: int, of how many a batch may be, or None.
        seen: bool, whether labels were checked on their way.
    """

    # Which Keras asks: on JAX steps then need not wait for it.
    async_safe = True

    def __init__(self, num_classes, most_classes, seen):
        super().__init__()
        self.num_classes = num_classes
        self.most_classes = most_classes
        self.seen = seen
        self.told = False

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        # The mean of the epoch so far: what was NaN once stays so.
        self._look(logs, f", by batch {batch + 1} of epoch {self.epoch + 1}")

    def on_test_end(self, logs=None):
        self._look(logs, " on the data of the evaluation")

    def _look(self, logs, where):
        loss = (logs or {}).get("loss", 0.0)
        if self.told or math.isfinite(loss):
            return
        self.told = True
        warnings.warn(
            f"The loss is {loss}{where}: {self._causes()}A weight that is NaN stays "
            "so; `keras.callbacks.TerminateOnNaN` ends such a run.",
            stacklevel=2,
        )

    def _causes(self):
        others = "the learning rate may be too high, or inputs are not finite. "
        if self.seen:
            return others
        causes = []
        if self.num_classes is not None:
            causes.append(f"labels are not all from 0 to {self.num_classes - 1}")
        if self.most_classes is not None:
            causes.append(
                "a batch has more classes than `SampledProxies` draws, "
                f"num_sampled={self.most_classes}"
            )
        if not causes:
            return others
        return (
            "in a pipeline of `tf.data`, whose labels are not checked on TensorFlow, "
            f"most likely {', or '.join(causes)}. Else {others}"
        )
