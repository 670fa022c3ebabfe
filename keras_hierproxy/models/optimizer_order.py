"""Optimizers whose state was saved when the variables came in another order.

Keras numbers an optimizer's variables by the order of the model's. That
of an `ImageEmbedder` was another on TensorFlow and JAX before 0.1.0 was released.
"""

import functools

from keras_hierproxy.optimizers.saved_state import renumber


def load_in_order_of(model, saved):
    """Lets a model's optimizer load a state of the order that it was saved in.

    Args:
        model: `keras.Model` with an optimizer that is built.
        saved: paths of the saved model's weights, in their order.
    """
    optimizer = model.optimizer
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    here = [weight.path for weight in model.weights]
    paths = list(renumber(dict.fromkeys(saved), saved, here))
    trained = {variable.path: variable for variable in model.trainable_variables}
    paths = [path for path in paths if path in trained]
    # One that is made of others has an order in each of them.
    is_one = not hasattr(optimizer, "optimizers")
    if not is_one or len(paths) != len(trained) or paths == [*trained]:
        return
    twin = type(optimizer).from_config(optimizer.get_config())
    twin.build([trained[path] for path in paths])
    numbers = {variable.path: i for i, variable in enumerate(twin.variables)}
    names = [variable.path for variable in optimizer.variables]
    if set(names) == set(numbers) and len(names) == len(numbers):
        order = [numbers[name] for name in names]
        optimizer.load_own_variables = functools.partial(
            _load, optimizer.load_own_variables, order
        )


def _load(load, order, store):
    if len(store.keys()) == len(order):
        store = {str(i): store[str(number)] for i, number in enumerate(order)}
    load(store)
