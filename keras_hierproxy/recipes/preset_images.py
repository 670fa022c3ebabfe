"""In which size the images of a preset are read."""

import pathlib

from keras_hierproxy import json_files, shipped

# Images of pretrained networks, where these do not say otherwise.
PRETRAINED = (224, 224, 3)


def image_shape(preset):
    """`(height, width, channels)` of the images that a preset takes, as it says.

    Args:
        preset: str, of a shipped one, or the path of a preset's folder. Of others,
            which would have to be downloaded, it is `PRETRAINED`.
    """
    known = shipped.presets().get(preset, {})
    folder = pathlib.Path(preset)
    if "image_shape" in known:
        shape = known["image_shape"]
    elif (folder / "config.json").is_file():
        shape = _of_backbone(_config(folder / "config.json"))
        resized = [
            _config(folder / f"{name}.json").get("image_size")
            for name in ("preprocessor", "image_converter")
        ]
        size = next((size for size in resized if isinstance(size, list)), shape[:2])
        shape = [
            own or resized for own, resized in zip(shape, [*size, None], strict=True)
        ]
    else:
        shape = PRETRAINED
    return tuple(own or usual for own, usual in zip(shape, PRETRAINED, strict=True))


def _config(path):
    """The arguments of the object that a file of a preset describes, {} of none."""
    config = json_files.read(path, dict).get("config") if path.is_file() else None
    return config if isinstance(config, dict) else {}


def _of_backbone(config):
    """Of a functional model, or of a class of keras-hub."""
    layers = config.get("layers") or [{}]
    shape = layers[0].get("config", {}).get("batch_shape", [None])[1:]
    shape = shape or config.get("image_shape") or ()
    return shape if len(shape) == 3 else (None, None, None)
