"""Gives the losses of a model the proxy layers that they read."""

import contextlib
import copy

import keras

from keras_hierproxy.keras_internals import all_layers
from keras_hierproxy.losses import registry
from keras_hierproxy.losses.base import BoundLoss, EmbeddingLoss, SumLoss


def bind(loss, model):
    """A loss as `compile` got it, with each proxy loss bound to its layer.

    Args:
        loss: a loss of this package; for a model of one output a list of them,
            which becomes their sum; for several outputs a dict or list with a
            loss, or a list to be summed, for each. Other losses are left alone.
        model: the model being compiled.

    Returns:
        The loss to train with: the given one, now bound, or a copy where an
        earlier `compile` has bound it to the layer of another model.

    Raises:
        ValueError: if no layer, or several, could be meant, or if a loss was given
            a layer that is not in the model.
    """
    if isinstance(loss, dict):
        return {name: _bind_output(each, model) for name, each in loss.items()}
    if isinstance(loss, (list, tuple)) and len(model.outputs) > 1:
        return [_bind_output(each, model) for each in loss]
    return _bind_output(loss, model)


def sums_of(loss):
    """The sums in what `bind` returned, a flat list."""
    if isinstance(loss, dict):
        loss = list(loss.values())
    losses = loss if isinstance(loss, (list, tuple)) else [loss]
    return [each for each in losses if isinstance(each, SumLoss)]


def terms_of(loss):
    """The single losses in what `bind` returned, a flat list."""
    if isinstance(loss, SumLoss):
        return loss.terms
    if isinstance(loss, dict):
        loss = list(loss.values())
    if isinstance(loss, (list, tuple)):
        return [term for each in loss for term in terms_of(each)]
    return [loss] if isinstance(loss, EmbeddingLoss) else []


def _bind_output(loss, model):
    if isinstance(loss, (list, tuple)):
        loss = SumLoss(list(loss))
    _check_kind(loss)
    if isinstance(loss, SumLoss):
        return loss.with_terms([_bind_output(term, model) for term in loss.terms])
    return _bind_to_layer(loss, model) if isinstance(loss, BoundLoss) else loss


def _check_kind(loss):
    """Refuses the class, or the name, of a loss of this package in place of a loss."""
    if isinstance(loss, type) and issubclass(loss, EmbeddingLoss):
        raise ValueError(
            f"A loss is an object: pass `khp.losses.{loss.__name__}()`. Received the "
            f"class {loss.__name__}."
        )
    if isinstance(loss, str):
        with contextlib.suppress(ValueError):
            keras.losses.get(loss)  # one of Keras's own
            return
        plain = loss.lower().replace("_", "").replace("-", "").removesuffix("loss")
        names = [each.__name__ for each in registry.losses().values()]
        fit = [name for name in names if name.lower() == f"{plain}loss"]
        name = fit[0] if fit else "ProxyAnchorLoss"
        raise ValueError(
            f"A loss must be an object: pass `khp.losses.{name}()`. Received: {loss!r}."
        )
    if loss is not None and not callable(loss):
        raise ValueError(
            "A loss must be an object, such as `khp.losses.ProxyAnchorLoss()`, or a "
            f"list of them. Received: {loss!r}."
        )


def _bind_to_layer(loss, model):
    layers = all_layers(model)
    given = loss.proxies is not None and not loss.bound_by_compile
    layer = (_given_layer if given else _only_candidate)(loss, model, layers)
    loss.check_layer(layer)
    if loss.bound_by_compile and loss.proxies is not layer:
        loss = copy.copy(loss)
    loss.proxies, loss.bound_by_compile = layer, not given
    return loss


def _given_layer(loss, model, layers):
    given = loss.proxies
    name = given if isinstance(given, str) else given.name
    for layer in layers:
        if layer is given or layer.name == given:
            return layer
    raise ValueError(
        f"{type(loss).__name__} reads layer {name!r}, which is not part of model "
        f"{model.name!r} and would not be trained. Call the layer in the model, or "
        "leave `proxies` out to use the model's own."
    )


def _only_candidate(loss, model, layers):
    kind = loss.layer_class.__name__
    candidates = [layer for layer in layers if isinstance(layer, loss.layer_class)]
    if len(candidates) == 1:
        return candidates[0]
    name = type(loss).__name__
    if not candidates:
        raise ValueError(
            f"{name} needs a `khp.layers.{kind}`, and model {model.name!r} has none "
            f"among its layers {[layer.name for layer in model.layers]}. "
            + loss.layer_hint.format(layer=kind)
        )
    raise ValueError(
        f"{name} could read any of the layers {[c.name for c in candidates]} of model "
        f"{model.name!r}. Say which: `{name}(proxies=layer)`."
    )
