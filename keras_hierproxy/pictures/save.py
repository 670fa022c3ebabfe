"""How pictures are written."""

import re
import warnings

from keras_hierproxy.files import replacing

# Bytes of names that are no text, and control characters but the end of a line.
_NOT_DRAWN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def save(figure, path, dpi):
    """Writes a figure, whole or not at all, whatever stands in its texts."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_text(drawable(text.get_text()))
    with warnings.catch_warnings():
        # Names in scripts that no font here has are drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        with replacing(path) as unfinished:
            figure.savefig(unfinished, dpi=dpi)


def drawable(text):
    """A text with a sign in the place of what has none, at which fonts raise."""
    return _NOT_DRAWN.sub("\N{REPLACEMENT CHARACTER}", text)
