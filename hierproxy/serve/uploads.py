"""Images that clients send, as arrays."""

import base64
import binascii
import io
import json

import numpy as np
import pydantic
from fastapi import HTTPException
from starlette.datastructures import UploadFile

from keras_hierproxy import datasets

# Of a request.
MAX_IMAGES = 16


class Body(pydantic.BaseModel):
    """A request in JSON."""

    model_config = pydantic.ConfigDict(extra="forbid")

    images: list[str] = pydantic.Field(
        description="Image files in base64.", min_length=1, max_length=MAX_IMAGES
    )


class NewItems(Body):
    """Items to be added, in JSON."""

    labels: list[list[str] | str | None] | None = pydantic.Field(
        None,
        description="Of each image its class; in a gallery of several levels a list of "
        "names, finest first; null for none.",
    )


class Image(io.BytesIO):
    """A file of an image; its name is what errors say."""

    def __init__(self, content, number):
        super().__init__(content)
        self._name = f"image {number}"

    def __str__(self):
        return self._name


def openapi_of(schema):
    """What OpenAPI says of a body that is JSON or a form."""
    fields = {
        "images": {"type": "array", "items": {"type": "string", "format": "binary"}}
    }
    if schema is NewItems:
        fields["labels"] = {"type": "string", "description": "JSON, as of the other."}
    form = {"type": "object", "properties": fields, "required": ["images"]}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                "application/json": {"schema": schema.model_json_schema()},
            },
        }
    }


async def read_body(request, schema=Body):
    """What a client sent, and its image files as bytes.

    Args:
        request: `fastapi.Request`, whose length is bounded.
        schema: `Body` or `NewItems`.

    Returns:
        `(body, files)`.

    Raises:
        HTTPException: it is neither a form nor JSON, or not as the schema says.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        body = _checked(schema, await request.body())
        return body, [_decoded(text, i) for i, text in enumerate(body.images, 1)]
    if kind == "multipart/form-data":
        return await _form(request, schema)
    raise HTTPException(
        415,
        'Send JSON, {"images": ["..."]} in base64, or a form (multipart/form-data) '
        "with files called images.",
    )


async def _form(request, schema):
    async with request.form(max_files=MAX_IMAGES, max_fields=8) as form:
        given = form.getlist("images")
        if not all(isinstance(each, UploadFile) for each in given):
            raise HTTPException(422, "images must be files.")
        files = [await each.read() for each in given]
        rest = {}
        for name, value in form.items():
            if isinstance(value, UploadFile) and name != "images":
                raise HTTPException(422, f"There is no field {name!r} of files.")
            if isinstance(value, str):
                rest[name] = _json(value, name)
    return _checked(schema, {**rest, "images": [""] * len(files)}), files


def _json(text, name):
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise HTTPException(422, f"{name} must be JSON.") from None


def _checked(schema, content):
    try:
        if isinstance(content, bytes):
            return schema.model_validate_json(content)
        return schema.model_validate(content)
    except pydantic.ValidationError as error:
        # Without what was sent, which may be long.
        problems = error.errors(include_url=False, include_input=False)[:3]
        told = [
            ": ".join([".".join(map(str, each["loc"])) or "body", each["msg"]])
            for each in problems
        ]
        raise HTTPException(422, "; ".join(told)) from None


def _decoded(text, number):
    """The bytes of base64, which may stand in a data URI."""
    text = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise HTTPException(422, f"image {number} is not base64.") from None


def as_array(files, image_shape):
    """Pixels of image files, as `datasets.ImageFiles` reads them from a disk.

    Args:
        files: list of bytes.
        image_shape: `(height, width, channels)`.

    Returns:
        uint8 array `(n, *image_shape)`.

    Raises:
        HTTPException: one is no image that can be read.
    """
    *size, channels = image_shape
    images = datasets.ImageFiles(
        [Image(content, i) for i, content in enumerate(files, 1)],
        tuple(size),
        "grayscale" if channels == 1 else "rgb",
    )
    try:
        return images[np.arange(len(images))]
    except ValueError as error:  # `UnreadableImage`
        raise HTTPException(422, f"{error}") from None
