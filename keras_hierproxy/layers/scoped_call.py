"""What a hand-written loop on JAX gets wrong: proxies that the loss does not see.

`model.stateless_call(variables, ...)` computes with the variables that it is given. A
loss called after it reads the proxies of the model itself: they get a gradient of 0,
and the loss falls all the same, by the embeddings alone.
"""

import sys
import weakref

import keras

from keras_hierproxy.keras_internals import held_value


def note_call(layer, embeddings):
    """Notes whether a layer of proxies is called with proxies other than its own.

    Args:
        layer: a layer with `proxies`.
        embeddings: what it returns.
    """
    if keras.config.backend() != "jax":
        return
    variable = layer.proxy_variables()[0]
    value = variable.value
    scoped = value is not held_value(variable)
    # Weakly: values of a traced step must not outlive it.
    layer._scoped_call = (
        (weakref.ref(value), weakref.ref(embeddings)) if scoped else None
    )


def check_scope(layer, embeddings, reader):
    """Raises where a loss would read other proxies than the embeddings came with.

    Proxies that are not trained are constants, as are all where the embeddings come
    from elsewhere.

    Args:
        layer: a layer that called `note_call`.
        embeddings: tensor `(b, d)` that the loss was given.
        reader: str, the name of the loss.

    Raises:
        ValueError: on JAX, outside of the scope of the model's call.
    """
    noted = getattr(layer, "_scoped_call", None)
    variable = layer.proxy_variables()[0]
    if noted is None or not variable.trainable:
        return
    proxies, output = (reference() for reference in noted)
    if proxies is None or variable.value is not held_value(variable):
        return
    traced = isinstance(embeddings, sys.modules["jax"].core.Tracer)
    if traced or embeddings is output:
        raise ValueError(
            f"{reader} reads the proxies of layer {layer.name!r} as the model holds "
            "them, but the embeddings were computed by `stateless_call`, or in a "
            "`keras.StatelessScope`, with others: the proxies would get a gradient of "
            "0. Call the model and the loss in one scope:\n\n"
            "with keras.StatelessScope(zip(model.trainable_variables, variables)):\n"
            "    value = loss(y, model(x, training=True))\n\n"
            "docs/hand_written_loops.md has the whole loop."
        )
