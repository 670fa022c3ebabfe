"""What goes wrong in a batch must not cost the weights."""

import contextlib

import keras

from keras_hierproxy.keras_internals import held_value, jax_state, take_back_from_jax


@contextlib.contextmanager
def keeping_weights(model):
    """Puts a model's weights back where `fit`, `predict` or `evaluate` raise, on JAX.

    There Keras 3.15 takes them out of the model before the first batch, and returns
    them after the last: an image that cannot be read, or Ctrl-C, would leave a model
    that can neither go on nor be saved. (`fit` returns them itself, but not where the
    first batch fails.)

    Args:
        model: `keras.Model`.
    """
    if keras.config.backend() != "jax":
        yield
        return
    optimizer = getattr(model, "optimizer", None)
    variables = model.variables + (optimizer.variables if optimizer else [])
    before = [(variable, held_value(variable)) for variable in variables]
    state = jax_state(model)
    try:
        yield
    except BaseException:
        take_back_from_jax(model, before, state)
        raise
