"""The state and the configuration of optimizers, saved and loaded."""

import collections
import functools
import re

import numpy as np

from keras_hierproxy.keras_internals import TORCH_OPTIMIZERS
from keras_hierproxy.layers.large_tables import (
    fill,
    is_large,
    store_rows,
    stored_names,
    stored_parts,
    stored_shape,
)


def save_once_load_padded(optimizer):
    """Lets an optimizer save its state once, and load one of another padding.

    An optimizer made of others counts their variables as its own, and Keras would save
    them with it and with them. And proxies are padded with rows of zeros until the
    devices divide them, and so are the optimizer's moments, which stay zero there.

    Args:
        optimizer: a Keras optimizer, or one made of others.
    """
    for part in _parts(optimizer):
        save_once_load_padded(part)
    optimizer.save_own_variables = functools.partial(_save_own, optimizer)
    optimizer.load_own_variables = functools.partial(_load_own, optimizer)


def _parts(optimizer):
    inner = getattr(optimizer, "inner_optimizer", None)
    return [inner] if inner else getattr(optimizer, "optimizers", [])


def _own_variables(optimizer):
    of_parts = {id(v) for part in _parts(optimizer) for v in part.variables}
    return [v for v in optimizer.variables if id(v) not in of_parts]


def _save_own(optimizer, store):
    for i, variable in enumerate(_own_variables(optimizer)):
        store_rows(store, str(i), variable)


def _load_own(optimizer, store):
    own = _own_variables(optimizer)
    if len(stored_names(store)) == len(own):
        for i, variable in enumerate(own):
            _load_variable(variable, store, str(i))
        return
    # Saved when all of the parts' variables were saved here, too; or of other layers,
    # of which Keras warns.
    variables = {str(i): v for i, v in enumerate(optimizer.variables)}
    if set(store.keys()) == set(variables):
        store = {key: _with_rows_of(v, store[key]) for key, v in variables.items()}
    type(optimizer).load_own_variables(optimizer, store)


def _load_variable(variable, store, name):
    if is_large(variable.shape) and stored_shape(store, name) == variable.shape:
        fill(variable, stored_parts(store, name))
        return
    parts = [*stored_parts(store, name)]
    saved = parts[0] if len(parts) == 1 else np.concatenate(parts)
    variable.assign(_with_rows_of(variable, saved))


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
    if str(config.get("module")).startswith(TORCH_OPTIMIZERS):
        config |= {"module": "keras.optimizers", "registered_name": None}
    return config


def renumber(config, saved, here):
    """A saved configuration with the paths that variables have in a loaded model.

    Layers that were made without a name, as some within layers of keras-cv, get
    another number with each model; those of a `keras.Sequential` lose its name.

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
    # By their order, which is the same.
    left = [path for path in saved if path not in here and path not in new]
    right = [path for path in here if path not in saved and path not in new.values()]
    if len(left) == len(right):
        new |= dict(zip(left, right, strict=True))
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
