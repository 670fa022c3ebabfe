"""One learning rate for each part of a metric-learning model."""

import collections
import functools
import re

import keras
import numpy as np

from keras_hierproxy import checks
from keras_hierproxy.keras_internals import TORCH_OPTIMIZERS, all_layers

# Rates of `grouped` where nothing is pretrained: latent proxies as fast as others.
FROM_SCRATCH = {"backbone": 1e-3, "head": 1e-3, "latent": 1e-2}


def grouped(
    model,
    backbone=1e-5,
    head=1e-4,
    proxies=1e-2,
    latent=5e-4,
    weight_decay=1e-4,
    clipvalue=None,
    schedule=None,
    warmup_steps=0,
    epsilon=1e-7,
    gradient_accumulation_steps=None,
):
    """AdamW with a learning rate for each group of a model's variables.

    Proxies see few gradients, a class's only from its own samples, and need a
    rate orders of magnitude above that of a pretrained backbone. The groups are
    `model.backbone`, the layers of proxies, those of latent proxies, and the head:
    all else. A layer of your own joins a group by its attribute
    `optimizer_group`, such as `"proxies"`.

    Args:
        model: a built `EmbeddingModel`, `ImageEmbedder` or other `keras.Model`. A
            model without a `backbone` attribute has no backbone group.
        backbone: float, its learning rate; 1e-5 suits fine-tuning, 1e-3 training
            from scratch.
        head: float, the learning rate of pooling, embedding and other layers.
        proxies: float, the learning rate of `Proxies` and `HierProxies`.
        latent: float, the learning rate of latent proxies; 50 times the
            backbone's, as in the published runs of HIER. Training from scratch, they
            hardly move at this rate; 1e-2 did better.
        weight_decay: float, decoupled, of all groups; 1e-4.
        clipvalue: float, at which gradients are clipped elementwise, or None.
        schedule: a `keras.optimizers.schedules.LearningRateSchedule` of factors
            that multiply all rates, such as `CosineDecay(1.0, decay_steps=1000)`;
            None keeps them constant.
        warmup_steps: int, for how many steps the backbone's weights stand still
            while the rest catches up. (Its batch statistics still move.)
        epsilon: float, what Adam adds to the root of the second moment; 1e-7 as in
            Keras. In half precision HIER's authors take 1e-4.
        gradient_accumulation_steps: int, 2 or more: over how many batches gradients are
            averaged before a step, for more samples than memory holds. Losses still
            see a batch at a time: pairs and triplets are those within one. None, the
            default, takes a step a batch. Schedules and `warmup_steps` count batches.

    Returns:
        A `keras.optimizers.MultiOptimizer`.

    Raises:
        ValueError: if the model is not built, if variables of two groups share
            a path, or for rates and counts that are no such numbers.

    Example:

    >>> optimizer = khp.optimizers.grouped(model, backbone=1e-3, head=1e-3)
    >>> model.compile(optimizer, loss=khp.losses.ProxyAnchorLoss())
    """
    rates = {"backbone": backbone, "head": head, "proxies": proxies, "latent": latent}
    rates = {group: checks.real(group, rate, least=0) for group, rate in rates.items()}
    checks.integer("warmup_steps", warmup_steps, least=0)
    checks.real("epsilon", epsilon, above=0)
    for name, value in (("weight_decay", weight_decay), ("clipvalue", clipvalue)):
        if value is not None:
            checks.real(name, value, least=0)
    if gradient_accumulation_steps is not None:
        name = "gradient_accumulation_steps"
        checks.integer(name, gradient_accumulation_steps, least=2)
    if not (schedule is None or callable(schedule)):
        raise ValueError(
            "`schedule` must be a `keras.optimizers.schedules.LearningRateSchedule` of "
            "factors, such as `CosineDecay(1.0, decay_steps=1000)`, or None. Received: "
            f"{schedule!r}."
        )
    frozen_steps = {"backbone": warmup_steps}
    # Not named after their groups: a `LayoutMap` for ".*proxies.*" would shard their
    # step counts.
    optimizers = {
        group: keras.optimizers.AdamW(
            _learning_rate(rate, schedule, frozen_steps.get(group, 0)),
            weight_decay=weight_decay,
            clipvalue=clipvalue,
            epsilon=epsilon,
            gradient_accumulation_steps=gradient_accumulation_steps,
        )
        for group, rate in rates.items()
    }
    # Exact paths, not callables or patterns, survive saving.
    optimizer_map = {
        path: optimizers[group]
        for path, group in group_by_path(model).items()
        if group != "head"
    }
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(optimizers["head"], optimizer_map)
    )


def save_once_load_padded(optimizer):
    """Lets an optimizer save its state once, and load one of another padding.

    An optimizer made of others counts their variables as its own, and Keras would save
    them with it and with them. And proxies are padded with rows of zeros until the
    devices divide them, and so are the optimizer's moments, which stay zero there.

    Args:
        optimizer: a Keras optimizer, or one made of others.
    """
    for part in _parts(optimizer):
        save_once_load_padded(part)
    optimizer.save_own_variables = functools.partial(_save_own, optimizer)
    optimizer.load_own_variables = functools.partial(_load_own, optimizer)


def _parts(optimizer):
    inner = getattr(optimizer, "inner_optimizer", None)
    return [inner] if inner else getattr(optimizer, "optimizers", [])


