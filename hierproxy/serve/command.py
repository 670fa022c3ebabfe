"""`hierproxy serve`."""

import importlib.util
import pathlib
import secrets
import signal
import socket
import webbrowser
from typing import Annotated

import typer

from hierproxy.application import Command, app, console, say
from hierproxy.galleries import GalleryPlace, ModelOfMilvus, opened, start
from hierproxy.options import BackendOption, option, whole

_MEGABYTE = 1_000_000


@app.command(cls=Command)
def serve(
    gallery: GalleryPlace,
    host: Annotated[
        str,
        option(
            "The address to listen at: `0.0.0.0` for all who reach this machine.",
            panel="Network",
            metavar="ADDRESS",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, option("0 for any.", panel="Network", metavar="N", parser=whole(0, 65535))
    ] = 8000,
    writable: Annotated[
        bool,
        option(
            "Let those who have the token add and remove items.",
            "--writable",
            panel="Network",
        ),
    ] = False,
    token: Annotated[
        str | None,
        typer.Option(
            help="By default one is made, and printed. Others on this machine see what "
            "is typed: better set it in the environment.",
            envvar="HIERPROXY_TOKEN",
            rich_help_panel="Network",
            metavar="TEXT",
        ),
    ] = None,
    page: Annotated[
        bool, option("Whether there is a page to look at.", panel="Network")
    ] = True,
    open_page: Annotated[
        bool, option("Open the page in a browser.", "--open", panel="Network")
    ] = False,
    root: Annotated[
        pathlib.Path | None,
        option(
            "The folder whose pictures may be shown; by default that of the images "
            "which the gallery was made of.",
            panel="Network",
            metavar="FOLDER",
        ),
    ] = None,
    batch_size: Annotated[
        int,
        option(
            "Images that pass the network at a time, at most.",
            metavar="N",
            parser=whole(1, 1024),
        ),
    ] = 32,
    max_requests: Annotated[
        int,
        option(
            "Requests that are worked on at a time; others get 429.",
            metavar="N",
            parser=whole(1),
        ),
    ] = 128,
    max_megabytes: Annotated[
        int, option("Of a request, at most.", metavar="N", parser=whole(1, 1000))
    ] = 20,
    model: ModelOfMilvus = None,
    backend: BackendOption = None,
):
    """Answers over HTTP what photos show, and what in a gallery is like them.

    `/search` and `/identify` take image files, as a form or in JSON; `/items` shows
    what is there, and changes it where `--writable` allows; `/health` tells how it is;
    `/openapi.json` describes all of it, and `/page` is a page to try it. **Ctrl-C**, or
    SIGTERM, ends it when all that was asked is answered.

    Examples:

        hierproxy serve gallery/
        curl -F images=@photo.jpg "http://127.0.0.1:8000/search?k=3"
        HIERPROXY_TOKEN=... hierproxy serve gallery/ --writable --host 0.0.0.0
    """
    missing = [
        name
        for name in ("fastapi", "uvicorn", "python_multipart", *["gradio"] * page)
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise ImportError(
            f"The service needs {', '.join(missing)}: "
            "pip install 'keras-hierproxy[serve]'"
        )
    if token is not None and not writable:
        token = None  # of the environment, for other galleries
    with _bound(host, port) as listening:
        (runs,) = start(gallery, backend)
        import uvicorn

        from hierproxy.serve.app import create_app

        with console.status("Loading, warming up ..."):
            if writable and token is None:
                token = secrets.token_urlsafe()
                console.print("Token:")
                say(token)
            service = create_app(
                opened(runs, gallery, model),
                token,
                root,
                page,
                batch_size,
                max_requests,
                max_megabytes * _MEGABYTE,
            )
        where = f"[{host}]" if ":" in host else host
        url = f"http://{where}:{listening.getsockname()[1]}/"
        say(f"{service.title} at {url}")
        if open_page:
            webbrowser.open(url)
        server = uvicorn.Server(
            uvicorn.Config(
                service,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=60,
            )
        )
        # uvicorn stops by itself, and then raises what stopped it again.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        server.run(sockets=[listening])
    console.print("Stopped. All that was asked is answered.")


def _bound(host, port):
    """A socket that listens, or an error that says why there is none."""
    try:
        listening = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
        # Connections inherit it: else each answer waits 40 ms for the client's receipt
        # of its headers. asyncio sets it on those alone that it has opened itself.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        raise OSError(
            f"Nothing can listen at {host}, port {port}: {error.strerror or error}. "
            "Choose another --port, or --host."
        ) from None
