"""Numbers, flags and kinds that are none, at the doors of models, layers and `ops`."""

import keras
import numpy as np
import pytest

import keras_hierproxy as khp
from keras_hierproxy import ops
from tests import tiny
from tests.hostile.cases import refused, right
from tests.hostile.numbers import BAD, flags, tried

X, Y = tiny.INPUTS, tiny.LABELS
TEACHER = np.ones((len(X), 8), "float32")
POINTS = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
DISTANCES = np.random.default_rng(1).uniform(size=(6, 5)).astype("float32")
TRIPLETS = np.array([[0, 1, 2], [3, 4, 5]])
NOISE = np.random.default_rng(2).gumbel(size=(2, 2, 5)).astype("float32")


def cosine(scale):
    return ops.cosine_similarity(POINTS, POINTS, scale)


def clip(radius):
    return ops.clip_to_radius(POINTS, radius)


def exponential_map(curvature):
    return ops.exponential_map(POINTS, curvature)


def distance(curvature):
    return ops.poincare_distance(POINTS, None, curvature)


def gradient(curvature):
    return ops.riemannian_gradient(POINTS, curvature)


def mutual(k):
    return ops.mutual_neighbors(DISTANCES[:5], k)


def triplets(triplets_per_anchor=2, max_triplets=4):
    related = ~np.eye(4, dtype=bool)
    seed = keras.random.SeedGenerator(0)
    return ops.sample_triplets(
        related, np.ones(4, bool), triplets_per_anchor, seed, max_triplets
    )


def lca(margin=0.1, temperature=0.1):
    return ops.lca_triplet_loss(DISTANCES, TRIPLETS, NOISE, margin, temperature)


def hierarchy():
    layer = khp.layers.HierProxies(4, level_sizes=(2,))
    layer.build((None, 3))
    return layer


def refresh(seed):
    hierarchy().refresh(seed)


def latent(seed):
    return khp.layers.LatentHierarchy(8, seed=seed)


def embedder(**given):
    backbone = khp.models.conv4((16, 16, 1), 2)
    return khp.models.ImageEmbedder(backbone, **{"embedding_dim": 4, **given})


def compiled(loss=None, **given):
    model = tiny.compiled_model()
    model.compile("sgd", loss or khp.losses.ProxyAnchorLoss(), **given)
    return model


def fit(y=Y, loss=None, validation=False, **given):
    if validation:
        given["validation_data"] = (X, Y)
    return tiny.fit(compiled(loss), X, y, **given)


def validated(**given):
    return fit(validation=True, **given)


# Function, argument, whether whole, and where 0 or less means something.
NUMBERS = [
    (cosine, "scale", False, True, True),
    (clip, "radius", False, False, False),
    (exponential_map, "curvature", False, False, False),
    (distance, "curvature", False, False, False),
    (gradient, "curvature", False, False, False),
    (mutual, "k", True, False, False),
    (triplets, "triplets_per_anchor", True, False, False),
    (triplets, "max_triplets", True, False, False),
    (lca, "margin", False, True, True),
    (lca, "temperature", False, False, False),
    (refresh, "seed", True, True, False),
    (latent, "seed", True, True, False),
    (fit, "initial_epoch", True, True, False),
    (fit, "steps_per_epoch", True, False, False),
    (fit, "validation_split", False, True, False),
    (validated, "validation_steps", True, False, False),
    (validated, "validation_batch_size", True, False, False),
    (compiled, "steps_per_execution", True, False, False),
]
CASES = []
for function, name, whole, zero, negative in NUMBERS:
    CASES += tried(function.__name__, function, name, whole, zero, negative)
for value in (np.nan, np.inf, "1", True, 1j, -1.0):
    for given in (value, [value], {"projection": value}):
        CASES.append(
            refused(
                f"loss_weights={given!r}",
                lambda given=given: compiled(loss_weights=given),
                "`loss_weights`",
            )
        )
for value in (0, -1, np.nan, 1.5, "1", True, [0], [1, -1]):
    CASES.append(
        refused(
            f"validation_freq={value!r}",
            lambda value=value: validated(validation_freq=value),
            "`validation_freq`",
        )
    )
