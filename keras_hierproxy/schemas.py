"""What files of JSON of ours hold, for `json_files.read`.

Imported where such a file is read, and not before: pydantic takes long.
"""

from typing import Annotated, Any, Literal

import pydantic

Count = Annotated[int, pydantic.Field(ge=0)]
Positive = Annotated[int, pydantic.Field(ge=1)]
# Names of files may hold bytes that are no text, which pydantic's own str refuses.
Text = pydantic.InstanceOf[str]
Version = Annotated[str, pydantic.Field(max_length=40)]
Sha256 = Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")]
# Of a file that lies right beside the one that names it.
FileName = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")]


class Content(pydantic.BaseModel):
    """An object: its fields have these types and no others; more may stand there."""

    model_config = pydantic.ConfigDict(
        strict=True, extra="ignore", allow_inf_nan=False, protected_namespaces=()
    )


# A folder of embeddings


class SphereConfig(Content):
    model_config = pydantic.ConfigDict(extra="forbid")


class BallConfig(Content):
    model_config = pydantic.ConfigDict(extra="forbid")

    curvature: Annotated[float, pydantic.Field(gt=0)]
    clip_radius: Annotated[float, pydantic.Field(gt=0)]
    riemannian: bool = True


_GEOMETRIES = {
    "keras_hierproxy>Sphere": SphereConfig,
    "keras_hierproxy>PoincareBall": BallConfig,
}


class GeometryJson(Content):
    """One of this package: no other class is looked up by a file's word."""

    name: str
    config: dict

    @pydantic.model_validator(mode="after")
    def _is_one_of_ours(self):
        if self.name not in _GEOMETRIES:
            raise ValueError(
                f"it names {self.name!r}, which is not known here: there is "
                + ", ".join(_GEOMETRIES)
            )
        _GEOMETRIES[self.name].model_validate(self.config)
        return self


class Level(Content):
    name: Text
    classes: list[Text]


class Skipped(Content):
    path: Text
    error: Text


class DataOfEmbeddings(Content):
    name: Text
    path: Text | None = None
    image_shape: (
        Annotated[list[Positive], pydantic.Field(min_length=3, max_length=3)] | None
    ) = None


class FilesOfEmbeddings(Content):
    """The only files of a folder, and how many bytes each has."""

    model_config = pydantic.ConfigDict(extra="forbid")

    embeddings: Annotated[int, pydantic.Field(ge=0, alias="embeddings.npy")]
    items: Annotated[int, pydantic.Field(ge=0, alias="items.csv")]
    ids: Annotated[int, pydantic.Field(ge=0, alias="ids.npy")] = 0
    removed: Annotated[int, pydantic.Field(ge=0, alias="removed.npy")] = 0
    embedder: Annotated[int, pydantic.Field(ge=0, alias="embedder.keras")] = 0


class EmbedderOfGallery(Content):
    """A shipped preset, by its name; without one it is the file beside."""

    preset: FileName | None = None
    weights_sha256: Sha256


class ModelOfEmbeddings(Content):
    """What told it apart when the points were made; the rest is for people."""

    weights_sha256: Sha256 | None = None


class ThresholdOfLevel(Content):
    """Of `khp.Gallery.calibrate`."""

    score: float | None
    queries: Count
    answered: Count
    right: Count
    bound: float | None
    scores: list[float]
    confidences: list[Annotated[float, pydantic.Field(ge=0, le=1)]]

    @pydantic.model_validator(mode="after")
    def _is_a_function(self):
        if len(self.scores) != len(self.confidences):
            raise ValueError("scores and confidences must be as many")
        if self.scores != sorted(self.scores):
            raise ValueError("scores must ascend")
        return self


class EmbeddingsJson(Content):
    """`embeddings.json`."""

    rows: Count
    files: FilesOfEmbeddings
    skipped: list[Skipped]
    levels: list[Level]
    model: ModelOfEmbeddings
    data: DataOfEmbeddings
    geometry: GeometryJson
    dimension: Positive
    dtype: Literal["float32", "float16"]
    has_roles: bool
    has_groups: bool = False
    # Of a gallery that has changed since it was written.
    generation: Count = 0
    next_id: Count | None = None
    embedder: EmbedderOfGallery | None = None
    thresholds: list[ThresholdOfLevel] = []

    @pydantic.model_validator(mode="after")
    def _fits_together(self):
        if self.thresholds and len(self.thresholds) != len(self.levels):
            raise ValueError(
                f"thresholds must be one for each of the {len(self.levels)} levels, "
                f"and are {len(self.thresholds)}"
            )
        in_file = self.embedder is not None and self.embedder.preset is None
        if in_file != bool(self.files.embedder):
            raise ValueError(
                "embedder must name a preset, or files have embedder.keras"
            )
        return self


