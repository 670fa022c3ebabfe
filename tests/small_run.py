"""A training run that takes a second: toy images, a small network."""

import keras
import numpy as np

from keras_hierproxy import layers, losses, models, recipes, runs
from keras_hierproxy.datasets import RetrievalDataset

EPOCHS = 3
SMALL = {"loss": "proxy-anchor", "batch_size": 18, "augment": "none"}
SMALL |= {"from_scratch": True}  # of photos, too


def make_data(num_classes=12, per_class=6, shape=(16, 16, 1)):
    """Splits of classes that are noisy copies of a pattern each, in pairs."""
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(num_classes), per_class)
    patterns = rng.uniform(0, 255, (num_classes, *shape))
    images = patterns[classes] + rng.normal(scale=90, size=(len(classes), *shape))
    images = images.clip(0, 255).astype("uint8")
    labels = np.stack([classes, classes // 2], axis=1)
    data = RetrievalDataset(images, labels, level_names=("sort", "kind"), name="toys")
    return data.split(validation=0.25, test=0.25)


def new_run(folder, changes=(), **options):
    """A small run on `make_data`.

    Two whole batches an epoch, and one for each evaluation: one shape to compile.
    """
    recipe = recipes.from_options({**SMALL, "epochs": EPOCHS, **options}, changes)
    return runs.Run(folder, recipe, runs.Place(seed=options.get("seed", 0)))


def begin(run, data):
    """Begins with a small embedder that is compiled in no time."""
    keras.utils.set_random_seed(run.place.seed)
    inputs = keras.Input(data.train.images.shape[1:])
    features = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    features = keras.layers.Dense(16, "relu")(features)
    proxies = layers.Proxies(data.train.num_classes)
    embedder = models.ImageEmbedder(
        keras.Model(inputs, features), embedding_dim=8, proxies=proxies
    )
    embedder.compile(loss=losses.ProxyAnchorLoss())
    run.begin(data, embedder)
    return run