for value in (*BAD, -1, 0, 2, None):
    for method in ("level_proxies", "parents"):
        CASES.append(
            refused(
                f"{method}({value!r})",
                lambda method=method, value=value: getattr(hierarchy(), method)(value),
                "`level`",
            )
        )
    CASES.append(
        refused(
            f"labels_at({value!r})",
            lambda value=value: hierarchy().labels_at(value, np.arange(4)),
            "`level`",
        )
    )

CASES += flags("PoincareBall", khp.geometry.PoincareBall, "riemannian")
CASES += flags(
    "SoftOrthogonality",
    lambda **given: khp.regularizers.SoftOrthogonality(1.0, **given),
    "per_proxy",
)
CASES += flags("ImageEmbedder", embedder, "last_norm")

KINDS = [1, 1.0, "x", True, {}, [1], np.ones(2), object(), print]
for name in ("preprocessor", "proxies", "latent"):
    CASES += [
        refused(
            f"ImageEmbedder({name}={value!r})",
            lambda name=name, value=value: embedder(**{name: value}),
            f"`{name}` must be",
        )
        for value in KINDS
        if not (name == "preprocessor" and callable(value))
    ]
CASES += [
    refused(
        f"{loss.__name__}(proxies={value!r})",
        lambda loss=loss, value=value: loss(proxies=value),
        "`proxies` must be a layer",
    )
    for loss in (khp.losses.ProxyAnchorLoss, khp.losses.HIERLoss)
    for value in KINDS
    if not isinstance(value, str)
]
CASES += [
    refused(
        f"LatentHierarchy(geometry={value!r})",
        lambda value=value: khp.layers.LatentHierarchy(8, geometry=value),
        "geometry",
    )
    for value in (0, "", {}, [], False, "sphere", 1.0)
]
CASES += [
    refused(
        f"data_format={value!r}",
        lambda value=value: khp.layers.GeneralizedMeanPooling2D(data_format=value),
        "`data_format` must be one of",
    )
    for value in (0, "", "NCHW", "channels", True, {}, np.nan)
]
CASES += [
    refused(
        f"embed({value!r})", lambda value=value: compiled().embed(value), "nputs|x="
    )
    for value in (None, [], {}, (), 1.0, "x", np.float32(1), [None])
]
CASES += [
    refused(f"fit({value!r})", lambda value=value: compiled().fit(value), "nputs|x=")
    for value in (None, [], {}, (), 1.0, "x", np.float32(1), [None])
]

# Losses of Keras learn from targets, and not from ids.
OF_KERAS = ["mse", "mae", "cosine_similarity", "sparse_categorical_crossentropy"]
OF_KERAS += ["binary_crossentropy", "hinge", keras.losses.MeanSquaredError()]
OF_KERAS += [keras.losses.mean_squared_error, keras.losses.Huber()]
LOSS = khp.losses.TripletLoss()
CASES += [
    refused(
        f"ids under {loss!r:.40}, {title}",
        lambda loss=loss, y=y: fit(y, loss),
        r"of Keras compares.*khp.losses.ProxyAnchorLoss\(\)",
    )
    for loss in OF_KERAS
    for title, y in (("a vector", Y), ("a column", Y[:, None]))
]
CASES += [
    refused(
        "ids under mse, one batch",
        lambda: compiled("mse").train_on_batch(X[:8], Y[:8]),
        "of Keras compares",
    ),
    refused(
        "ids under mse, evaluate",
        lambda: compiled("mse").evaluate(X, Y, verbose=0),
        "of Keras compares",
    ),
    right(
        "targets under mse",
        lambda: np.isfinite(fit(TEACHER, "mse")["loss"]).all(),
        True,
    ),
    right("an array times a loss", lambda: (np.float64(0.5) * LOSS).weights, [0.5]),
    refused("many times a loss", lambda: np.ones(2) * LOSS, "scaled by a number"),
    refused("a loss times many", lambda: LOSS * np.ones(2), "scaled by a number"),
    refused("an array and a loss", lambda: np.ones(2) + LOSS, "Only losses"),
    right("the sum of a list", lambda: sum([LOSS, 2 * LOSS]).weights, [1.0, 2.0]),
    right(
        "validation in batches of their own size",
        lambda: "val_loss" in validated(validation_batch_size=4),
        True,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_numbers_of_models(case, judge):
    judge("numbers", case)
