"""A recipe tried without its data and without downloads."""

import collections
import contextlib
import dataclasses
import math
import pathlib
import sys
import tempfile
import time
import warnings

import keras
import numpy as np

from keras_hierproxy import datasets, optimizers, recipes
from keras_hierproxy.callbacks import HierarchyUpdate
from keras_hierproxy.datasets import RetrievalDataset
from keras_hierproxy.datasets.official.cars import COUNTS as CARS
from keras_hierproxy.datasets.official.cub import COUNTS as CUB
from keras_hierproxy.datasets.official.fashion_products import SMALL as FASHION
from keras_hierproxy.datasets.official.grocery_store import COUNTS as GROCERY_STORE
from keras_hierproxy.datasets.official.in_shop import COUNTS as IN_SHOP
from keras_hierproxy.datasets.official.inaturalist import COUNTS as INATURALIST
from keras_hierproxy.datasets.official.sop import COUNTS as SOP
from keras_hierproxy.recipes.combinations import parameters
from keras_hierproxy.recipes.short_forms import DRAWN
from keras_hierproxy.runs import sample_layouts
from keras_hierproxy.runs.data import load_data
from keras_hierproxy.runs.trained import check_images

# Without an accelerator a full batch of photos takes minutes: steps have about as many
# numbers as 8 photos, and half precision, which processors only imitate, is left out.
_CPU_NUMBERS = 8 * 224 * 224 * 3
_CPU_PRECISION = "float32"
# Training images, training classes, test images of the whole data sets.
_PUBLISHED = {
    name: tuple(
        counts[key] for key in ("training images", "training classes", "test images")
    )
    for name, counts in (
        ("cub", CUB),
        ("cars", CARS),
        ("sop", SOP),
        ("in_shop", IN_SHOP),
        ("inaturalist", INATURALIST),
        ("grocery_store", GROCERY_STORE),
        ("fashion_products", FASHION),
    )
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run by a recipe would be, and what two steps of it took.

    Attributes:
        recipe: `khp.recipes.Recipe`.
        embedder: `khp.models.ImageEmbedder`, compiled, with random weights.
        images, classes: for training, of the whole data set.
        test_images: of the whole data set.
        published: bool, whether these sizes are the data set's, or else those of the
            images made up here.
        steps: of an epoch of the whole data set.
        trial_batch: images in a step that was tried.
        trial_precision: dtype policy of the trial.
        step_seconds: of the second step; in the first the model was compiled.
        images_per_second: embedded, a second time.
        memory: bytes, the most that was taken in the trial.
        accelerator: bool, whether that is memory of an accelerator.
    """

    recipe: object
    embedder: object
    images: int
    classes: int
    test_images: int
    published: bool
    steps: int
    trial_batch: int
    trial_precision: str
    step_seconds: float
    images_per_second: float
    memory: int
    accelerator: bool

    def groups(self):
        """Of each group of variables `(name, trainable parameters, learning rate)`."""
        group_of = optimizers.group_by_path(self.embedder)
        counts = collections.Counter()
        for variable in self.embedder.trainable_variables:
            counts[group_of[variable.path]] += math.prod(variable.shape)
        rates = self.recipe.optimizer.learning_rate
        return [(name, count, getattr(rates, name)) for name, count in counts.items()]

    @property
    def scale(self):
        """How many times the trial's batch the recipe's is."""
        return self.recipe.data.batch_size / self.trial_batch

    @property
    def seconds_per_epoch(self):
        """Of the steps.

        The network takes about three times as long as to embed, since the way back
        takes twice the way forth, and grows with the batch. The rest, among it HIER's
        term over latent proxies, does not.
        """
        network = 3 * self.trial_batch / self.images_per_second
        network = min(network, self.step_seconds)
        return self.steps * (self.step_seconds + (self.scale - 1) * network)

    @property
    def seconds_per_test(self):
        """To embed the test images."""
        return self.test_images / self.images_per_second

    @property
    def memory_of_weights(self):
        """Bytes of weights, gradients and the two moments of AdamW."""
        weights, trainable = (
            sum(math.prod(variable.shape) for variable in variables)
            for variables in (self.embedder.weights, self.embedder.trainable_variables)
        )
        return 4 * (weights + 3 * trainable)

    @property
    def memory_of_a_step(self):
        """Bytes, at most about so many: but for weights in proportion to the batch."""
        rest = max(0, self.memory - self.memory_of_weights)
        return self.memory_of_weights + self.scale * rest


def dry_run(recipe, place):
    """Builds what a recipe describes, with random weights, and runs two steps of it.

    A preset that is taken as it is, without its architecture, is loaded with its own
    weights.

    The images are random, in the official layout of the data set, in a temporary
    folder, and read as the true ones would be. Model and proxies are those of the whole
    data set, as far as its size is published; without an accelerator steps are small,
    and in float32.

    Args:
        recipe: `khp.recipes.Recipe`.
        place: `Place`; its root is not read.

    Returns:
        `Plan`.

    Raises:
        ValueError: settings that do not fit each other or the data set.
    """
    accelerator = _accelerator_memory() is not None
    trial = recipe if accelerator else _smaller(recipe)
    before = 0 if accelerator else _process_memory()
    with tempfile.TemporaryDirectory() as folder, _made_up_data():
        source, place = _made_up(trial, place, pathlib.Path(folder))
        splits = load_data(source, place, recipe.image_shape)
        published = recipe.data.name in (*_PUBLISHED, "glyphs")
        whole = _whole(recipe, splits.train)
        # Images of classes that have proxies in the whole data set.
        batches = recipes.batches(trial, splits.train, place.seed)
        steps = len(recipes.batches(recipe, whole, place.seed))
        embedder = recipes.build_embedder(
            trial, whole, place.seed, steps, load_weights=False
        )
        check_images(splits.train, embedder)
        seconds = _two_steps(embedder, batches, recipe)
        rate = _embedding_rate(embedder, splits.test, trial.data.batch_size)
    test_images = _PUBLISHED.get(recipe.data.name, (0, 0, len(splits.test)))[2]
    memory = _accelerator_memory() if accelerator else _process_memory() - before
    return Plan(
        recipe,
        embedder,
        len(whole),
        whole.num_classes,
        test_images,
        published,
        steps,
        batches.batch_size,
        trial.training.precision,
        seconds,
        rate,
        memory,
        accelerator,
    )


def _smaller(recipe):
    """What a processor can try in a minute."""
    data = recipe.data
    unit = (data.images_per_class or 1) * (data.super_classes or 1)
    images = _CPU_NUMBERS // (3 * (data.image_size or 32) ** 2)
    batch_size = min(data.batch_size, max(unit, images // unit * unit, 2))
    return recipe.model_copy(
        update={
            "data": data.model_copy(update={"batch_size": batch_size}),
            "training": recipe.training.model_copy(
                update={"precision": _CPU_PRECISION}
            ),
        }
    )


def _made_up(trial, place, folder):
    """A source and a place where random images lie instead."""
    data = trial.data
    if data.name == "glyphs":
        return data, place  # rendered, not read
    if data.name in DRAWN:
        groups = [*(data.train_groups or ()), *(data.test_groups or ())]
        options = {"alphabets": tuple(groups)} if groups else {}
        sample_layouts.write_omniglot(folder, **options)
        return data, dataclasses.replace(place, root=str(folder))
    # Two batches of training images, where up to half of the classes are for the test.
    images_per_class = max(2, data.images_per_class or 0)
    num_classes = max(8, 4 * data.batch_size // images_per_class)
    is_known = data.name in datasets.NAMES
    write = getattr(sample_layouts, f"write_{data.name if is_known else 'folder'}")
    write(folder, num_classes, images_per_class, sample_layouts.save_noise)
    if is_known:
        place = dataclasses.replace(place, root=str(folder))
        none = {"validation": 0.0} if _draws_validation(data) else {}
        return data.model_copy(update=none), place
    place = dataclasses.replace(place, root=None)
    return data.model_copy(update={"name": str(folder)}), place


def _whole(recipe, train):
    """A data set of the published size, with labels of as many levels as `train`."""
    name = recipe.data.name
    if name not in _PUBLISHED:
        return train
    num_images, num_classes, _ = _PUBLISHED[name]
    share = recipe.data.validation
    if share is None:
        share = 0.15 if _draws_validation(recipe.data) else 0
    held_out = round(share * num_classes)
    num_images = round(num_images * (1 - held_out / num_classes))
    num_classes -= held_out
    labels = [np.arange(num_images) % num_classes]
    for _ in range(1, train.num_levels):
        labels.append(labels[-1] // 10)
    pixels = np.zeros(train.images.shape[1:], "uint8")
    images = np.broadcast_to(pixels, (num_images, *pixels.shape))
    return RetrievalDataset(images, np.stack(labels, axis=1), name=name)


def _draws_validation(data):
    """Whether validation classes are drawn from the training ones of a known set."""
    return "validation" in parameters(datasets.loader(data.name))


def _two_steps(embedder, batches, recipe):
    """Seconds of the second."""
    stopwatch = _Stopwatch()
    # So that the coarse terms are part of the steps.
    learned = [HierarchyUpdate(warmup_epochs=0)] if recipes.callbacks(recipe) else []
    embedder.fit(batches, steps_per_epoch=2, verbose=0, callbacks=[*learned, stopwatch])
    return stopwatch.seconds


class _Stopwatch(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        self.since = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        float(logs["loss"])  # waits for the step
        self.seconds = time.monotonic() - self.since


def _embedding_rate(embedder, data, batch_size):
    """Images a second, of a second time."""
    images = data.subset(range(min(batch_size, len(data)))).images
    for _ in range(2):
        since = time.monotonic()
        embedder.embed(images, batch_size)
        seconds = time.monotonic() - since
    return len(images) / seconds


@contextlib.contextmanager
def _made_up_data():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*This is a part of it")
        yield


def _process_memory():
    """Bytes, the most that this process has had; 0 where nobody counts."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _accelerator_memory():
    """Bytes, the most that was taken of a GPU or TPU; None where there is none."""
    framework = sys.modules[keras.backend.backend()]
    if framework.__name__ == "torch":
        there = framework.cuda.is_available()
        return framework.cuda.max_memory_allocated() if there else None
    if framework.__name__ == "tensorflow":
        if not framework.config.list_physical_devices("GPU"):
            return None
        return framework.config.experimental.get_memory_info("GPU:0")["peak"]
    return (framework.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
