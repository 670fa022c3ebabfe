"""What goes wrong in a batch must not cost the weights."""

import contextlib

import keras


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
    before = [(variable, variable._value) for variable in variables]
    state = getattr(model, "_jax_state", None)
    try:
        yield
    except BaseException:
        # After the first batch, the old values may have been given away.
        if getattr(model, "_jax_state", None) is not state:
            model.jax_state_sync()
        for variable, value in before:
            if variable._value is None:
                variable._value = value
        model._jax_state = None
        model._jax_state_synced = True
        raise
