import shutil
import warnings
import zipfile

import numpy as np
import pytest

from keras_hierproxy.datasets import load_grocery_store
from tests.official_layouts import write_grocery_store

pytestmark = [
    pytest.mark.host,
    pytest.mark.filterwarnings("ignore:.*This is a part of it"),
]


@pytest.fixture
def folder(tmp_path):
    return write_grocery_store(tmp_path / "unpacked")


@pytest.fixture
def archive(folder, tmp_path):
    path = tmp_path / "packed" / "grocery_store"
    return tmp_path / shutil.make_archive(path, "zip", folder.parent.parent)


def test_three_levels(folder):
    data = load_grocery_store(folder, image_size=8)
    assert data.test.level_names == ("fine", "coarse", "department")
    assert [len(names) for names in data.test.class_names] == [6, 5, 3]
    assert data.test.class_names[2] == ("Fruit", "Packages", "Vegetables")
    juice = data.test.class_names[0].index("Bravo-Apple-Juice")
    coarse, department = data.test.taxonomy[juice]
    assert data.test.class_names[1][coarse] == "Juice"
    assert data.test.class_names[2][department] == "Packages"


def test_validation_is_of_the_training_split_and_test_of_the_official_one(folder):
    data = load_grocery_store(folder, image_size=8)
    assert not set(data.train.class_names[0]) & set(data.validation.class_names[0])
    for part, split in (("train", "train"), ("validation", "train"), ("test", "test")):
        paths = getattr(data, part).paths
        assert all(path.startswith(f"{folder}/{split}/") for path in paths)
    assert load_grocery_store(folder, "val", image_size=8).test.num_classes == 2


def test_zip_and_folder_agree(folder, archive):
    unpacked = load_grocery_store(folder, image_size=8)
    for root in (archive, archive.parent):
        zipped = load_grocery_store(root, image_size=8)
        for part in ("train", "validation", "test"):
            one, other = getattr(zipped, part), getattr(unpacked, part)
            assert one.class_names == other.class_names
            np.testing.assert_array_equal(one.images, other.images)
            np.testing.assert_array_equal(one.labels, other.labels)
    assert zipped.test.paths[0].startswith(f"{archive}/GroceryStoreDataset/dataset/")


def test_the_zip_file_of_github(folder, tmp_path):
    inner = folder.parent.rename(folder.parents[1] / "GroceryStoreDataset-master")
    path = tmp_path / "zips" / inner.name
    shutil.make_archive(path, "zip", inner.parent)
    assert len(load_grocery_store(path.parent, image_size=8).test) == 18
    assert len(load_grocery_store(inner.parent, image_size=8).test) == 18


def test_a_zip_file_is_not_read_batch_by_batch(archive):
    with pytest.raises(ValueError, match="36 images in .*zip take 0 MiB .*_limit=100"):
        load_grocery_store(archive, image_size=8, memory_limit=100)


def test_a_truncated_zip_file(archive):
    archive.write_bytes(archive.read_bytes()[:3000])
    with pytest.raises(ValueError, match="grocery_store.zip is not a complete zip"):
        load_grocery_store(archive.parent, image_size=8)


def test_a_corrupt_image_in_a_zip_file(folder, tmp_path):
    path = sorted((folder / "test").rglob("*.jpg"))[0]
    path.write_bytes(path.read_bytes()[:200])
    archive = shutil.make_archive(tmp_path / "zipped", "zip", folder.parent)
    with pytest.raises(
        ValueError, match=f"zip/dataset/test/.*/{path.name} is not a re"
    ):
        load_grocery_store(archive, image_size=8)
    with pytest.warns(UserWarning, match="Skipped 1 of 36"):
        data = load_grocery_store(archive, image_size=8, skip_bad=True)
    assert len(data.test) == 17


def test_a_zip_file_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "grocery_store.zip", "w") as archive:
        archive.writestr("dataset/train.txt", "")
    with pytest.raises(FileNotFoundError, match="no classes.csv.*/grocery_store.zip"):
        load_grocery_store(tmp_path)


def test_damage_within_a_zip_file(archive):
    """What its checksums tell is as good as a broken image."""
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        member = next(i for i in opened.infolist() if i.filename.endswith("_000.jpg"))
    start = member.header_offset + 30 + len(member.filename)
    content[start + 20 : start + 40] = bytes(20)
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=f"{member.filename} is not a readable image"):
        load_grocery_store(archive, image_size=8)


def test_images_missing_from_a_zip_file(folder, tmp_path):
    shutil.rmtree(folder / "train" / "Fruit" / "Banana")
    archive = shutil.make_archive(tmp_path / "zipped", "zip", folder.parent)
    with pytest.raises(FileNotFoundError, match="3 of the 36 images .*/Banana_000.jpg"):
        load_grocery_store(archive, image_size=8)


def test_the_other_split_must_be_asked_for(folder):
    (folder / "test.txt").unlink()
    with pytest.raises(
        FileNotFoundError, match=r'no test.txt in .* Pass test_split="val" to test'
    ):
        load_grocery_store(folder, image_size=8)
    assert len(load_grocery_store(folder, "val", image_size=8).test) == 6
    with pytest.raises(ValueError, match="test_split must be .* Received: 'valid'"):
        load_grocery_store(folder, "valid", image_size=8)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("train.txt", "_001.jpg, 0, 0", "_001.jpg, 0", "line 2: expected 3 columns"),
        ("train.txt", "_001.jpg, 0, 0", "_001.jpg, x, 0", "line 2: class id must be a"),
        (
            "train.txt",
            "_001.jpg, 0, 0",
            "_001.jpg, 6, 0",
            "line 2: class 6 is not in cl",
        ),
        (
            *("train.txt", "_001.jpg, 0, 0", "_001.jpg, 0, 1"),
            "line 2: the coarse class of class 0 is 1, and in classes.csv 0",
        ),
        (
            "train.txt",
            "_001.jpg, 0, 0",
            "_000.jpg, 0, 0",
            "line 2: .*is already in line 1",
        ),
        (
            "train.txt",
            "train/Fruit/",
            "val/Fruit/",
            "line 1: expected a path such as tra",
        ),
        (
            "train.txt",
            "train/Fruit/Apple/",
            "train/",
            "line 1: expected a path such as",
        ),
        (
            *("train.txt", "train/Fruit/", "train/Packages/"),
            "line 2: the coarse class Apple lies in Fruit, and .* before in Packages",
        ),
        ("classes.csv", "Banana,2,", "Banana,", "line 4: expected 6 columns"),
        (
            "classes.csv",
            "Banana,2,",
            "Banana,1,",
            "line 4: class 1 is in a line before",
        ),
        (
            "classes.csv",
            "Banana,2,",
            "Banana,two,",
            "line 4: class id must be a number",
        ),
    ],
)
def test_a_stray_line_is_named(folder, name, old, new, message):
    file = folder / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"{name}, {message}"):
        load_grocery_store(folder, image_size=8)


def test_official_file(shared_data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_grocery_store(shared_data, "val", image_size=16)
    assert len(data.train) + len(data.validation) == 2640
    assert data.train.num_classes == 69 and data.validation.num_classes == 12
    assert len(data.test) == 296
    assert [len(names) for names in data.test.class_names] == [60, 37, 3]
    assert (data.train.images.std((1, 2, 3)) > 5).all()
