"""How much a client may send, and how many at a time."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse


class Limits:
    """Refuses what is too much before it is read.

    Args:
        app: the ASGI application behind.
        max_bytes: int, of a request's body.
        max_requests: int, requests with a body that are worked on at a time. Others get
            429 at once: they wait at the client, where waiting costs nothing here.
        seconds: float, that a body may take to arrive.
    """

    def __init__(self, app, max_bytes, max_requests, seconds=30):
        self.app = app
        self.max_bytes, self.max_requests = max_bytes, max_requests
        self.seconds = seconds
        self.num_requests = 0

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return await self.app(scope, receive, send)
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.max_bytes:
            return await self._too_large(scope, receive, send)
        if self.num_requests >= self.max_requests:
            response = JSONResponse(
                {"detail": "Too many requests are waiting. Try again in a second."},
                429,
                {"Retry-After": "1"},
            )
            return await response(scope, receive, send)
        self.num_requests += 1
        try:
            await self.app(scope, self._bounded(receive), send)
        finally:
            self.num_requests -= 1

    def _bounded(self, receive):
        """`receive`, which raises where a body is too long, or too slow."""
        received, complete = 0, False
        deadline = asyncio.get_running_loop().time() + self.seconds

        async def bounded():
            nonlocal received, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "The request took too long.") from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self.max_bytes:
                raise HTTPException(413, self._message())
            return message

        return bounded

    async def _too_large(self, scope, receive, send):
        response = JSONResponse({"detail": self._message()}, 413)
        await response(scope, receive, send)

    def _message(self):
        return f"A request may have {self.max_bytes:,} bytes."
