"""The steps of optimizers, row by row: of rows that were drawn, whenever that was."""

from keras import ops


def adam(rows, moments, gradient, gap, rate, step, settings):
    """AdamW of `keras.optimizers`, of rows that last moved `gap` steps ago.

    With gradient g, rate r, decay d, and moments that fade by one factor for each step
    in which a row was not drawn, as if its gradient had been 0 there,

        w <- w - r d w
        m <- b1^gap m + (1 - b1) g,    v <- b2^gap v + (1 - b2) g^2
        w <- w - r sqrt(1 - b2^t) / (1 - b1^t)  m / (sqrt(v) + epsilon)

    Args:
        rows: float32 `(n, d)`, w.
        moments: list of two like it, m and v.
        gradient: float32 `(n, d)`.
        gap: float32 `(n, 1)`, 1 for rows of the step before.
        rate: float32 scalar.
        step: float32 scalar t, 1 for the first.
        settings: dict of `beta_1`, `beta_2`, `epsilon`, `weight_decay`.

    Returns:
        rows, and the list of their moments.
    """
    first, second = moments
    beta_1, beta_2 = settings["beta_1"], settings["beta_2"]
    first = first * beta_1 ** (gap - 1)
    second = second * beta_2 ** (gap - 1)
    first = first + (gradient - first) * (1 - beta_1)
    second = second + (ops.square(gradient) - second) * (1 - beta_2)
    rate_now = rate * ops.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    rows = _decayed(rows, rate, settings)
    rows = rows - first * rate_now / (ops.sqrt(second) + settings["epsilon"])
    return rows, [first, second]


def sgd(rows, moments, gradient, gap, rate, step, settings):
    """SGD of `keras.optimizers`, with momentum u of rows that last moved `gap` ago.

        w <- w - r d w
        m <- u^gap m - r g
        w <- w + m                 with Nesterov's momentum  w + u m - r g

    Args:
        rows, moments, gradient, gap, rate, step: as of `adam`; one moment.
        settings: dict of `momentum`, `nesterov`, `weight_decay`.

    Returns:
        rows, and the list of their moment.
    """
    momentum, change = settings["momentum"], rate * gradient
    moment = moments[0] * momentum**gap - change if momentum else -change
    rows = _decayed(rows, rate, settings)
    if settings["nesterov"]:
        return rows + momentum * moment - change, [moment]
    return rows + moment, [moment]


def _decayed(rows, rate, settings):
    decay = settings["weight_decay"]
    return rows - rows * decay * rate if decay else rows


# Of each, how many moments it keeps.
RULES = {"adam": (adam, 2), "sgd": (sgd, 1)}
