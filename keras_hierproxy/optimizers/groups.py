"""One learning rate for each part of a metric-learning model."""

import keras

from keras_hierproxy import checks
from keras_hierproxy.keras_internals import all_layers
from keras_hierproxy.optimizers.group_rate import GroupRate
from keras_hierproxy.optimizers.row_wise import with_row_wise

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

    >>> embedder = khp.models.ImageEmbedder(khp.models.conv4(), num_classes=4)
    >>> optimizer = khp.optimizers.grouped(embedder, backbone=1e-3, head=1e-3)
    >>> embedder.compile(optimizer, loss=khp.losses.ProxyAnchorLoss())
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
    by_path = keras.optimizers.OptimizerMap(optimizers["head"], optimizer_map)
    return with_row_wise(model, keras.optimizers.MultiOptimizer(by_path))


def default_optimizer(model, pretrained):
    """What `compile(optimizer="auto")` means.

    `grouped` at its own rates for a pretrained backbone, else at `FROM_SCRATCH`.

    Args:
        model: as of `grouped`.
        pretrained: bool, whether the backbone is.

    Example:

    >>> embedder = khp.models.ImageEmbedder(khp.models.conv4(), num_classes=4)
    >>> optimizer = khp.optimizers.default_optimizer(embedder, pretrained=False)
    """
    return grouped(model) if pretrained else grouped(model, **FROM_SCRATCH)


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

    Example:

    >>> embedder = khp.models.ImageEmbedder(khp.models.conv4(), num_classes=4)
    >>> sorted(set(khp.optimizers.group_by_path(embedder).values()))
    ['backbone', 'head', 'proxies']
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
