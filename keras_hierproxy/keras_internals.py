"""The private names of Keras that this package uses, all of them, each with its reason.

They were tried with the versions of Keras that `pyproject.toml` allows;
`tests/test_keras_internals.py` says what each of them is expected to do.
"""

import weakref

import keras

# Set while Keras writes a model into an HDF5 file, and by nothing public.
from keras.src.backend.common.global_state import get_global_attribute

# A context in which nothing in a file is run. The `safe_mode` of `load_model` and of
# `deserialize_keras_object` gives way to `keras.config.enable_unsafe_deserialization`.
from keras.src.saving.serialization_lib import SafeModeScope

# What `fit` takes for batches of which nobody knows how many there are.
from keras.src.trainers.data_adapters.generator_data_adapter import (
    GeneratorDataAdapter as GeneratorDataAdapter,
)

# Where a saved optimizer says that it comes from, under PyTorch. It has a public name.
TORCH_OPTIMIZERS = "keras.src.backend.torch.optimizers."


def safely():
    """A context in which Keras runs no code out of files, whatever its own setting."""
    return SafeModeScope(True)


def is_written_as_hdf5():
    """Whether Keras is writing a model into an HDF5 file."""
    return bool(get_global_attribute("use_legacy_config", False))


def all_layers(model):
    """A model or layer, and all layers within it, also within layers of one's own.

    `model.layers` holds those of the graph alone.
    """
    return list(model._flatten_layers())


def held_value(variable):
    """A variable's own value, or None; `variable.value` is that of the scope."""
    return variable._value


def optimizer_of(multi_optimizer, variable):
    """The optimizer that a `keras.optimizers.MultiOptimizer` has for a variable.

    It takes a map or a function, and gives neither back.
    """
    return multi_optimizer._optimizer_map(variable)


def give_optimizer(multi_optimizer, variable, optimizer):
    """Gives a `MultiOptimizer` that is not built a new one for a variable.

    Raises:
        ValueError: it was made of a function.
    """
    by_path = multi_optimizer._optimizer_map
    if not isinstance(by_path, keras.optimizers.OptimizerMap):
        raise ValueError(
            "A `MultiOptimizer` for `SampledProxies` must be made of an "
            f"`OptimizerMap`. Received one of {by_path!r}."
        )
    by_path._optimizer_map[variable.path] = optimizer
    multi_optimizer._inner_optimizers.append(optimizer)


def take_back_from_jax(model, before, state):
    """Gives a model the values of its variables that `fit` had taken out of it.

    On JAX, Keras keeps them to itself while it trains, and where it raises it does not
    put them back.

    Args:
        model: `keras.Model`.
        before: list of `(variable, value)`, from before it trained.
        state: of `jax_state`, from before it trained.
    """
    # After the first batch, the old values may have been given away.
    if jax_state(model) is not state:
        model.jax_state_sync()
    for variable, value in before:
        if variable._value is None:
            variable._value = value
    model._jax_state = None
    model._jax_state_synced = True


def jax_state(model):
    """What Keras keeps of a model while it trains on JAX, or None."""
    return getattr(model, "_jax_state", None)


class RemembersSource:
    """Mixed into functional models, whose symbolic outputs know which they are of.

    `clone_model` calls this method alone, and then the constructor with the outputs.
    """

    def _run_through_graph(self, *args, **kwargs):
        outputs = super()._run_through_graph(*args, **kwargs)
        if isinstance(outputs, keras.KerasTensor):
            outputs.source = weakref.ref(self)
        return outputs
