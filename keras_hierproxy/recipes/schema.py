"""A recipe: every setting of a training run, as its TOML file states them."""

from typing import Annotated, Any, Literal

import pydantic
from keras.optimizers import schedules

from keras_hierproxy.datasets.images import MAX_SIDE
from keras_hierproxy.geometry import PoincareBall, Sphere
from keras_hierproxy.recipes import preset_images
from keras_hierproxy.recipes.augmentation import Augmentation
from keras_hierproxy.recipes.losses import AnyLoss, Count, NotNegative, Positive
from keras_hierproxy.recipes.table import Table
from keras_hierproxy.regularizers import SoftOrthogonality
from keras_hierproxy.schemas import Text

Share = Annotated[float, pydantic.Field(ge=0, lt=1)]
Percent = Annotated[float, pydantic.Field(ge=0, le=100)]
AtLeastTwo = Annotated[int, pydantic.Field(ge=2)]
PerChannel = Annotated[list[float], pydantic.Field(min_length=1, max_length=3)]


class Source(Table):
    """Which images are read, and how.

    Attributes:
        name: as in `hierproxy train --data`.
        image_size: side in pixels; absent where the data set, or the preset that is
            trained, has its own.
        validation: share of the training classes to set aside; absent where the data
            set has its own validation classes. 0 for none, as in papers.
        train_groups, test_groups, test_split: options of single data sets.
        quarter_turns: whether each training class turned by 90, 180 and 270 degrees
            is a further class; of `letters` each drawn one.
    """

    name: Text
    image_size: Annotated[int, pydantic.Field(ge=16, le=MAX_SIDE)] | None = None
    validation: Share | None = None
    train_groups: list[str] | None = None
    test_groups: list[str] | None = None
    test_split: str | None = None
    quarter_turns: bool = False


class Data(Source):
    """What is trained and tested on, and how batches are drawn.

    Attributes:
        batch_size, sampler, images_per_class, super_classes, super_level: as in
            `RetrievalDataset.batches`.
        augment: one after another.
    """

    batch_size: AtLeastTwo
    sampler: Literal["random", "balanced", "hierarchical"]
    images_per_class: AtLeastTwo | None = None
    super_classes: AtLeastTwo | None = None
    super_level: Count | None = None
    augment: list[Augmentation] = []


class Backbone(Table):
    """The network under the head.

    Attributes:
        preset: whose weights and preparation of images are taken; absent to train
            from scratch.
        architecture: `conv4`, `efficientnet_lite`, or the class of `keras_hub.models`
            that the preset is of: what is built without its weights. Absent to take a
            preset as it is, with the head and the size of images that it brings.
        arguments: of the architecture; the shape of images comes from the data.
        scale, offset: what a pixel of 0 to 255 is multiplied by, and what is added,
            one number or one a channel. Absent for `conv4` and `efficientnet_lite`,
            which scale pixels themselves, and for presets that know theirs.
    """

    preset: Text | None = None
    architecture: str | None = None
    arguments: dict[str, Any] = {}
    scale: PerChannel | None = None
    offset: PerChannel | None = None


class Geometry(Table):
    """Where embeddings live; the numbers are the ball's."""

    name: Literal["sphere", "poincare_ball"]
    curvature: Positive | None = None
    clip_radius: Positive | None = None

    def build(self):
        if self.name == "sphere":
            return Sphere()
        return PoincareBall(self.curvature, self.clip_radius)


class Model(Table):
    """Backbone, pooling, head: the arguments of `khp.models.ImageEmbedder`.

    Attributes:
        embedding_dim, pooling, last_norm, head_initializer: absent only for a preset
            that is taken as it is, and then its own; those of `ImageEmbedder` where it
            has no head.
        fit_to_ink: side in pixels to which images are brought, cut to their ink, by
            `khp.layers.FitToInk`; absent where they are not.
        freeze: parts of the backbone that never train, `frozen` there: what is
            computed of an image before the first layer that trains is computed once,
            unless images are augmented.
    """

    embedding_dim: AtLeastTwo | None = None
    pooling: Literal["auto", "avg", "max", "avg_max", "gem", "token"] | None = None
    last_norm: bool | None = None
    head_initializer: Literal["glorot_uniform", "he_normal", "orthogonal"] | None = None
    fit_to_ink: Annotated[int, pydantic.Field(ge=16, le=MAX_SIDE)] | None = None
    freeze: list[Text] = []
    backbone: Backbone
    geometry: Geometry


