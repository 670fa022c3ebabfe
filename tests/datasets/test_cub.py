import pytest

from keras_hierproxy.datasets import load_cub
from keras_hierproxy.datasets.official import cub
from tests.official_layouts import write_cub, write_jpeg, write_lines

pytestmark = [
    pytest.mark.host,
    pytest.mark.filterwarnings("ignore:.*This is a part of it"),
]


@pytest.fixture
def folder(tmp_path):
    return write_cub(tmp_path)


def replace(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_the_first_half_of_the_classes_is_for_training(folder):
    data = load_cub(folder, 8, validation=0)
    assert data.train.class_names == (("001.Bird_0", "002.Bird_1", "003.Bird_2"),)
    assert data.test.class_names == (("004.Bird_3", "005.Bird_4", "006.Bird_5"),)
    assert data.train.paths[0] == str(folder / "images/001.Bird_0/Bird_0_0000.jpg")


def test_lines_may_come_in_any_order(folder):
    expected = load_cub(folder, 8).test
    for name in cub.LAYOUT.files:
        lines = (folder / name).read_text().splitlines()
        write_lines(folder / name, *lines[::-1], "")
    shuffled = load_cub(folder, 8).test
    assert shuffled.class_names == expected.class_names
    assert set(shuffled.paths) == set(expected.paths)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("images.txt", "2 001.B", "001.B", r"line 2: expected 2 columns \(image id, "),
        ("images.txt", "2 001.B", "2 x 001.B", "line 2: expected 2 columns"),
        (
            "images.txt",
            "2 001.B",
            "two 001.B",
            "line 2: image id must be a number.*'two",
        ),
        ("images.txt", "3 001.B", "2 001.B", "line 3: 2 is already in a line before"),
        (
            "images.txt",
            "Bird_0_0001",
            "Bird_0_0000",
            "line 2: .*0.jpg is already in line 1",
        ),
        (
            "image_class_labels.txt",
            "3 1\n",
            "",
            "no class for 1 images of images.txt: 3",
        ),
        (
            "image_class_labels.txt",
            "3 1\n",
            "3 -1\n",
            "line 3: class id must be a number",
        ),
        (
            "image_class_labels.txt",
            "3 1\n",
            "3 7\n",
            "line 3: class 7 is not in classes",
        ),
        (
            "image_class_labels.txt",
            "3 1\n",
            "2 1\n",
            "line 3: image 2 is not in .* before",
        ),
        (
            "image_class_labels.txt",
            "3 1\n",
            "99 1\n",
            "line 3: image 99 is not in images",
        ),
        (
            "classes.txt",
            "2 002.Bird_1",
            "1 002.Bird_1",
            "line 2: 1 is already in a line",
        ),
        (
            "classes.txt",
            "2 002.Bird_1\n",
            "",
            "labels.txt, line 4: class 2 is not in cl",
        ),
    ],
)
def test_a_stray_line_is_named(folder, name, old, new, message):
    replace(folder / name, old, new)
    with pytest.raises(ValueError, match=message):
        load_cub(folder, 8)


def test_an_index_of_full_size(tmp_path):
    """Two files of it, without images: the counts hold, then the images are missing."""
    sizes = [58] * 100 + [59] * 100
    sizes[:64], sizes[100:124] = [59] * 64, [60] * 24
    labels = [i + 1 for i, size in enumerate(sizes) for _ in range(size)]
    assert len(labels) == 11788
    write_lines(tmp_path / "classes.txt", *(f"{i + 1} c{i:03}" for i in range(200)))
    write_lines(
        tmp_path / "images.txt", *(f"{i + 1} {i}.jpg" for i in range(len(labels)))
    )
    lines = [f"{i + 1} {label}" for i, label in enumerate(labels)]
    write_lines(tmp_path / "image_class_labels.txt", *lines)
    with pytest.raises(FileNotFoundError, match="11,788 of the 11,788 images"):
        load_cub(tmp_path)
    lines[0] = "1 200"
    write_lines(tmp_path / "image_class_labels.txt", *lines)
    with pytest.raises(ValueError, match=r"5,864 training images \(here 5,863\)"):
        load_cub(tmp_path)


def test_an_image_beyond_the_index_is_passed_over(folder):
    write_jpeg(folder / "images" / "001.Bird_0" / "other.jpg")
    assert len(load_cub(folder, 8).test) == 9
