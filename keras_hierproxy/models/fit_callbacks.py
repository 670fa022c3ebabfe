"""The callbacks of a run: ordered, completed, and checked before it starts."""

import keras

from keras_hierproxy.callbacks import HierarchyUpdate, RetrievalEvaluation
from keras_hierproxy.callbacks.hierarchy_update import learned_hierarchies
from keras_hierproxy.keras_internals import all_layers
from keras_hierproxy.layers import Proxies
from keras_hierproxy.losses import HierProxyLoss
from keras_hierproxy.losses.binding import terms_of
from keras_hierproxy.models.backup import with_backups
from keras_hierproxy.models.saving import refuse_hdf5
from keras_hierproxy.regularizers import SoftOrthogonality


def prepare_callbacks(model, callbacks, has_validation_data):
    """The callbacks to run, in order.

    `HierarchyUpdate` is added where a learned hierarchy is trained without one;
    what writes into `logs` goes before what reads them, and backups behind what they
    hold the state of.

    Raises:
        ValueError: for a monitored metric that will not be there, or in the wrong
            mode, for callbacks that cannot work with grouped learning rates, and for a
        `ModelCheckpoint` whose file could not be loaded again.
    """
    callbacks = flat(callbacks) if callbacks is not None else []
    writers = [c for c in callbacks if isinstance(c, RetrievalEvaluation)]
    others = [c for c in callbacks if not isinstance(c, RetrievalEvaluation)]
    orthogonal = _orthogonal_layers(model)
    if orthogonal:
        writers.append(LogOrthogonality(orthogonal))
    _check_learning_rates(model, others)
    for callback in others:
        if isinstance(callback, keras.callbacks.ModelCheckpoint):
            if not callback.save_weights_only:
                refuse_hdf5(callback.filepath)
        _check_monitor(callback, others, writers, model, has_validation_data)
    if _needs_hierarchy_update(model, others):
        others.insert(0, HierarchyUpdate())
    return with_backups([*writers, *others])


def flat(callbacks):
    """Single callbacks out of nested lists, tuples and `CallbackList`s."""
    found = []
    for callback in keras.tree.flatten(callbacks):
        if isinstance(callback, keras.callbacks.CallbackList):
            found += flat(callback.callbacks)
        elif isinstance(callback, keras.callbacks.Callback):
            found.append(callback)
        else:
            raise ValueError(
                "`callbacks` must be `keras.callbacks.Callback`s, one or lists of "
                f"them. Received: {callback!r}."
            )
    return found


class LogOrthogonality(keras.callbacks.Callback):
    """Logs, after each epoch, how far proxies are above the orthogonality floor."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers
        self.names = ["orthogonality_excess"]
        if len(layers) > 1:
            self.names = [f"{self.names[0]}_{layer.name}" for layer in layers]

    def on_epoch_end(self, epoch, logs=None):
        for name, layer in zip(self.names, self.layers, strict=True):
            proxies = keras.ops.convert_to_tensor(layer.proxies)
            excess = layer.regularizer.excess(proxies)
            logs[name] = float(keras.ops.convert_to_numpy(excess))


def _orthogonal_layers(model):
    return [
        layer
        for layer in all_layers(model)
        if isinstance(layer, Proxies)
        and isinstance(layer.regularizer, SoftOrthogonality)
    ]


def _needs_hierarchy_update(model, callbacks):
    return (
        any(isinstance(term, HierProxyLoss) for term in terms_of(model.loss))
        and bool(learned_hierarchies(model))
        and not any(isinstance(callback, HierarchyUpdate) for callback in callbacks)
    )


def _check_monitor(callback, callbacks, writers, model, has_validation_data):
    monitors = hasattr(callback, "monitor") and hasattr(callback, "mode")
    if not monitors or not getattr(callback, "save_best_only", True):
        return
    monitor = callback.monitor
    name = type(callback).__name__
    modes = _best_modes(writers, model, has_validation_data)
    if monitor not in modes:
        if _may_log_more(model, callbacks):
            return
        raise ValueError(
            f"{name} monitors {monitor!r}, which this run will not log. It will "
            f"log: {', '.join(sorted(modes))}. Retrieval metrics come from "
            "`khp.callbacks.RetrievalEvaluation(data.validation)`."
        )
    if callback.mode != modes[monitor] and monitor not in ("loss", "val_loss"):
        raise ValueError(
            f"{name} cannot tell that the best {monitor!r} is the "
            f"{'largest' if modes[monitor] == 'max' else 'smallest'}: pass "
            f'`{name}(monitor="{monitor}", mode="{modes[monitor]}")`. Received: '
            f"mode={callback.mode!r}."
        )


def _best_modes(writers, model, has_validation_data):
    """What the run will log, to whether the best is the `"max"` or the `"min"`."""
    losses = ["loss", *(tracker.name for tracker in model.loss_trackers)]
    if has_validation_data:
        losses += [f"val_{name}" for name in losses]
    modes = dict.fromkeys(losses, "min")
    for writer in writers:
        best = "max" if isinstance(writer, RetrievalEvaluation) else "min"
        modes |= dict.fromkeys(writer.names, best)
    return modes


def _may_log_more(model, callbacks):
    # Callbacks of the user's own may log anything; the names of several outputs and
    # of compiled metrics are known to Keras when it has seen a batch.
    return (
        len(model.outputs) > 1
        or model.has_metrics
        or any(isinstance(c, keras.callbacks.LambdaCallback) for c in callbacks)
        or not all(
            type(c).__module__.startswith(("keras.", "keras_hierproxy."))
            for c in callbacks
        )
    )


def _check_learning_rates(model, callbacks):
    if not isinstance(model.optimizer, keras.optimizers.MultiOptimizer):
        return
    one_rate = (
        keras.callbacks.LearningRateScheduler,
        keras.callbacks.ReduceLROnPlateau,
    )
    for callback in callbacks:
        if isinstance(callback, one_rate):
            raise ValueError(
                f"{type(callback).__name__} sets one learning rate for all variables, "
                "but the optimizer has one for each group. Pass "
                "`khp.optimizers.grouped(model, schedule=...)`, whose factors multiply "
                "the rates of all groups."
            )
