import numpy as np
import pytest

from keras_hierproxy.datasets import load_in_shop
from tests.official_layouts import write_in_shop, write_jpeg, write_lines

pytestmark = [
    pytest.mark.host,
    pytest.mark.filterwarnings("ignore:.*This is a part of it"),
]
INDEX = "Eval/list_eval_partition.txt"


@pytest.fixture
def folder(tmp_path):
    return write_in_shop(tmp_path)


def replace(folder, old, new):
    file = folder / INDEX
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_levels_are_item_category_and_department(folder):
    train = load_in_shop(folder, 8, validation=0).train
    assert train.level_names == ("item", "category", "department")
    assert train.class_names == (
        ("id_00000002", "id_00000003", "id_00000004", "id_00000080"),
        ("MEN/Denim", "WOMEN/Blouses_Shirts", "WOMEN/Dresses"),
        ("MEN", "WOMEN"),
    )
    assert train.taxonomy.tolist() == [[2, 1], [0, 0], [1, 1], [0, 0]]


def test_queries_and_gallery(folder):
    data = load_in_shop(folder, 8)
    assert data.train.is_query is None and data.validation.is_query is None
    assert data.test.is_query.tolist() == [True, False, False] * 2
    assert all(
        ("/00_1_" in path) == query
        for path, query in zip(data.test.paths, data.test.is_query, strict=True)
    )
    arguments = data.test.retrieval_arguments(np.arange(6))
    assert arguments["queries"].tolist() == [0, 3]
    assert arguments["gallery"].tolist() == [1, 2, 4, 5]


def test_queries_stay_queries_where_images_are_skipped(folder):
    path = folder / "Img/img/WOMEN/Dresses/id_00000001/00_1_front.jpg"
    path.write_bytes(b"")
    with pytest.warns(UserWarning, match="Skipped 1 of 18"):
        data = load_in_shop(folder, 8, skip_bad=True)
    assert data.test.is_query.tolist() == [False, False, True, False, False]


def test_images_may_lie_beside_the_index(folder):
    expected = load_in_shop(folder, 8).test.images
    (folder / "Img" / "img").rename(folder / "img")
    np.testing.assert_array_equal(load_in_shop(folder, 8).test.images, expected)


def test_an_item_in_two_categories_gets_that_of_most_photos(folder):
    old = "img/WOMEN/Dresses/id_00000002/00_1_front.jpg"
    new = "img/WOMEN/Skirts/id_00000002/00_1_front.jpg"
    replace(folder, old, new)
    write_jpeg(folder / "Img" / new)
    with pytest.warns(UserWarning, match="1 of 6 items .* of most: id_00000002"):
        train = load_in_shop(folder, 8, validation=0).train
    assert "WOMEN/Skirts" not in train.class_names[1]
    assert len(train) == 12 and train.num_classes == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("18\n", "", "must begin with the number of images and the line 'image_name"),
        (
            "item_id ",
            "",
            "must begin with the number of images and the line 'image_name",
        ),
        ("18\n", "many\n", "line 1: the number of images must be a number.*'many'"),
        ("18\n", "19\n", "says that it lists 19 images, and lists 18"),
        (" id_00000002 ", " ", r"line 3: expected 3 columns \(path, item id, status\)"),
        (" train ", " val ", "line 3: status must be train, query or gallery.*'val'"),
        ("/01_1", "/00_1", "line 4: img/.*/00_1_front.jpg is already in line 3"),
        (
            "img/WOMEN/",
            "img/",
            "line 3: expected a path such as img/WOMEN/.*: 'img/Dres",
        ),
        ("img/WOMEN/", "Img/WOMEN/", "line 3: expected a path such as img/WOMEN"),
    ],
)
def test_a_stray_line_is_named(folder, old, new, message):
    replace(folder, old, new)
    with pytest.raises(ValueError, match=f"list_eval_partition.txt.*{message}"):
        load_in_shop(folder, 8)


def test_an_item_on_both_sides(folder):
    file = folder / INDEX
    text = file.read_text().replace(" id_00000001 ", " id_00000002 ")
    file.write_text(text)
    with pytest.raises(ValueError, match="1 classes of 'in_shop' .*: id_00000002. Get"):
        load_in_shop(folder, 8)


def test_queries_alone(folder):
    file = folder / INDEX
    file.write_text(file.read_text().replace(" gallery ", " query "))
    with pytest.raises(ValueError, match="is_query must leave some .*the gallery"):
        load_in_shop(folder, 8)


def test_an_index_of_full_size(tmp_path):
    """Without images: the counts hold, then the images are missing."""
    parts = (("train", 25882, 3997), ("query", 14218, 3985), ("gallery", 12612, 3985))
    lines = []
    for status, num_images, num_items in parts:
        for i in range(num_images):
            item = f"id_{'1' if status == 'train' else '2'}{i % num_items:07}"
            lines.append(f"img/MEN/Denim/{item}/{i}{status}.jpg {item} {status}")
    header = ("52712", "image_name item_id evaluation_status")
    write_lines(tmp_path / INDEX, *header, *lines)
    with pytest.raises(FileNotFoundError, match="52,712 of the 52,712 images"):
        load_in_shop(tmp_path)
    lines[-1] = lines[-1].replace(" gallery", " query")
    write_lines(tmp_path / INDEX, *header, *lines)
    with pytest.raises(
        ValueError, match=r"14,218 query images \(here 14,219\), 12,612"
    ):
        load_in_shop(tmp_path)