class CollectionOfGallery(Content):
    """What a collection of Milvus says of itself."""

    format_version: Literal[1]
    geometry: GeometryJson
    dimension: Positive
    next_id: Count
    level_names: list[Text]
    num_labels: Count
    thresholds: list[ThresholdOfLevel]
    farthest: Annotated[float, pydantic.Field(ge=0)]
    model: ModelOfEmbeddings
    embedder: EmbedderOfGallery | None = None


class ProgressJson(Content):
    """`progress.json`."""

    position: Count
    rows: Count
    items_bytes: Count
    skipped: list[Skipped]
    # Compared as a whole with that of what is being embedded.
    identity: dict[str, Any]

    @pydantic.model_validator(mode="after")
    def _no_more_rows_than_images(self):
        if self.rows > self.position:
            raise ValueError(f"rows must be at most position, {self.position}")
        return self


# Runs


class Evaluation(Content):
    """Of what `metrics.json` says of its queries."""

    data: Text
    fingerprint: Text
    num_queries: Count
    level_names: Annotated[list[Text], pydantic.Field(min_length=1)]
    metrics: list[Text]


class Metrics(Content):
    """`metrics.json`, as far as it is read again."""

    evaluation: Evaluation


class TrainingMetadata(Content):
    """Of a backup; of Keras's own, which has one name for weights, the first two."""

    epoch: Count
    batch: Count = 0
    weights: FileName | None = None
    arrays: FileName | None = None
    callbacks: dict[str, dict[str, int | float | str | dict[str, float] | None]] = {}


# The zoo


class RecallOfPreset(Content):
    arguments: str
    test_set: str
    value: float


class Speed(Content):
    machine: str
    value: float


class ShippedPreset(Content):
    """What a preset states of itself; only its files must be known to load it."""

    files: dict[FileName, Sha256]
    data: str = ""
    description: str = ""
    embedding_dim: Positive | None = None
    image_shape: list[Positive | None] = []
    images_per_second: Speed | None = None
    method: str = ""
    num_classes: Positive | None = None
    parameters: Count = 0
    recall: Annotated[list[RecallOfPreset], pydantic.Field(alias="recall@1")] = []
    recipe: str = ""
    size: Count = 0


class Registry(Content):
    """`registry.json`."""

    presets: dict[FileName, ShippedPreset]


# Presets


class Serialized(Content):
    """An object as Keras serializes it."""

    class_name: Annotated[str, pydantic.Field(min_length=1)]
    config: dict[str, Any]
    module: str | None = None
    registered_name: str | None = None


class PresetMetadata(Content):
    """`metadata.json`."""

    keras_version: Version | None = None
    keras_hub_version: Version | None = None
    keras_hierproxy_version: Version | None = None
    # What files of weights hold, which are cast to what the layers have.
    weights_dtype: Literal["float32", "float16"] | None = None


class EmbedderConfig(Content):
    """The configuration of an `ImageEmbedder`."""

    backbone: Serialized
    preprocessor: Serialized | None
    name: str | None = None
    num_classes: Positive | None
    embedding_dim: Positive | None
    pooling: str
    geometry: Serialized
    proxies: Serialized | None
    latent: Serialized | None
    last_norm: bool = False
    head_initializer: str | Serialized = "glorot_uniform"
    frozen: list[str] = []
    pretrained: bool
    head_quantization: str | None = None

    @pydantic.model_validator(mode="after")
    def _classes_are_those_of_the_proxies(self):
        # Else the proxies would start anew, without a word.
        proxies = self.proxies and self.proxies.config.get("num_classes")
        if self.num_classes != proxies:
            raise ValueError(
                f"num_classes must be that of the proxies, {proxies!r}, "
                f"and is {self.num_classes!r}"
            )
        return self


class ShardedWeights(Content):
    """`model.weights.json`."""

    weight_map: Annotated[
        dict[str, FileName | list[FileName]], pydantic.Field(min_length=1)
    ]


# Data sets


class NaturalistCategory(Content):
    """A category of iNaturalist."""

    id: int
    kingdom: str
    phylum: str
    # `class` is a word of Python.
    class_: Annotated[str, pydantic.Field(alias="class")]
    order: str
    family: str
    genus: str
    name: str


class NaturalistList(Content):
    """`train2018.json`, `val2018.json`."""

    categories: list[NaturalistCategory]
