"""Glyphs of matplotlib's fonts as outlines: read, distorted and drawn.

Distorting the outline and not its pixels keeps the edges of the drawing sharp, and
the drawing (by Agg, which matplotlib contains) the same everywhere.
"""

import dataclasses

import numpy as np

IMAGE_SIZE = 32
_MARGIN = 1.5  # pixels that stay black at each border


@dataclasses.dataclass(frozen=True)
class Outline:
    """A glyph as lines and Bezier curves.

    Attributes:
        points: float array `(n, 2)`, y upwards.
        codes: `uint8` array `(n,)` of `matplotlib.path.Path` codes.
    """

    points: np.ndarray
    codes: np.ndarray

    def fitted(self, length, middle=0):
        """The outline with a longer side of `length`.

        Args:
            length: positive float.
            middle: where to put the middle of the outline, on both axes. Defaults
                to 0.

        Returns:
            `Outline`.

        Example:

        >>> letters = khp.datasets.glyphs.outlines.read_outlines("DejaVuSans", "l")
        >>> letters["l"].fitted(20).points.max(0).round(2)
        array([ 1.18, 10.  ])
        """
        low, high = self.points.min(0), self.points.max(0)
        scale = length / (high - low).max()
        return Outline((self.points - (low + high) / 2) * scale + middle, self.codes)


def read_outlines(font, characters):
    """The outlines that a font has for some characters.

    Args:
        font: name of a font file in matplotlib's font folder, without its ending.
        characters: the characters to look for.

    Returns:
        Dictionary from character to `Outline`, of length 1, without the characters
        that the font lacks or leaves blank.

    Example:

    >>> outlines = khp.datasets.glyphs.outlines.read_outlines("cmr10", "aä")
    >>> outlines["a"].points.shape, "ä" in outlines
    ((90, 2), False)
    """
    import matplotlib
    from matplotlib.ft2font import FT2Font, LoadFlags
    from matplotlib.path import Path

    file = FT2Font(f"{matplotlib.get_data_path()}/fonts/ttf/{font}.ttf")
    # In the units of the design, and unhinted: else FreeType's version would show.
    file.set_size(file.units_per_EM, dpi=72)
    present = file.get_charmap()
    outlines = {}
    for character in characters:
        # Computer Modern is older than Unicode: beyond ASCII its fonts show Greek
        # letters and accents in the places of Latin ones.
        misplaced = font.startswith("cm") and not character.isascii()
        if ord(character) not in present or misplaced:
            continue
        file.load_char(ord(character), LoadFlags.NO_HINTING)
        points, codes = file.get_path()
        if len(points):
            points[codes == Path.CLOSEPOLY] = points[0]  # no point, but (0, 0)
            outlines[character] = Outline(points, codes).fitted(1)
    return outlines


def distort(outline, rng):
    """Turns, shears, stretches, bends, scales and shifts an outline at random.

    Args:
        outline: `Outline` of length 1.
        rng: `numpy.random.Generator`.

    Returns:
        `Outline` in pixels, inside the frame.

    Example:

    >>> outline = khp.datasets.glyphs.outlines.read_outlines("DejaVuSans", "a")["a"]
    >>> rng = np.random.default_rng(0)
    >>> distorted = khp.datasets.glyphs.outlines.distort(outline, rng)
    >>> image = khp.datasets.glyphs.outlines.draw(distorted)
    """
    turn, shear = rng.uniform(-0.2, 0.2, 2)
    stretch = rng.uniform(0.88, 1.12)
    cos, sin = np.cos(turn), np.sin(turn)
    affine = [[cos, -sin], [sin, cos]] @ np.array([[stretch, shear], [0, 1 / stretch]])
    points = outline.points @ affine.T

    # A wave along each axis, up to a pixel high and as long as the glyph.
    height, phase = rng.uniform(0, 0.04, 2), rng.uniform(0, 2 * np.pi, 2)
    points += height * np.sin(5 * points[:, ::-1] + phase)

    points = Outline(points, outline.codes).fitted(rng.uniform(21, 28)).points
    free = IMAGE_SIZE / 2 - _MARGIN - points.max(0)
    points += IMAGE_SIZE / 2 + rng.uniform(-0.5, 0.5, 2) * free
    return Outline(points, outline.codes)


def draw(outline, thickness=0):
    """Draws an outline filled.

    Args:
        outline: `Outline` in pixels.
        thickness: width in pixels of a line drawn along the outline. Defaults to 0.

    Returns:
        `uint8` array of shape `(32, 32)`, 255 inside and 0 outside.

    Example:

    >>> outline = khp.datasets.glyphs.outlines.read_outlines("DejaVuSans", "a")["a"]
    >>> image = khp.datasets.glyphs.outlines.draw(outline.fitted(24, middle=16))
    """
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.path import Path
    from matplotlib.transforms import IdentityTransform

    canvas = RendererAgg(IMAGE_SIZE, IMAGE_SIZE, dpi=72)
    pen = canvas.new_gc()
    pen.set_linewidth(thickness)
    pen.set_foreground("white")
    pen.set_snap(False)
    path = Path(outline.points, outline.codes)
    canvas.draw_path(pen, path, IdentityTransform(), rgbFace=(1, 1, 1))
    return np.asarray(canvas.buffer_rgba())[..., 3]
