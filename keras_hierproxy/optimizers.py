"""One learning rate for each part of a metric-learning model."""

import collections
import functools
import re

import keras
import numpy as np

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

    Returns:
        A `keras.optimizers.MultiOptimizer`.

    Raises:
        ValueError: if the model is not built, or if variables of two groups share
            a path.

    Example:

    >>> optimizer = khp.optimizers.grouped(model, backbone=1e-3, head=1e-3)
    >>> model.compile(optimizer, loss=khp.losses.ProxyAnchorLoss())
    """
    rates = {"backbone": backbone, "head": head, "proxies": proxies, "latent": latent}
    frozen_steps = {"backbone": warmup_steps}
    # Not named after their groups: a `LayoutMap` for ".*proxies.*" would shard their
    # step counts.
    optimizers = {
        group: keras.optimizers.AdamW(
            _learning_rate(rate, schedule, frozen_steps.get(group, 0)),
            weight_decay=weight_decay,
            clipvalue=clipvalue,
            epsilon=epsilon,
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


def load_whatever_the_padding(optimizer):
    """Lets an optimizer load a state saved on another number of devices.

    Proxies are padded with rows of zeros until the devices divide them, and so
    are the optimizer's moments, which stay zero there.

    Args:
        optimizer: a Keras optimizer, or one made of others.
    """
    inner = getattr(optimizer, "inner_optimizer", None)
    for part in [inner] if inner else getattr(optimizer, "optimizers", []):
        load_whatever_the_padding(part)
    optimizer.load_own_variables = functools.partial(_load_padded, optimizer)


def _load_padded(optimizer, store):
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
    if str(config.get("module")).startswith("keras.src.backend.torch.optimizers."):
        config |= {"module": "keras.optimizers", "registered_name": None}
    return config


def renumber(config, saved, here):
    """A saved configuration with the paths that variables have in a loaded model.

    Layers that were made without a name, as some within layers of keras-cv, get
    another number with each model.

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
        self.rate = rate
        self.schedule = schedule
        self.frozen_steps = frozen_steps

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
    for layer in model._flatten_layers():
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
