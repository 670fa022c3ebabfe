import numpy as np
import pytest

from keras_hierproxy.datasets import RetrievalDataset
from keras_hierproxy.datasets.glyphs.turns import with_quarter_turns

pytestmark = pytest.mark.host

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 5, 5, 1)).astype("uint8")
DATA = RetrievalDataset(
    IMAGES, [[0, 0], [0, 0], [1, 0], [2, 1]], [["a", "b", "alpha"], ["Latin", "Greek"]]
)


def test_each_class_is_there_four_times():
    turned = with_quarter_turns(DATA)
    assert len(turned) == 16 and turned.num_classes == 12
    assert turned.class_names[0][:4] == ("a", "a 90°", "a 180°", "a 270°")
    assert turned.class_names[1][4:] == (
        "Greek",
        "Greek 90°",
        "Greek 180°",
        "Greek 270°",
    )
    names = np.array(turned.class_names[0])[turned.labels[:, 0]]
    for turn, degrees in enumerate(("", " 90°", " 180°", " 270°")):
        (third,) = turned.images[names == f"b{degrees}"]
        np.testing.assert_array_equal(third, np.rot90(IMAGES[2], turn))
    # What is turned lies in what is turned as far.
    fine, coarse = turned.labels.T
    assert (fine % 4 == coarse % 4).all()


def test_images_that_cannot_be_turned():
    flat = RetrievalDataset(IMAGES[:, :4], [0, 0, 1, 1])
    with pytest.raises(ValueError, match="square images in memory.*(4, 4, 5, 1)"):
        with_quarter_turns(flat)
