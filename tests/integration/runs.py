"""Models, synthetic data and training runs that the scripts of this folder share."""

import keras
import numpy as np

import keras_hierproxy as khp

NUM_CLASSES = 13
# It divides the 91 rows: batches of one shape, which compile once.
BATCH_SIZE = 13


def vectors(num_classes=NUM_CLASSES):
    """Vectors `(91, 12)` around a center for each class, and their classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(7 * NUM_CLASSES) % num_classes
    centers = rng.normal(size=(num_classes, 12))
    noise = 0.3 * rng.normal(size=(len(labels), 12))
    return (centers[labels] + noise).astype("float32"), labels.astype("int32")


def images():
    """A `RetrievalDataset` of 91 noisy copies of a picture for each class."""
    rng = np.random.default_rng(0)
    labels = np.arange(7 * NUM_CLASSES) % NUM_CLASSES
    pictures = rng.integers(0, 200, (NUM_CLASSES, 16, 16, 1))
    noise = rng.integers(0, 56, (len(labels), 16, 16, 1))
    noisy = (pictures[labels] + noise).astype("uint8")
    return khp.datasets.RetrievalDataset(noisy, labels)


def embedding_model(num_classes=NUM_CLASSES, level_sizes=(5, 2), regularizer=None):
    """An uncompiled model of vectors, with a learned hierarchy."""
    inputs = keras.Input((12,))
    x = keras.layers.Dense(16, activation="relu", name="hidden")(inputs)
    x = keras.layers.Dense(8, name="embedding")(x)
    x = khp.layers.ProjectToGeometry(name="projection")(x)
    proxies = khp.layers.HierProxies(
        num_classes, level_sizes, regularizer=regularizer, name="proxies"
    )
    return khp.models.EmbeddingModel(inputs, proxies(x))


def hyperbolic_model():
    """An uncompiled model of vectors on the Poincare ball, with latent proxies."""
    ball = khp.geometry.PoincareBall()
    inputs = keras.Input((12,))
    x = keras.layers.Dense(8, name="embedding")(inputs)
    x = khp.layers.ProjectToGeometry(ball, name="projection")(x)
    x = khp.layers.HierProxies(NUM_CLASSES, (5, 2), name="proxies")(x)
    outputs = khp.layers.LatentHierarchy(16, ball, name="latent")(x)
    return khp.models.EmbeddingModel(inputs, outputs)


def image_embedder():
    """An uncompiled embedder of images, with a learned hierarchy of two levels."""
    return khp.models.ImageEmbedder(
        khp.models.conv4((16, 16, 1), filters=8), NUM_CLASSES, embedding_dim=8
    )


def compiled(model):
    """The model with a rate for each group, a schedule, a warm-up and two losses."""
    second = khp.losses.MultiSimilarityLoss()
    if any(layer.name == "latent" for layer in model.layers):
        second = khp.losses.HIERLoss(num_neighbors=5, triplets_per_anchor=10)
    schedule = keras.optimizers.schedules.CosineDecay(1.0, decay_steps=30)
    model.compile(
        khp.optimizers.grouped(
            model, backbone=1e-2, head=1e-2, schedule=schedule, warmup_steps=2
        ),
        loss=khp.losses.HierProxyLoss() + 0.5 * second,
    )
    return model


def fit_vectors(model, epochs, callbacks=(), **options):
    x, y = vectors(model.get_layer("proxies").num_classes)
    update = khp.callbacks.HierarchyUpdate(warmup_epochs=1, every=2)
    evaluation = khp.callbacks.RetrievalEvaluation((x, y))
    return model.fit(
        x,
        y,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[update, evaluation, *callbacks],
        verbose=0,
        **options,
    )


def fit_images(model, epochs, callbacks=(), **options):
    data = images()
    batches = data.batches(
        32, "balanced", images_per_class=4, augment=khp.datasets.RandomAffine()
    )
    update = khp.callbacks.HierarchyUpdate(warmup_epochs=1, every=2)
    evaluation = khp.callbacks.RetrievalEvaluation(data)
    return model.fit(
        batches,
        epochs=epochs,
        callbacks=[update, evaluation, *callbacks],
        verbose=0,
        **options,
    )


def state(model):
    """All numbers of a model and its optimizer, a dict of arrays.

    By position: names are numbered by how many layers a process has made. With the
    states of seed generators, which Keras does not count among the weights.
    """
    variables = {
        **{f"model {i}": v for i, v in enumerate(model.variables)},
        **{f"optimizer {i}": v for i, v in enumerate(model.optimizer.variables)},
    }
    return {name: keras.ops.convert_to_numpy(v) for name, v in variables.items()}
