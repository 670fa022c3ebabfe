"""Values and gradients of `keras.ops` functions, on whichever backend runs."""

import keras
import numpy as np


def value_and_gradients(function, arrays, variables=(), jit=False):
    """Differentiates a scalar function by its arguments and by Keras variables.

    Args:
        function: takes one tensor for each of `arrays`, returns a scalar tensor.
        arrays: list of float arrays.
        variables: list of `keras.Variable` that `function` reads.
        jit: bool, compile with XLA (TensorFlow, JAX). PyTorch stays eager: its
            compiler takes half a minute a function.

    Returns:
        The value as a float, the list of gradients by the arrays, and the list of
        gradients by the variables, NumPy arrays; zeros for what is not read.
    """
    return differentiated(function, variables, jit)(arrays)


def differentiated(function, variables=(), jit=None):
    """A function of `arrays` that returns what `value_and_gradients` does.

    For what is measured more than once: by default it is compiled where that pays, on
    JAX, once for arrays of one shape.
    """
    variables = list(variables)
    jit = keras.config.backend() == "jax" if jit is None else jit
    differentiate = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    differentiate = differentiate[keras.backend.backend()](function, variables, jit)

    def measure(arrays):
        tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
        value, gradients = differentiate(tensors)
        gradients = [keras.ops.convert_to_numpy(gradient) for gradient in gradients]
        value = float(keras.ops.convert_to_numpy(value))
        return value, gradients[: len(arrays)], gradients[len(arrays) :]

    return measure


def _tensorflow(function, variables, jit):
    import tensorflow as tf

    def both(tensors):
        sources = [*tensors, *(variable.value for variable in variables)]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            value = function(*tensors)
        zero = tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(value, sources, unconnected_gradients=zero)
        return value, [tf.convert_to_tensor(gradient) for gradient in gradients]

    return tf.function(both, jit_compile=True, autograph=False) if jit else both


def _jax(function, variables, jit):
    import jax

    def stateless(tensors, values):
        with keras.StatelessScope(zip(variables, values, strict=True)):
            return function(*tensors)

    both = jax.value_and_grad(stateless, argnums=(0, 1))
    both = jax.jit(both) if jit else both

    def differentiate(tensors):
        value, gradients = both(tensors, [variable.value for variable in variables])
        return value, [*gradients[0], *gradients[1]]

    return differentiate


def _torch(function, variables, jit):
    import torch

    def differentiate(tensors):
        tensors = [tensor.detach().requires_grad_() for tensor in tensors]
        sources = [*tensors, *(variable.value for variable in variables)]
        value = function(*tensors)
        if not value.requires_grad:
            return value, [torch.zeros_like(source) for source in sources]
        gradients = torch.autograd.grad(value, sources, allow_unused=True)
        return value, [
            torch.zeros_like(source) if gradient is None else gradient
            for source, gradient in zip(sources, gradients, strict=True)
        ]

    return differentiate


def numerical_gradient(function, x, step=1e-6):
    """Central differences of a scalar function of a float64 array."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[index] += step
        behind[index] -= step
        gradient[index] = (function(ahead) - function(behind)) / (2 * step)
    return gradient


def assert_gradients_close(actual, expected, tolerance=1e-4):
    """Compares two gradients, relative to the largest entry of the expected one.

    Entry by entry, a relative error has no bound: small entries of a gradient are
    differences of large terms.
    """
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)
