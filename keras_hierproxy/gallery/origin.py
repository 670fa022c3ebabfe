"""Which model a gallery's points are of, and how that model travels with it."""

import pathlib
import shutil

from keras_hierproxy import shipped
from keras_hierproxy.embeddings.on_disk import EMBEDDER, file_name
from keras_hierproxy.files import replacing
from keras_hierproxy.models import ImageEmbedder, keras_files
from keras_hierproxy.models.embedder import Embedder
from keras_hierproxy.models.fingerprint import fingerprint


class Origin:
    """A model that is there, in a gallery's folder, or not at all.

    Args:
        embedder: an `Embedder`; or the name of a preset, the path of one, of a run or
            of a `.keras` file; or None.

    Attributes:
        preset: name of the shipped preset that it is, or None.
        file: path of the `.keras` file that it is to be read from, or None.
        sha256: its `fingerprint`, or None without a model.
    """

    def __init__(self, embedder=None):
        self.preset = self.file = self.sha256 = None
        if isinstance(embedder, str) and embedder in shipped.presets():
            self.preset = embedder
        if isinstance(embedder, str | pathlib.PurePath):
            embedder = ImageEmbedder.from_preset(embedder, num_classes=None)
        if embedder is not None:
            _check(embedder)
            self.sha256 = fingerprint(embedder)
        self._embedder = embedder

    @classmethod
    def of_model(cls, embedder, path):
        """That of a model that was loaded from a path, or by the name of a preset."""
        origin, path = cls(embedder), pathlib.Path(path)
        file = path / "model.keras" if path.is_dir() else path
        if file.suffix == ".keras" and file.exists():
            origin.file = file
        elif not path.exists():
            origin.preset = str(path)
        return origin

    @classmethod
    def of_description(cls, description, folder=None):
        """What a gallery says of its model, to be loaded when it is needed."""
        origin, stored = cls(), description.get("embedder")
        origin.sha256 = description["model"].get("weights_sha256")
        if stored is not None:
            origin.sha256 = stored["weights_sha256"]
            origin.preset = stored.get("preset")
            if origin.preset is None and folder is not None:
                name = file_name(EMBEDDER, description.get("generation", 0))
                origin.file = pathlib.Path(folder) / name
        return origin

    def __bool__(self):
        return any((self._embedder is not None, self.preset, self.file))

    @property
    def embedder(self):
        """The model, loaded at the first call; None without one."""
        if self._embedder is None and self:
            if self.preset is not None:
                if self.preset not in shipped.presets():
                    raise ValueError(
                        f"The gallery is of the preset {self.preset!r}, which this "
                        "version does not ship."
                    )
                embedder = ImageEmbedder.from_preset(self.preset, num_classes=None)
            else:
                embedder = keras_files.load(self.file)
                _check(embedder)
            if fingerprint(embedder) != self.sha256:
                raise ValueError(
                    f"The model of the gallery, {self.preset or self.file}, is another "
                    "than the one whose points it holds."
                )
            self._embedder = embedder
        return self._embedder

    def check_unchanged(self):
        """Raises a `ValueError` where the model was trained meanwhile."""
        if fingerprint(self.embedder) != self.sha256:
            raise ValueError(
                "The embedder has other weights than when the gallery was made: its "
                "points would not compare. Build a new gallery with `Gallery.build`."
            )

    def check_same(self, sha256, what):
        """Raises a `ValueError` where other points are known to be of another model."""
        if sha256 and self.sha256 and sha256 != self.sha256:
            raise ValueError(
                f"{what} are of another model than the gallery: weights "
                f"{sha256[:12]}..., and not {self.sha256[:12]}... Embed them with the "
                "gallery's own, `gallery.embedder`."
            )

    def described(self):
        """The entries `model` and `embedder` of `embeddings.json`."""
        if self.sha256 is None:
            return {"model": {}}
        model = {"weights_sha256": self.sha256}
        if self._embedder is not None:
            model["class"] = type(self._embedder).__name__
        if not self:
            return {"model": model}
        preset = {} if self.preset is None else {"preset": self.preset}
        return {
            "model": model | ({"path": self.preset} if preset else {}),
            "embedder": {"weights_sha256": self.sha256, **preset},
        }

    def writer(self):
        """Function that writes the model to a path; None where it needs no file."""
        if self.preset is not None or not self:
            return None
        if self.file is None:
            return self._save
        return _copier(self.file)

    def _save(self, path):
        self.check_unchanged()
        # In its own format, by its suffix.
        self._embedder.save(path)


def copy_of_embedder(folder, description):
    """Function that copies the file of a folder's model to a path, or None."""
    return Origin.of_description(description, folder).writer()


def _copier(file):
    def copy(path):
        with replacing(path) as unfinished:
            shutil.copyfile(file, unfinished)

    return copy


def _check(embedder):
    if not isinstance(embedder, Embedder):
        raise ValueError(
            "`embedder` must be a `khp.models.ImageEmbedder`, a "
            "`khp.models.EmbeddingModel` or the name of a preset. Received: "
            f"{embedder!r}."
        )
    shape = embedder.output_shape
    if not (isinstance(shape, tuple) and len(shape) == 2):
        raise ValueError(
            "A gallery needs a model with one output, (batch, dimensions). Received: "
            f"outputs of shape {shape}."
        )
