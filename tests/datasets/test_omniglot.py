import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageDraw

from keras_hierproxy.datasets import load_omniglot

pytestmark = pytest.mark.host

ALPHABETS = ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin", "Tagalog")


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    """Folder `images_background`, 5 characters an alphabet, 2 drawings of each."""
    root = tmp_path_factory.mktemp("omniglot") / "images_background"
    for alphabet in ALPHABETS:
        for character in range(1, 6):
            folder = root / alphabet / f"character{character:02}"
            folder.mkdir(parents=True)
            for i in range(2):
                image = Image.new("1", (105, 105), 1)
                ImageDraw.Draw(image).rectangle((10, 40, 20, 60), fill=0)
                image.save(folder / f"{character:04}_{i + 1:02}.png")
    return root


@pytest.fixture
def folder(drawings, tmp_path):
    return shutil.copytree(drawings, tmp_path / "images_background")


@pytest.fixture
def archive(drawings, tmp_path):
    path = shutil.make_archive(
        tmp_path / "images_background", "zip", drawings.parent, drawings.name
    )
    return tmp_path / path


def names(splits):
    return [part.class_names for part in (splits.train, splits.validation, splits.test)]


def test_default_split(folder):
    data = load_omniglot(folder.parent)
    assert data.train.class_names[1] == ("Greek", "Korean", "Latin")
    assert data.test.class_names[1] == ("Balinese", "Early_Aramaic")
    assert data.test.class_names[0][5] == "Early_Aramaic/character01"
    assert [data.train.num_classes, data.validation.num_classes] == [12, 3]
    assert not set(data.train.class_names[0]) & set(data.validation.class_names[0])
    assert data.train.level_names == ("character", "alphabet")
    assert [part.name for part in (data.train, data.validation, data.test)] == [
        "omniglot/train",
        "omniglot/validation",
        "omniglot/test",
    ]


def test_zip_and_folder_agree(folder, archive):
    zipped = load_omniglot(archive)
    unpacked = load_omniglot(folder)
    assert names(zipped) == names(unpacked)
    np.testing.assert_array_equal(zipped.train.images, unpacked.train.images)
    member = "images_background/Balinese/character01/0001_01.png"
    assert zipped.test.paths[0] == f"{archive.as_posix()}/{member}"


def test_root_may_hold_the_zip_and_the_folder_without_doubling(folder, archive):
    assert folder.parent == archive.parent
    assert len(load_omniglot(folder.parent).test) == 20


def test_alphabets_of_several_files_come_together(folder):
    evaluation = folder.parent / "images_evaluation"
    evaluation.mkdir()
    (folder / "Tagalog").rename(evaluation / "Tagalog")
    data = load_omniglot(folder.parent, test_groups=["Tagalog"])
    assert data.test.class_names[1] == ("Tagalog",)


def test_ink_is_white_on_black_and_in_place(folder):
    image = load_omniglot(folder, image_size=105).test.images[0, ..., 0]
    ink = np.argwhere(image == 255)
    assert ink.min(0).tolist() == [40, 10] and ink.max(0).tolist() == [60, 20]
    assert set(np.unique(image)) == {0, 255}


def test_smaller_images_are_antialiased(folder):
    images = load_omniglot(folder).test.images
    assert images.shape == (20, 32, 32, 1) and images.dtype == np.uint8
    assert len(np.unique(images)) > 2
    assert images.mean() == pytest.approx(255 * 21 * 11 / 105**2, rel=0.1)


def test_validation_is_a_function_of_the_seed(folder):
    first, again, other = (load_omniglot(folder, seed=seed) for seed in (0, 0, 1))
    assert names(first) == names(again)
    assert names(first)[1] != names(other)[1]
    np.testing.assert_array_equal(first.test.images, other.test.images)


def test_groups_are_chosen(folder):
    data = load_omniglot(
        folder, train_groups=["Tagalog"], test_groups=["Greek"], validation=0.4
    )
    assert data.train.class_names[1] == ("Tagalog",)
    assert data.validation.num_classes == 2
    assert data.test.class_names[1] == ("Greek",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"test_groups": ["Klingon"]},
            "test_groups has no drawings of Klingon. Found: Balinese, .*, Tagalog",
        ),
        ({"train_groups": ["Greek", "Balinese"]}, "disjoint.*both: Balinese"),
        ({"train_groups": "Greek"}, "a list of alphabets. Received: 'Greek'"),
        ({"test_groups": []}, r"a list of alphabets. Received: \[\]"),
        ({"validation": 1.0}, "leave no training class"),
    ],
)
def test_bad_arguments(folder, options, message):
    with pytest.raises(ValueError, match=message):
        load_omniglot(folder, **options)


def test_nothing_there(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="images_background_small1.*brendenlake"
    ):
        load_omniglot(tmp_path)
    with pytest.raises(ValueError, match=r"pass root=, the folder"):
        load_omniglot(None)


def test_truncated_zip(archive):
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(ValueError, match="images_background.zip is not a complete zip"):
        load_omniglot(archive.parent)


def test_truncated_drawing_in_a_folder(folder):
    path = folder / "Korean" / "character02" / "0002_01.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(
        ValueError, match="Korean/character02/0002_01.png is not a read"
    ):
        load_omniglot(folder)


def test_truncated_drawing_in_a_zip_is_named_or_skipped(drawings, tmp_path):
    broken = "images_background/Latin/character03/0003_02.png"
    with zipfile.ZipFile(tmp_path / "images_background.zip", "w") as archive:
        for path in drawings.rglob("*.png"):
            member = path.relative_to(drawings.parent).as_posix()
            content = path.read_bytes()
            archive.writestr(member, content[:50] if member == broken else content)
    with pytest.raises(ValueError, match=f"zip/{broken} is not a readable image"):
        load_omniglot(tmp_path)
    with pytest.warns(UserWarning, match="Skipped 1 of 30 images"):
        data = load_omniglot(tmp_path, skip_bad=True)
    assert len(data.train) + len(data.validation) == 29
    assert data.train.num_classes + data.validation.num_classes == 15


def test_official_file(shared_data):
    data = load_omniglot(shared_data)
    assert (len(data.test), data.test.num_classes) == (920, 46)
    assert data.train.num_classes == 72 and data.validation.num_classes == 18
    assert (np.bincount(data.train.labels[:, 0]) == 20).all()
    for part in (data.train, data.validation, data.test):
        images = part.images.reshape(len(part), -1)
        assert images.max(1).min() > 100, "a drawing without ink"
        assert images.mean() < 40, "ink is not white on black"
