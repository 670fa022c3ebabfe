"""Presets on Hugging Face, by its own client, the extra `huggingface`."""

import importlib

PREFIX = "hf://"
_CARD = "README.md"
_FORM = "A handle of Hugging Face should have the form 'hf://user/model'. Received: {}."


def get_file(handle, file):
    """The path of a file on this machine, downloaded if need be.

    Args:
        handle: str, `"hf://user/model"`.
        file: str, its name.

    Raises:
        FileNotFoundError: the model has none, or is out of reach; its cause tells.
        ValueError: the handle is of another form.
    """
    client = _client(handle)
    errors = client.errors
    try:
        return client.hf_hub_download(
            repo_id=handle.removeprefix(PREFIX), filename=file
        )
    except errors.HFValidationError as error:
        raise ValueError(_FORM.format(repr(handle))) from error
    except errors.EntryNotFoundError as error:
        raise FileNotFoundError(f"{handle} has no {file}.") from error


def upload(handle, folder):
    """Uploads a preset, with a model card.

    Args:
        handle: as of `get_file`.
        folder: `pathlib.Path` of a preset.
    """
    client = _client(handle)
    try:
        repository = client.create_repo(
            repo_id=handle.removeprefix(PREFIX), exist_ok=True
        ).repo_id
    except client.errors.HFValidationError as error:
        raise ValueError(_FORM.format(repr(handle))) from error
    client.upload_folder(repo_id=repository, folder_path=str(folder))
    if (folder / _CARD).exists() or client.file_exists(repository, _CARD):
        return
    client.upload_file(
        path_or_fileobj=_card(handle).encode(), path_in_repo=_CARD, repo_id=repository
    )


def _card(handle):
    """What stands for a model card where there is none."""
    return f"""---
library_name: keras-hierproxy
pipeline_tag: image-feature-extraction
---

An embedder of images, by [keras-hierproxy](https://pypi.org/project/keras-hierproxy):

```python
import keras_hierproxy as khp

embedder = khp.models.ImageEmbedder.from_preset("{handle}")
```
"""


def _client(handle):
    try:
        return importlib.import_module("huggingface_hub")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{handle} needs huggingface_hub, which is not installed: "
            "`pip install 'keras-hierproxy[huggingface]'`."
        ) from error
