"""Fashion Product Images: levels, parts, columns, both versions of the files."""

import inspect
import shutil

import numpy as np
import pytest

from keras_hierproxy.datasets import ImageFiles, load_fashion_products
from keras_hierproxy.datasets.official.fashion_products import part_of
from keras_hierproxy.runs.sample_layouts import write_fashion_products, write_lines
from tests.official_layouts import write_jpeg

pytestmark = pytest.mark.host

HEADER = "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage"


def write(folder, lines, header=HEADER, missing=()):
    for line in lines:
        number = line.split(",")[0]
        if number.isdecimal() and number not in missing:
            write_jpeg(folder / "images" / f"{number}.jpg")
    write_lines(folder / "styles.csv", header, *lines)
    return folder


def rows(*changes):
    """Two photos each of a type for training, for validation and for the test."""
    lines = []
    for i, (article, category, master) in enumerate(
        [("Handbags", "Bags", "Accessories"), ("Tops", "Topwear", "Apparel")]
        + [("Jeans", "Bottomwear", "Apparel")]
    ):
        for j in range(2):
            lines.append(
                f"{10 * i + j},Women,{master},{category},{article},Black,"
                "Fall,2012,Casual"
            )
    return [*lines, *changes]


def parts_of(data):
    return [data.train, data.validation, data.test]


def load(folder, **options):
    return load_fashion_products(folder, image_size=8, **options)


def test_levels_parts_and_columns(tmp_path):
    data = load(write_fashion_products(tmp_path))
    assert [part.num_classes for part in parts_of(data)] == [4, 1, 1]
    assert [part.name for part in parts_of(data)] == [
        f"fashion_products/{part}" for part in ("train", "validation", "test")
    ]
    for part in parts_of(data):
        assert part.level_names == (
            *("product", "article_type", "sub_category", "master_category"),
        )
        assert set(part.columns["gender"]) == {"Women"}
        assert {len(part.columns[name]) for name in ("season", "usage")} == {len(part)}
    assert data.train.class_names[0] == tuple(f"Handbags, Color {i}" for i in range(4))
    assert data.test.class_names[1:] == (("Jeans",), ("Bottomwear",), ("Apparel",))


def test_columns_go_along_with_their_images(tmp_path):
    data = load(
        write(tmp_path, rows("55,Girls,Accessories,Bags,Handbags,Red,Fall,2012,Party"))
    )
    one = data.train.subset([2]).columns
    values = {name: column.tolist() for name, column in one.items()}
    assert values == {"gender": ["Girls"], "season": ["Fall"], "usage": ["Party"]}
    red = data.train.select_classes([1])
    assert (red.class_names[0], red.columns["gender"][0]) == (
        ("Handbags, Red",),
        "Girls",
    )


def test_the_part_is_a_function_of_the_article_type_alone():
    # Known values: other versions of the files must split alike.
    assert {name: part_of(name) for name in ("Handbags", "Tops", "Jeans")} == {
        "Handbags": "train",
        "Tops": "validation",
        "Jeans": "test",
    }
    shares = [part_of(f"type {i}") for i in range(4000)]
    assert abs(shares.count("train") / 4000 - 0.6) < 0.03
    assert abs(shares.count("validation") / 4000 - 0.2) < 0.03


def test_levels_nest_by_the_majority_and_of_equals_by_name(tmp_path):
    free = "Free Items,Free Gifts"
    data = load(
        write(
            tmp_path,
            rows(
                f"91,Women,{free},Handbags,Black,Fall,2012,Casual",
                f"92,Women,{free},Shirts,Black,Fall,2012,Casual",
                "93,Women,Apparel,Topwear,Shirts,Black,Fall,2012,Casual",
            ),
        )
    )
    of_type = dict(
        zip(data.train.class_names[1], data.train.labels[:, 1:], strict=False)
    )
    assert set(of_type) == {"Handbags", "Shirts"}
    names = {
        data.train.class_names[1][row[1]]: data.train.class_names[2][row[2]]
        for row in data.train.labels
    }
    assert names == {"Handbags": "Bags", "Shirts": "Free Gifts"}


def test_names_with_commas_in_the_full_version(tmp_path):
    lines = [
        f"{line},{name}"
        for line, name in zip(
            rows(),
            [*("Bag", '"Bag, quoted"', "Bag, not, quoted", '"a', ""), "x"],
            strict=True,
        )
    ]
    data = load(write(tmp_path, lines, f"{HEADER},productDisplayName"))
    assert sum(map(len, parts_of(data))) == 6


def test_zip_files_are_read_as_they_are(tmp_path):
    folder = write_fashion_products(tmp_path / "unpacked")
    packed = tmp_path / "packed" / "fashion_products"
    shutil.make_archive(packed, "zip", folder)
    for one, other in zip(
        parts_of(load(folder)), parts_of(load(packed.parent)), strict=True
    ):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_a_few_missing_photos_are_left_out_with_a_warning(tmp_path):
    more = [
        f"{1000 + i},Men,Apparel,Topwear,Shirts,Blue,Fall,2012,Casual"
        for i in range(100)
    ]
    folder = write(tmp_path, rows(*more), missing=("1007",))
    with pytest.warns(UserWarning, match="1 of the 106 photos.*left out: 1007"):
        assert len(load(folder).train) == 101
    (folder / "images" / "1008.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="2 of the 106 images"):
        load(folder)


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        (rows("12,Men"), HEADER, "line 8: expected 9 columns"),
        (rows("1,M,A,B,C,D,E,F,G,H"), HEADER, "line 8: expected 9 columns"),
        (rows("x1,M,A,B,C,D,E,F,G"), HEADER, "line 8: id must be a number"),
        (rows("0,M,A,B,C,D,E,F,G"), HEADER, "line 8: 0 is already in line 2"),
        (rows("5,M,A,B,,D,E,F,G"), HEADER, "line 8: articleType is empty"),
        (rows(), "id,name", "must begin with the columns id, gender"),
    ],
)
def test_damaged_lines_are_named(tmp_path, lines, header, message):
    with pytest.raises(ValueError, match=message):
        load(write(tmp_path, lines, header))


def test_validation_is_not_drawn():
    assert list(inspect.signature(load_fashion_products).parameters) == [
        *("root", "image_size", "color_mode", "skip_bad", "memory_limit", "background"),
    ]
    assert "seed" not in load_fashion_products.__doc__.partition("Returns")[0]
    assert "\n    skip_bad: " in inspect.getdoc(load_fashion_products)


def test_the_photos_that_are_here(monkeypatch, shared_data):
    """All are counted; decoding 41,000 takes half a minute."""
    black = np.zeros((8, 8, 3), "uint8")
    monkeypatch.setattr(ImageFiles, "decode", lambda self, path: black)
    data = load(shared_data)
    assert [
        (len(part), *(len(names) for names in part.class_names[:2]))
        for part in parts_of(data)
    ] == [(26514, 973, 76), (5163, 248, 19), (9305, 320, 26)]
