"""The callbacks of a run: ordered, completed, and checked before it starts."""

import keras

from keras_hierproxy.callbacks import HierarchyUpdate, RetrievalEvaluation
from keras_hierproxy.callbacks.hierarchy_update import learned_hierarchies
from keras_hierproxy.layers import Proxies
from keras_hierproxy.losses import HierProxyLoss
from keras_hierproxy.losses.binding import terms_of
from keras_hierproxy.regularizers import SoftOrthogonality


def prepare_callbacks(model, callbacks, has_validation_data):
    """The callbacks to run, in order.

    `HierarchyUpdate` is added where a learned hierarchy is trained without one;
    what writes into `logs` goes before what reads them.

    Raises:
        ValueError: for a monitored metric that will not be there, or in the wrong
            mode, and for callbacks that cannot work with grouped learning rates.
    """
    callbacks = list(keras.tree.flatten(callbacks)) if callbacks is not None else []
    hierarchical = any(isinstance(t, HierProxyLoss) for t in terms_of(model.loss))
    if hierarchical and not _any(callbacks, HierarchyUpdate):
        if learned_hierarchies(model):
            callbacks.insert(0, HierarchyUpdate())
    writers = [LogOrthogonality()] if _orthogonal_layers(model) else []
    writers += [c for c in callbacks if isinstance(c, RetrievalEvaluation)]
    readers = [c for c in callbacks if not isinstance(c, RetrievalEvaluation)]
    _check_monitors(model, writers, readers, has_validation_data)
    _check_learning_rates(model, readers)
    return [*writers, *readers]


class LogOrthogonality(keras.callbacks.Callback):
    """Logs, after each epoch, how far proxies are above the orthogonality floor."""

    name = "orthogonality_excess"

    def on_epoch_end(self, epoch, logs=None):
        layers = _orthogonal_layers(self.model)
        for layer in layers:
            excess = layer.regularizer.excess(keras.ops.convert_to_tensor(layer.proxies))
            key = self.name if len(layers) == 1 else f"{self.name}_{layer.name}"
            logs[key] = float(keras.ops.convert_to_numpy(excess))


def _orthogonal_layers(model):
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, Proxies)
        and isinstance(layer.regularizer, SoftOrthogonality)
    ]


def _check_monitors(model, writers, readers, has_validation_data):
    retrieval = {name for w in writers for name in getattr(w, "names", ())}
    trained = {"loss", "learning_rate", LogOrthogonality.name}
    trained |= {tracker.name for tracker in model.loss_trackers}
    trained |= set(_compiled_metric_names(model))
    known = retrieval | trained
    if has_validation_data:
        known |= {f"val_{name}" for name in trained}
    # A callback of the user's own may log anything.
    can_tell = all(type(c).__module__.startswith(("keras.", "keras_")) for c in readers)
    for callback in readers:
        monitor = getattr(callback, "monitor", None)
        if monitor is None or (
            isinstance(callback, keras.callbacks.ModelCheckpoint)
            and not callback.save_best_only
        ):
            continue
        name = type(callback).__name__
        if monitor not in known and can_tell:
            raise ValueError(
                f"{name} monitors {monitor!r}, which this run will not log. It will "
                f"log: {', '.join(sorted(known))}. Retrieval metrics come from "
                "`khp.callbacks.RetrievalEvaluation(data.validation)`."
            )
        if monitor in retrieval and _mode_of(callback) != "max":
            raise ValueError(
                f"{name} must be told that more {monitor!r} is better: pass "
                f'`{name}(monitor="{monitor}", mode="max")`. Received: '
                f"mode={_mode_of(callback)!r}."
            )


def _mode_of(callback):
    mode = getattr(callback, "mode", None)
    if mode is not None:
        return mode
    # ModelCheckpoint keeps only the comparison.
    operation = getattr(callback, "monitor_op", None)
    return {"greater": "max", "less": "min"}.get(
        getattr(operation, "__name__", None), "auto"
    )


def _compiled_metric_names(model):
    for metric in model._compile_config.config.get("metrics") or []:
        yield metric if isinstance(metric, str) else getattr(metric, "name", metric)


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


def _any(callbacks, kind):
    return any(isinstance(callback, kind) for callback in callbacks)
