"""Gives the losses of a model the proxy layers that they read."""

import copy

from keras_hierproxy.losses.base import EmbeddingLoss, ProxyLoss, SumLoss


def bind(loss, model):
    """A loss as `compile` got it, with each proxy loss bound to its layer.

    Args:
        loss: a loss of this package, or a list of them for one output, which
            becomes their sum; dicts and lists for several outputs are walked.
            Anything else is left alone.
        model: the model being compiled.

    Returns:
        The loss to train with. A loss that was unbound is bound itself; one that
        `compile` had bound to another model's layer is copied, so that both
        models keep theirs.

    Raises:
        ValueError: if no layer, or several, could be meant, or if a loss was given
            a layer that is not in the model.
    """
    if isinstance(loss, ProxyLoss):
        return _bind_to_layer(loss, model)
    if isinstance(loss, SumLoss):
        return loss.with_terms([bind(term, model) for term in loss.terms])
    if isinstance(loss, dict):
        return {name: bind(value, model) for name, value in loss.items()}
    if isinstance(loss, (list, tuple)):
        if len(model.outputs) == 1:
            return bind(SumLoss(list(loss)), model)
        return [bind(value, model) for value in loss]
    return loss


def terms_of(loss):
    """The single losses in what `bind` returned, a flat list."""
    if isinstance(loss, SumLoss):
        return loss.terms
    if isinstance(loss, EmbeddingLoss):
        return [loss]
    if isinstance(loss, dict):
        loss = list(loss.values())
    if isinstance(loss, (list, tuple)):
        return [term for value in loss for term in terms_of(value)]
    return []


def _bind_to_layer(loss, model):
    layers = list(model._flatten_layers())
    if loss.proxies is not None and not loss.bound_by_compile:
        if not any(layer is loss.proxies for layer in layers):
            raise ValueError(
                f"{type(loss).__name__} reads layer {loss.proxies.name!r}, which is not "
                f"part of model {model.name!r} and would not be trained. Call the layer "
                "in the model, or leave `proxies` out to use the model's own."
            )
        loss.check_layer(loss.proxies)
        return loss
    layer = _only_candidate(loss, model, layers)
    loss.check_layer(layer)
    if loss.proxies is not None and loss.proxies is not layer:
        loss = copy.copy(loss)
    loss.proxies, loss.bound_by_compile = layer, True
    return loss


def _only_candidate(loss, model, layers):
    kind = loss.layer_class.__name__
    candidates = [layer for layer in layers if isinstance(layer, loss.layer_class)]
    if len(candidates) == 1:
        return candidates[0]
    name = type(loss).__name__
    if not candidates:
        raise ValueError(
            f"{name} needs a `khp.layers.{kind}`, and model {model.name!r} has none "
            f"among its layers {[layer.name for layer in model.layers]}. End the model "
            f"with `khp.layers.{kind}(num_classes=...)(embeddings)`; an `ImageEmbedder` "
            "gets one with `num_classes=...`."
        )
    raise ValueError(
        f"{name} could read any of the layers {[c.name for c in candidates]} of model "
        f"{model.name!r}. Say which: `{name}(proxies=layer)`."
    )
