"""The page of the service: a photo in, or a drawing, and what is said of it."""

import base64
import functools
import io
import os
import pathlib

import jinja2
from fastapi.responses import RedirectResponse
from PIL import Image, ImageOps

from keras_hierproxy.gallery.plain import plain_answer, plain_hits
from keras_hierproxy.pictures.names import shortened
from keras_hierproxy.pictures.retrieved import similarity_name, similarity_texts
from keras_hierproxy.report.thumbnails import thumbnail_of_file

_FOLDER = pathlib.Path(__file__).parent
_SHOWN = 8
_PAD = 320
_NAME_LENGTH = 60


def add_page(app, max_bytes):
    """Mounts the page at `/page`, where `/` leads.

    Args:
        app: of `create_app`.
        max_bytes: int, of an upload.
    """
    # Asked for when it is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    gallery = app.state.gallery
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER), autoescape=True, trim_blocks=True
    )
    environment.filters["short"] = functools.partial(shortened, length=_NAME_LENGTH)
    template = environment.get_template("answer.html.jinja")

    async def of_photo(photo):
        return await answer(pathlib.Path(photo["path"]).read_bytes()) if photo else ""

    async def of_drawing(drawing):
        return await answer(_cut_out(drawing)) if drawing else ""

    async def answer(file):
        try:
            what = "answers" if gallery.thresholds else "hits"
            (found,) = await app.state.ask([file], what, _SHOWN)
        except Exception as error:
            told = getattr(error, "detail", str(error))
            raise gr.Error(told, print_exception=False) from None
        return template.render(**_parts(found, app))

    letters = gallery.image_shape[2] == 1
    with gr.Blocks(
        title=app.title, analytics_enabled=False, delete_cache=(600, 600)
    ) as blocks:
        gr.Markdown(f"# {app.title}\nWhat is it, and what is like it?")
        with gr.Row():
            with gr.Column(scale=2, min_width=_PAD):
                if letters:
                    with gr.Tab("Draw"):
                        pad = gr.HTML(
                            html_template=f'<canvas width="{_PAD}" height="{_PAD}" '
                            'aria-label="Draw a letter here"></canvas>'
                            '<button type="button">Clear</button>',
                            js_on_load=(_FOLDER / "pad.js").read_text("utf-8"),
                            elem_id="pad",
                        )
                with gr.Tab("Image" if letters else "Photo"):
                    photo = gr.Image(
                        sources=["upload", "webcam", "clipboard"],
                        type="filepath",
                        image_mode=None,
                        height=_PAD,
                        show_label=False,
                        elem_id="photo",
                    )
            with gr.Column(scale=3, min_width=_PAD):
                result = gr.HTML(elem_id="result")
        options = {"api_visibility": "private", "trigger_mode": "always_last"}
        # What Gradio would open, without our limits and our words, is read here.
        photo.change(of_photo, photo, result, preprocess=False, **options)
        if letters:
            pad.input(of_drawing, pad, result, **options)
    blocks.queue(api_open=False, max_size=64, default_concurrency_limit=8)

    @app.get("/", include_in_schema=False)
    async def start():
        return RedirectResponse("page")

    gr.mount_gradio_app(
        app,
        blocks,
        "/page",
        footer_links=[],
        run_history=False,
        max_file_size=max_bytes,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        # Fonts of the system: none is loaded.
        theme=gr.themes.Default(
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
        css=(_FOLDER / "page.css").read_text("utf-8"),
    )


def _parts(found, app):
    """What the template shows of hits, or of an answer."""
    gallery, may_be_shown = app.state.gallery, app.state.may_be_shown
    answer, hits = None, found
    if gallery.thresholds:
        answer, hits = plain_answer(found, gallery), found.hits
    shown = plain_hits(hits)[:_SHOWN]
    texts = similarity_texts(hits.similarities[: len(shown)], gallery.geometry)
    return {
        "answer": answer and app.state.told(answer),
        "similarity_name": similarity_name(gallery.geometry),
        "hits": [
            {
                "uri": thumbnail_of_file(hit["path"])
                if may_be_shown(hit["path"])
                else None,
                "similarity": text,
                "names": list(filter(None, told["label"])),
            }
            for hit, told, text in zip(shown, app.state.told(shown), texts, strict=True)
        ],
    }


def _cut_out(drawing):
    """The ink of a drawing as a file, with a margin: the pad's is for the hand.

    Args:
        drawing: str, the picture on the pad as a data URI.
    """
    content = base64.b64decode(drawing.partition(",")[2])
    ink = ImageOps.invert(Image.open(io.BytesIO(content), formats=["png"]).convert("L"))
    left, upper, right, lower = ink.getbbox() or (0, 0, *ink.size)
    side = round(1.4 * max(right - left, lower - upper))
    cut = ink.crop((left, upper, right, lower))
    picture = Image.new("L", (side, side))
    picture.paste(cut, ((side - cut.width) // 2, (side - cut.height) // 2))
    file = io.BytesIO()
    picture.save(file, "png")
    return file.getvalue()
