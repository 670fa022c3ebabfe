"""Publishes a preset."""

import pathlib

import keras_hub

from keras_hierproxy.models.image_embedder import ImageEmbedder

_HF = "hf://"
_CARD = "README.md"


def upload_preset(uri, preset_dir):
    """Uploads a preset to Hugging Face or Kaggle, model card and all.

    It is `keras_hub.upload_preset`, and keeps the card: that would replace the
    `README.md` in the folder by a generated one where the repository on Hugging Face
    has none yet, and then delete it. The preset is loaded first, so that nothing is
    published that nobody can load. Log in before, by `huggingface_hub.login()` or
    `kagglehub.login()`.

    Args:
        uri: str, `"hf://user/model"` or `"kaggle://user/model/keras/variation"`.
        preset_dir: str or path of a folder that `save_to_preset` wrote. Everything in
            it is uploaded.

    Raises:
        ValueError: the folder holds no `ImageEmbedder` that can be loaded, or the
            URI is of another form.

    Example:

    ```python
    embedder.save_to_preset("my_preset")
    pathlib.Path("my_preset", "README.md").write_text("# Reads handwriting")
    khp.models.upload_preset("hf://user/reads-handwriting", "my_preset")

    # Anywhere else:
    khp.models.ImageEmbedder.from_preset("hf://user/reads-handwriting")
    ```
    """
    folder = pathlib.Path(preset_dir)
    ImageEmbedder.from_preset(folder)
    card = folder / _CARD
    if uri.startswith(_HF) and card.exists():
        # Not every installation of keras-hub brings it.
        import huggingface_hub

        # keras-hub leaves the card of a repository that has one.
        repository = huggingface_hub.create_repo(uri.removeprefix(_HF), exist_ok=True)
        huggingface_hub.upload_file(
            path_or_fileobj=card, path_in_repo=_CARD, repo_id=repository.repo_id
        )
    keras_hub.upload_preset(uri, str(folder))
