"""The service: who asks what of a gallery, over HTTP."""

import asyncio
import base64
import concurrent.futures
import contextlib
import hmac
import os
from typing import Annotated

import fastapi
import numpy as np
import pydantic
from fastapi import HTTPException, Path, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

import keras_hierproxy
from hierproxy.serve.batching import Batcher
from hierproxy.serve.limits import Limits
from hierproxy.serve.uploads import Body, NewItems, as_array, openapi_of, read_body
from keras_hierproxy.gallery.plain import as_tuple, plain_answer, plain_hits
from keras_hierproxy.report.thumbnails import thumbnail_of_file
from keras_hierproxy.runs import shown_of

Id = Annotated[int, Path(ge=0, lt=2**63)]


class Item(pydantic.BaseModel):
    """An item of the gallery."""

    id: int
    label: list[str | None] = pydantic.Field(description="Names, finest first.")
    path: str | None = pydantic.Field(
        description="Of its image, from the folder of the gallery's images; null where "
        "it lies elsewhere."
    )


class Hit(Item):
    similarity: float


class Level(pydantic.BaseModel):
    """What an answer at one level would be, and why it is given or not."""

    name: str
    label: str | None
    score: float | None
    threshold: float | None
    answered: bool


class Answer(pydantic.BaseModel):
    """As of `khp.gallery.Answer`; label and level are null for unknown."""

    label: str | None
    level: int | None
    level_name: str | None
    path: list[str]
    confidence: float
    levels: list[Level]
    hits: list[Hit]


class Found(pydantic.BaseModel):
    results: list[list[Hit]] = pydantic.Field(description="Of each image.")


class Answers(pydantic.BaseModel):
    results: list[Answer] = pydantic.Field(description="Of each image.")


class Items(pydantic.BaseModel):
    count: int
    items: list[Item]


class Ids(pydantic.BaseModel):
    ids: list[int]


class Health(pydantic.BaseModel):
    status: str
    items: int
    calibrated: bool
    writable: bool
    version: str