class Hierarchy(Table):
    """HPL: the loss over proxies at each level of a pyramid of proxies.

    Attributes:
        learned: whether it is learned, or else that of the labels.
        level_sizes: of a learned one, from fine to coarse; absent for one level of
            the square root of the number of classes.
        level_weights: the classes' first; absent for halves from level to level.
        warmup_epochs, every: of a learned one, as in `khp.callbacks.HierarchyUpdate`.
    """

    learned: bool
    level_sizes: Annotated[list[Count], pydantic.Field(min_length=1)] | None = None
    level_weights: Annotated[list[NotNegative], pydantic.Field(min_length=2)] | None = (
        None
    )
    warmup_epochs: Annotated[int, pydantic.Field(ge=0)] | None = None
    every: Count | None = None


class Orthogonality(Table):
    """SO: the penalty of `khp.regularizers.SoftOrthogonality`."""

    strength: NotNegative
    per_proxy: bool

    def build(self):
        return SoftOrthogonality(self.strength, self.per_proxy)


class Proxies(Table):
    """What the losses read.

    Attributes:
        centers_per_class: rows a class.
        latent: how many latent proxies HIER has.
        hierarchy: of HPL.
        orthogonality: of SO.
    """

    centers_per_class: Count = 1
    latent: AtLeastTwo | None = None
    hierarchy: Hierarchy | None = None
    orthogonality: Orthogonality | None = None


class LearningRate(Table):
    """A rate for each group of variables, as in `khp.optimizers.grouped`."""

    backbone: NotNegative
    head: NotNegative
    proxies: NotNegative | None = None
    latent: NotNegative | None = None


class Schedule(Table):
    """What all rates are multiplied by.

    Attributes:
        name: `constant`; `step`, which multiplies by `gamma` after every so many
            `epochs`; or `cosine`, down to 0 at the end of the run.
    """

    name: Literal["constant", "step", "cosine"]
    epochs: Count | None = None
    gamma: Annotated[float, pydantic.Field(gt=0, lt=1)] | None = None

    def build(self, epochs, steps):
        """The factor at each step of a run of so many `epochs` of `steps`, or None."""
        if self.name == "constant":
            return None
        if self.name == "cosine":
            return schedules.CosineDecay(1.0, epochs * steps)
        return schedules.ExponentialDecay(
            1.0, self.epochs * steps, self.gamma, staircase=True
        )


class Optimizer(Table):
    """AdamW with a rate for each group.

    Attributes:
        clipvalue: at which gradients are clipped elementwise; absent for no clipping.
        warmup_epochs: epochs in which the backbone stands still.
    """

    name: Literal["adamw"]
    weight_decay: NotNegative
    epsilon: Positive
    clipvalue: Positive | None = None
    warmup_epochs: Annotated[int, pydantic.Field(ge=0)]
    learning_rate: LearningRate
    schedule: Schedule


class Training(Table):
    """How long, how often, how exactly.

    Attributes:
        seeds: of the runs that make a result; the first is what a single run takes.
        precision: Keras's dtype policy.
        selection: the epoch that is tested: the `best` on the validation classes, or
            the `last`.
    """

    epochs: Count
    seeds: Annotated[
        list[Annotated[int, pydantic.Field(ge=0)]], pydantic.Field(min_length=1)
    ]
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"]
    selection: Literal["best", "last"]


class Reported(Table):
    """A published result: Recall@k on the test classes, in percent."""

    source: str
    k: Annotated[list[Count], pydantic.Field(min_length=1)]
    recall: list[Percent]


class Recipe(Table):
    """A recipe, as `khp.recipes.load` reads it.

    Attributes:
        name: that of its file.
        description: what it trains.
        source: where its settings come from.
        ours: paths, such as `optimizer.epsilon`, of the settings that no source gives;
            that of a table stands for all that is in it.
        data: what is trained and tested on, and how batches are drawn.
        model: backbone, pooling, head, geometry.
        proxies: what the losses read.
        loss: the terms of the loss; their sum is trained.
        optimizer: AdamW with a rate for each group of variables.
        training: how long, how often, how exactly.
        reported: a published result to compare with, or None.

    Example:

    >>> recipe = khp.recipes.load("hierproxy_cnn_glyphs")
    >>> recipe.data.name, recipe.model.backbone.architecture
    ('glyphs', 'conv4')
    """

    name: Text
    description: Text
    source: str
    ours: list[str] = []
    data: Data
    model: Model
    proxies: Proxies = Proxies()
    loss: Annotated[list[AnyLoss], pydantic.Field(min_length=1)]
    optimizer: Optimizer
    training: Training
    reported: Reported | None = None

    @property
    def image_shape(self):
        """`(height, width, channels)` of the images that a preset is trained on.

        Its own, or in the size that the data states; see `preset_images`. None without
        a preset: data sets have sizes of their own.
        """
        preset = self.model.backbone.preset
        if preset is None:
            return None
        height, width, channels = preset_images.image_shape(preset)
        side = self.data.image_size
        return (side or height, side or width, channels)

    def has_loss(self, name):
        """Whether a term of the loss has that name."""
        return any(term.name == name for term in self.loss)
