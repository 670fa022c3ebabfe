"""Publishes a preset."""

import pathlib

from keras_hierproxy.models import hub, hugging_face
from keras_hierproxy.models.image_embedder import ImageEmbedder


def upload_preset(uri, preset_dir):
    """Uploads a preset to Hugging Face or Kaggle, model card and all.

    The preset is loaded first, so that nothing is published that nobody can load. On
    Hugging Face a model that has no card gets one of a few lines. Log in before, by
    `huggingface_hub.login()` or `kagglehub.login()`.

    Args:
        uri: str, `"hf://user/model"`, which needs the extra `huggingface`, or
            `"kaggle://user/model/keras/variation"`, which needs the extra `hub`.
        preset_dir: str or path of a folder that `save_to_preset` wrote. Everything in
            it is uploaded.

    Raises:
        ValueError: the folder holds no `ImageEmbedder` that can be loaded, or the
            URI is of another form.
        ImportError: the extra is not installed.

    Example:

    >>> embedder = khp.models.ImageEmbedder(khp.models.conv4(), embedding_dim=8)
    >>> embedder.save_to_preset("my_preset")
    >>> uri = "hf://user/reads-handwriting"
    >>> khp.models.upload_preset(uri, "my_preset")  # doctest: +SKIP
    >>> # Anywhere else:
    >>> khp.models.ImageEmbedder.from_preset(uri)  # doctest: +SKIP
    """
    folder = pathlib.Path(preset_dir)
    if not uri.startswith((hugging_face.PREFIX, "kaggle://")):
        raise ValueError(
            "A preset is uploaded to 'hf://user/model' or to "
            f"'kaggle://user/model/keras/variation'. Received: {uri!r}."
        )
    ImageEmbedder.from_preset(folder)
    if uri.startswith(hugging_face.PREFIX):
        hugging_face.upload(uri, folder)
    else:
        hub.keras_hub(f"{uri}").upload_preset(uri, str(folder))
