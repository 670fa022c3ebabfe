"""What losses there are, read off the classes: a new one needs no line anywhere else.

A loss is known by the default of its constructor's `name`, without `_loss`:
`ProxyAnchorLoss(..., name="proxy_anchor_loss")` is `proxy_anchor`.
"""

import inspect

from keras_hierproxy.losses.base import EmbeddingLoss, ProxyLoss

_PLAIN = (bool, int, float, str)


def losses():
    """The losses that `khp.losses` exports, by name, but those made of other losses.

    Returns:
        dict of name to class, sorted.

    Example:

    >>> from keras_hierproxy.losses import registry
    >>> registry.losses()["arcface"]
    <class 'keras_hierproxy.losses.arcface.ArcFaceLoss'>
    """
    from keras_hierproxy import losses as exports

    found = {}
    for each in vars(exports).values():
        if isinstance(each, type) and issubclass(each, EmbeddingLoss):
            name = _parameters(each)["name"].default
            # Bases have no name.
            if isinstance(name, str) and not each.made_of_losses:
                found[name.removesuffix("_loss")] = each
    return dict(sorted(found.items()))


def over_proxies():
    """Those of `losses` that read class proxies, and so can be HPL's base."""
    return {n: each for n, each in losses().items() if issubclass(each, ProxyLoss)}


def arguments(loss):
    """What decides the value of a loss: its arguments that a file can state.

    Those are the ones with a number, a text or a bool for a default, and those whose
    annotation says what they take. Layers and geometries come from the model.

    Args:
        loss: class, of `losses`.

    Returns:
        dict of name to `(type, default)`.

    Example:

    >>> from keras_hierproxy.losses import registry
    >>> registry.arguments(khp.losses.ProxyNCALoss)
    {'temperature': (<class 'float'>, 1.0)}
    """
    found = {}
    for name, parameter in _parameters(loss).items():
        kind, default = parameter.annotation, parameter.default
        if kind is parameter.empty and type(default) in _PLAIN:
            kind = type(default)
        if kind is not parameter.empty and name != "name":
            found[name] = (kind, default)
    return found


def takes_geometry(loss):
    """Whether a loss, a class of `losses`, is told where the model's points live."""
    return "geometry" in _parameters(loss)


def _parameters(loss):
    return inspect.signature(loss).parameters
