"""Letters: printed, drawn by hand, and both."""

from keras_hierproxy.datasets.glyphs.glyphs import load_glyphs as load_glyphs
from keras_hierproxy.datasets.glyphs.letters import load_letters as load_letters