def _own_variables(optimizer):
    of_parts = {id(v) for part in _parts(optimizer) for v in part.variables}
    return [v for v in optimizer.variables if id(v) not in of_parts]


def _save_own(optimizer, store):
    for i, variable in enumerate(_own_variables(optimizer)):
        store[str(i)] = keras.ops.convert_to_numpy(variable)


def _load_own(optimizer, store):
    own = _own_variables(optimizer)
    if len(store.keys()) == len(own):
        for i, variable in enumerate(own):
            variable.assign(_with_rows_of(variable, store[str(i)]))
        return
    # Saved when all of the parts' variables were saved here, too; or of other layers,
    # of which Keras warns.
    variables = {str(i): v for i, v in enumerate(optimizer.variables)}
    if set(store.keys()) == set(variables):
        store = {key: _with_rows_of(v, store[key]) for key, v in variables.items()}
    type(optimizer).load_own_variables(optimizer, store)


def _with_rows_of(variable, saved):
    """`saved` with as many rows as `variable`, where they differ by padding."""
    saved = np.asarray(saved)
    if saved.shape == variable.shape or saved.shape[1:] != variable.shape[1:]:
        return saved
    rows = variable.shape[0]
    if saved[rows:].any():
        return saved
    missing = [(0, max(rows - len(saved), 0))] + [(0, 0)] * (saved.ndim - 1)
    return np.pad(saved[:rows], missing)


def for_any_backend(config):
    """A saved configuration with each optimizer under its public name.

    Under PyTorch Keras names the subclass of that backend, which no other can use.
    """
    if isinstance(config, (list, tuple)):
        return [for_any_backend(each) for each in config]
    if not isinstance(config, dict):
        return config
    config = {key: for_any_backend(value) for key, value in config.items()}
    if str(config.get("module")).startswith(TORCH_OPTIMIZERS):
        config |= {"module": "keras.optimizers", "registered_name": None}
    return config


def renumber(config, saved, here):
    """A saved configuration with the paths that variables have in a loaded model.

    Layers that were made without a name, as some within layers of keras-cv, get
    another number with each model; those of a `keras.Sequential` lose its name.

    Args:
        config: of an optimizer.
        saved: paths of the saved model's variables.
        here: those of the loaded one's.
    """
    gone = _by_unnumbered([path for path in saved if path not in here])
    come = _by_unnumbered([path for path in here if path not in saved])
    new = {
        old: path
        for name in gone.keys() & come.keys()
        for old, path in zip(gone[name], come[name], strict=False)
    }
    # By their order, which is the same.
    left = [path for path in saved if path not in here and path not in new]
    right = [path for path in here if path not in saved and path not in new.values()]
    if len(left) == len(right):
        new |= dict(zip(left, right, strict=True))
    return _with_keys(config, new)


def _by_unnumbered(paths):
    groups = collections.defaultdict(list)
    for path in paths:
        groups[re.sub(r"_\d+(?=/)", "", path)].append(path)
    return groups


def _with_keys(config, new):
    if isinstance(config, (list, tuple)):
        return [_with_keys(each, new) for each in config]
    if not isinstance(config, dict):
        return config
    return {new.get(key, key): _with_keys(value, new) for key, value in config.items()}


def default_optimizer(model, pretrained):
    """What `compile(optimizer="auto")` means.

    `grouped` at its own rates for a pretrained backbone, else at `FROM_SCRATCH`.
    """
    return grouped(model) if pretrained else grouped(model, **FROM_SCRATCH)


@keras.saving.register_keras_serializable(package="keras_hierproxy")
class GroupRate(keras.optimizers.schedules.LearningRateSchedule):
    """A group's rate: 0 for its frozen steps, then `rate * schedule(step)`."""

    def __init__(self, rate, schedule=None, frozen_steps=0):
        self.rate = checks.real("rate", rate, least=0)
        self.schedule = schedule
        self.frozen_steps = checks.integer("frozen_steps", frozen_steps, least=0)

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        factor = 1.0 if self.schedule is None else self.schedule(step)
        moving = keras.ops.cast(step >= self.frozen_steps, "float32")
        return moving * self.rate * factor

    def get_config(self):
        return {
            "rate": self.rate,
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "frozen_steps": self.frozen_steps,
        }

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(**{**config, "schedule": schedule})


def _learning_rate(rate, schedule, frozen_steps):
    if schedule is None and not frozen_steps:
        return rate
    return GroupRate(rate, schedule, frozen_steps)


def group_by_path(model):
    """The group of each variable: `"backbone"`, `"proxies"`, `"latent"` or `"head"`.

    Args:
        model: as of `grouped`.

    Returns:
        dict from paths of variables.

    Raises:
        ValueError: as `grouped`.
    """
    if not model.built:
        raise ValueError(
            "`grouped` needs a built model, to know its variables. Call "
            f"{model.name!r} on a batch first."
        )
    group_of = {}
    backbone = getattr(model, "backbone", None)
    for weight in [] if backbone is None else backbone.weights:
        group_of[id(weight)] = "backbone"
    for layer in all_layers(model):
        if hasattr(layer, "optimizer_group"):
            group_of.update((id(w), layer.optimizer_group) for w in layer.weights)
    groups = {}
    for weight in model.weights:
        group = group_of.get(id(weight), "head")
        other = groups.setdefault(weight.path, group)
        if other != group:
            raise ValueError(
                f"Variables of the {other} and of the {group} share the path "
                f"{weight.path!r}. Give the layers names of their own."
            )
    return groups
