import pytest

from keras_hierproxy.datasets import load_sop
from tests.official_layouts import write_lines, write_sop

pytestmark = [
    pytest.mark.host,
    pytest.mark.filterwarnings("ignore:.*This is a part of it"),
]
HEADER = "image_id class_id super_class_id path"


@pytest.fixture
def folder(tmp_path):
    return write_sop(tmp_path)


def test_levels_are_product_and_category(folder):
    data = load_sop(folder, 8, validation=0)
    assert data.train.level_names == ("product", "category")
    assert data.train.class_names == (("1", "2", "3", "4"), ("bicycle", "cabinet"))
    assert data.train.taxonomy.tolist() == [[0], [1], [0], [1]]
    assert data.test.class_names == (("5", "6"), ("bicycle", "cabinet"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            HEADER,
            "image_id class_id path",
            "line 1: expected the columns 'image_id cla",
        ),
        (f"{HEADER}\n", "", "line 1: expected the columns .* Received: '1 1 1 bicycle"),
        ("2 1 1 b", "2 1 b", r"line 3: expected 4 columns \(image_id, class_id, "),
        ("2 1 1 b", "2 one 1 b", "line 3: class_id must be a number. Received: 'one'"),
        ("_1.JPG\n", "_0.JPG\n", "line 3: bicycle_final/.*_0.JPG is already in line 2"),
        (
            "2 1 1 b",
            "2 1 2 b",
            "super class 2 lies in the folder 'cabinet', .*'bicycle'",
        ),
        (
            "2 1 1 b",
            "2 2 1 b",
            "nested.*product '2' in both category 'bicycle' and 'cab",
        ),
    ],
)
def test_a_stray_line_is_named(folder, old, new, message):
    file = folder / "Ebay_train.txt"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        load_sop(folder, 8)


def test_a_product_on_both_sides(folder):
    file = folder / "Ebay_test.txt"
    file.write_text(file.read_text().replace(" 5 1 ", " 1 1 "))
    with pytest.raises(ValueError, match="1 classes of 'sop' .* for the test: 1. Get"):
        load_sop(folder, 8)


def test_indices_of_full_size(tmp_path):
    """Without images: the counts hold, then the images are missing."""

    def write(name, num_images, num_classes, first):
        lines = (
            f"{i} {first + i % num_classes} {i % num_classes % 12 + 1} "
            f"c{i % num_classes % 12}_final/{i}{name}"
            for i in range(num_images)
        )
        write_lines(tmp_path / f"Ebay_{name}.txt", HEADER, *lines)

    write("train", 59551, 11318, 1)
    write("test", 60502, 11316, 11319)
    with pytest.raises(FileNotFoundError, match="120,053 of the 120,053 images"):
        load_sop(tmp_path)
    write("test", 60501, 11315, 11319)
    message = r"60,502 test images \(here 60,501\), 11,316 test classes \(here 11,315\)"
    with pytest.raises(ValueError, match=message):
        load_sop(tmp_path)
