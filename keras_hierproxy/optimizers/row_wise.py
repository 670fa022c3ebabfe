"""What an optimizer has to say, handed to a layer that trains row by row."""

import keras
from keras import ops

from keras_hierproxy.keras_internals import all_layers, give_optimizer, optimizer_of
from keras_hierproxy.layers.sampled_proxies import MARKS, SampledProxies

# What a rule has of its optimizer; other settings change nothing, or are refused.
_SETTINGS = {
    "adam": ("beta_1", "beta_2", "epsilon", "weight_decay"),
    "sgd": ("momentum", "nesterov", "weight_decay"),
}
_REFUSED = ("use_ema", "gradient_accumulation_steps", "amsgrad")


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class RowWise(keras.optimizers.Optimizer):
    """Hands the gradient of drawn rows to `SampledProxies`, which moves them by a rule.

    Its step writes the gradient into the variable that it is the gradient of, and the
    rate and the number of the step behind it. The layer's next call applies them to its
    table. `compile` and `khp.optimizers.grouped` make it where they are needed.

    Args:
        rule: the optimizer whose rates, clipping and settings are meant: Adam, AdamW or
            SGD of `keras.optimizers`.
        name: str.

    Raises:
        ValueError: for other optimizers, and for averages of weights, accumulated
            gradients and AMSGrad, which need all rows in every step.

    Example:

    >>> optimizer = khp.optimizers.RowWise(keras.optimizers.SGD(0.1, momentum=0.9))
    >>> optimizer.kind, optimizer.settings["momentum"]
    ('sgd', 0.9)
    """

    def __init__(self, rule, name="row_wise"):
        kinds = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
        kind = next((k for k, c in kinds.items() if isinstance(rule, c)), None)
        if kind is None:
            raise ValueError(
                "The rows of `SampledProxies` move by Adam, AdamW or SGD of "
                f"`keras.optimizers`. Received: {rule!r}."
            )
        config = rule.get_config()
        for option in _REFUSED:
            if config.get(option):
                raise ValueError(
                    f"{option} needs all rows in every step, and `SampledProxies` "
                    f"draws others each time. Received: {option}={config[option]!r}."
                )
        rate = config["learning_rate"]
        if isinstance(rate, dict):
            rate = keras.optimizers.schedules.deserialize(rate)
        clips = ("clipnorm", "clipvalue", "global_clipnorm")
        super().__init__(rate, name=name, **{clip: config[clip] for clip in clips})
        # Not the rule itself: Keras would save its variables, which say nothing.
        self._rule = keras.saving.serialize_keras_object(rule)
        self.kind = kind
        self.settings = {name: config.get(name) for name in _SETTINGS[kind]}

    def update_step(self, gradient, variable, learning_rate):
        step = ops.cast(self.iterations + 1, variable.dtype)
        marks = ops.stack([ops.cast(learning_rate, variable.dtype), step])
        marks = ops.broadcast_to(marks[:, None], (MARKS, variable.shape[1]))
        self.assign(variable, ops.concatenate([gradient[:-MARKS], marks]))

    def get_config(self):
        return {"rule": self._rule, "name": self.name}

    @classmethod
    def from_config(cls, config):
        rule = keras.saving.deserialize_keras_object(config["rule"])
        return cls(**{**config, "rule": rule})


def with_row_wise(model, optimizer):
    """An optimizer that trains a model's `SampledProxies` row by row.

    Args:
        model: a built `keras.Model`.
        optimizer: of `keras.optimizers`, or its name.

    Returns:
        The same where the model has no such layer that trains, else one made of it and
        of a `RowWise` for each, by the rule that it has for the layer.

    Raises:
        ValueError: as `RowWise`; another rule than the layer's.
    """
    layers = [each for each in all_layers(model) if isinstance(each, SampledProxies)]
    layers = [each for each in layers if each.proxy_variables()[0].trainable]
    if not layers or optimizer is None:
        return optimizer
    optimizer = keras.optimizers.get(optimizer)
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        optimizer.inner_optimizer = with_row_wise(model, inner)
        return optimizer
    if not isinstance(optimizer, keras.optimizers.MultiOptimizer):
        by_path = keras.optimizers.OptimizerMap(optimizer)
        optimizer = keras.optimizers.MultiOptimizer(by_path)
    for layer in layers:
        variable = layer.proxy_variables()[0]
        row_wise = optimizer_of(optimizer, variable)
        if not isinstance(row_wise, RowWise):
            row_wise = RowWise(row_wise)
            give_optimizer(optimizer, variable, row_wise)
        layer.follow(row_wise)
    return optimizer