def create_app(
    gallery,
    token=None,
    root=None,
    page=True,
    batch_size=32,
    max_requests=128,
    max_bytes=20_000_000,
):
    """A service of a gallery, for uvicorn, or to be mounted in another FastAPI app.

    Args:
        gallery: `khp.Gallery` with an embedder of images.
        token: str that clients who add and remove items must send, as
            `Authorization: Bearer TOKEN`. By default None: nobody may.
        root: path of the folder whose pictures may be shown, by default that of the
            images which the gallery was made of.
        page: bool, whether there is a page to look at, `/page`.
        batch_size: int, images that pass the network at a time.
        max_requests: int, requests that are worked on at a time; others get 429.
        max_bytes: int, of a request.

    Returns:
        `fastapi.FastAPI`. Its lifespan answers what was asked before it ends; where it
        is mounted, call `app.state.batcher.close()` for that.

    Raises:
        ValueError: the gallery has no embedder of images.

    Example:

        app = fastapi.FastAPI()
        app.mount("/answers", create_app(khp.Gallery.load("gallery"), page=False))
    """
    if gallery.embedder is None:
        raise ValueError(
            "The gallery holds no model, so that it can't be asked by images. Embed "
            "them by `hierproxy embed`, or build it by `Gallery.build`; for one in "
            "Milvus, name the model of its points (--model)."
        )
    batcher = Batcher(gallery, batch_size)
    # Each takes the memory of a large image while it works.
    readers = concurrent.futures.ThreadPoolExecutor(os.cpu_count())

    @contextlib.asynccontextmanager
    async def lifespan(app):
        yield
        await asyncio.to_thread(batcher.close)
        readers.shutdown()

    app = fastapi.FastAPI(
        title=f"Gallery of {len(gallery):,} items",
        version=keras_hierproxy.__version__,
        lifespan=lifespan,
        docs_url=None,  # which would load scripts from elsewhere
        redoc_url=None,
    )
    app.state.batcher, app.state.gallery = batcher, gallery
    app.add_middleware(Limits, max_bytes=max_bytes, max_requests=max_requests)
    app.state.may_be_shown = may_be_shown = shown_of(gallery, root)
    start = os.path.realpath(root or gallery.root or os.curdir)

    def located(path):
        """Where an image lies, without what is nobody's business."""
        return _text(os.path.relpath(path, start)) if may_be_shown(path) else None

    def items(ids):
        return [
            Item(id=i, label=list(map(_text, as_tuple(label))), path=located(path))
            for i, label, path in zip(ids, *gallery.about(ids), strict=True)
        ]

    def told(value):
        """Plain hits and answers as clients may see them."""
        if isinstance(value, dict):
            return {
                key: located(each) if key == "path" and "id" in value else told(each)
                for key, each in value.items()
            }
        if isinstance(value, list):
            return [told(each) for each in value]
        return _text(value) if isinstance(value, str) else value

    async def ask(files, what, k=1):
        loop = asyncio.get_running_loop()
        shape = gallery.image_shape
        images = await loop.run_in_executor(readers, as_array, files, shape)
        try:
            return await asyncio.wrap_future(batcher.ask(images, what, k))
        except ValueError as error:
            raise HTTPException(422, str(error)) from None

    app.state.ask, app.state.told = ask, told

    async def may_write(
        given: Annotated[
            HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))
        ],
    ):
        if token is None:
            raise HTTPException(403, "This gallery is served to be read only.")
        sent = "" if given is None else given.credentials
        if not hmac.compare_digest(sent.encode(), token.encode()):
            raise HTTPException(
                401, "The token is wrong, or missing.", {"WWW-Authenticate": "Bearer"}
            )

    writing = [fastapi.Depends(may_write)]

    @app.get("/health")
    async def health() -> Health:
        """Whether the service works."""
        return Health(
            status="ok",
            items=len(gallery),
            calibrated=bool(gallery.thresholds),
            writable=token is not None,
            version=keras_hierproxy.__version__,
        )

    @app.post("/search", openapi_extra=openapi_of(Body))
    async def search(
        request: Request, k: Annotated[int, Query(ge=1, le=100)] = 5
    ) -> Found:
        """The most similar items of each image."""
        _, files = await read_body(request)
        hits = await ask(files, "hits", k)
        return {"results": [told(plain_hits(each)[:k]) for each in hits]}

    @app.post("/identify", openapi_extra=openapi_of(Body))
    async def identify(request: Request) -> Answers:
        """What each image shows, as finely as the gallery's promise holds."""
        if not gallery.thresholds:
            raise HTTPException(409, "The gallery is not calibrated.")
        _, files = await read_body(request)
        answers = await ask(files, "answers")
        return {"results": [told(plain_answer(each, gallery)) for each in answers]}

    @app.get("/items")
    def list_items(
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=0, le=1000)] = 100,
    ) -> Items:
        """Items in the order of their ids."""
        ids = np.sort(gallery.ids)
        return Items(count=len(ids), items=items(ids[offset : offset + limit].tolist()))

    @app.get("/items/{id}")
    def get_item(id: Id) -> Item:
        (item,) = there(items, [id])
        return item

    @app.get("/items/{id}/picture", response_class=fastapi.Response)
    def picture(id: Id):
        """A thumbnail of an item, in JPEG."""
        _, (path,) = there(gallery.about, [id])
        uri = thumbnail_of_file(path) if may_be_shown(path) else None
        if uri is None:
            raise HTTPException(404, f"There is no picture of item {id}.")
        kind, _, content = uri.removeprefix("data:").partition(";base64,")
        return fastapi.Response(base64.b64decode(content), media_type=kind)

    @app.post(
        "/items",
        status_code=201,
        dependencies=writing,
        openapi_extra=openapi_of(NewItems),
    )
    async def add_items(request: Request) -> Ids:
        """Adds items, without training."""
        body, files = await read_body(request, NewItems)
        points = await ask(files, "points")
        labels = body.labels and [
            tuple(each) if isinstance(each, list) else each for each in body.labels
        ]
        try:
            ids = await asyncio.to_thread(
                gallery.add, points=np.stack(points), labels=labels
            )
        except ValueError as error:
            raise HTTPException(422, str(error)) from None
        return Ids(ids=ids.tolist())

    @app.delete("/items/{id}", status_code=204, dependencies=writing)
    def remove_item(id: Id):
        there(gallery.remove, [id])

    if page:
        from hierproxy.serve.page import add_page

        add_page(app, max_bytes)
    return app


def there(function, ids):
    """Calls a function of ids; 404 where there is no such item."""
    try:
        return function(ids)
    except ValueError as error:
        raise HTTPException(404, str(error)) from None


def _text(name):
    """Names of files may hold bytes that are no text, which JSON can't."""
    return name and name.encode("utf-8", "replace").decode()
