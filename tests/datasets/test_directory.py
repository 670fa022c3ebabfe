import os

import numpy as np
import pytest
from PIL import Image

from keras_hierproxy.datasets import ImageFiles, RetrievalDataset, from_directory
from keras_hierproxy.datasets.images import check_file

pytestmark = pytest.mark.host

CLASSES = ("drinks/juice", "drinks/milk", "fruit/apple", "fruit/pear")


def save(path, color=(0, 0, 0), size=(20, 10), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **options)
    return path


def truncate(path):
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)


@pytest.fixture
def root(tmp_path):
    """Four classes in two groups, three images each, of a colour a class."""
    for i, name in enumerate(CLASSES):
        for j in range(3):
            save(tmp_path / name / f"{j}.png", (60 * i, 10, 0))
    return tmp_path


@pytest.fixture(params=[0, 2**30], ids=["lazy", "in memory"])
def read(request):
    """`from_directory` with and without the decoded images in memory."""

    def read(path, **options):
        options = {"image_size": 8, "split": None} | options
        return from_directory(path, memory_limit=request.param, **options)

    return read


def test_nested_folders_are_levels_outer_ones_coarser(root, read):
    data = read(root)
    assert data.class_names == (CLASSES, ("drinks", "fruit"))
    assert data.taxonomy.tolist() == [[0], [0], [1], [1]]
    assert data.labels[:, 0].tolist() == np.repeat(np.arange(4), 3).tolist()
    assert data.paths[4] == str(root / "drinks" / "milk" / "1.png")
    assert data.name == root.name


def test_pixels_are_those_of_the_class(root, read):
    data = read(root)
    images = data.images[:]
    assert images.shape == (12, 8, 8, 3) and images.dtype == np.uint8
    expected = np.stack([[60 * i, 10, 0] for i in data.labels[:, 0]])
    np.testing.assert_array_equal(images, np.tile(expected[:, None, None], (8, 8, 1)))


def test_grayscale(root, read):
    assert read(root, color_mode="grayscale").images[:].shape == (12, 8, 8, 1)


def test_one_level_of_folders(root, read):
    data = read(root / "fruit")
    assert data.class_names == (("apple", "pear"),)


def test_levels_are_told_apart_by_their_whole_path(root, read):
    for j in range(2):
        save(root / "drinks" / "apple" / f"{j}.png")
    names = read(root).class_names[0]
    assert "drinks/apple" in names and "fruit/apple" in names


def test_split_has_disjoint_classes(root, read):
    splits = read(root, split=(0.25, 0.25), level_names=("kind", "group"))
    names = [part.class_names[0] for part in vars(splits).values()]
    assert sorted(sum(names, ())) == sorted(CLASSES)
    assert [len(part) for part in vars(splits).values()] == [6, 3, 3]
    assert splits.train.level_names == ("kind", "group")
    for part in vars(splits).values():
        colors = part.images[:][:, 0, 0, 0] // 60
        assert {CLASSES[i] for i in colors} == set(part.class_names[0])


def test_memory_limit_decides_when_images_are_decoded(root):
    data = {
        limit: from_directory(root, 8, split=None, memory_limit=limit).images
        for limit in (12 * 8 * 8 * 3 - 1, 12 * 8 * 8 * 3)
    }
    lazy, array = data.values()
    assert isinstance(lazy, ImageFiles) and isinstance(array, np.ndarray)
    np.testing.assert_array_equal(lazy[:], array)


def test_batches_of_lazy_images(root):
    data = from_directory(root, 8, split=None, memory_limit=0)
    for images, labels in data.batches(5, workers=2):
        assert images.shape == (len(labels), 8, 8, 3)
        np.testing.assert_array_equal(images[:, 0, 0, 0], 60 * labels)


def test_other_and_hidden_files_are_passed_over(root, read):
    (root / "notes.txt").write_text("x")
    (root / "fruit" / ".DS_Store").write_bytes(b"x")
    (root / "fruit" / "apple" / "._0.png").write_bytes(b"x")
    (root / ".cache").mkdir()
    save(root / "fruit" / "apple" / "UPPER.JPG")
    assert len(read(root)) == 13


def test_images_keep_their_proportions_and_their_centre(tmp_path):
    wide = np.zeros((10, 30, 3), "uint8")
    wide[:, 10:20] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    image = ImageFiles([tmp_path / "wide.png"], (10, 10))[0]
    assert (image == 255).all()


def test_photos_are_turned_upright(tmp_path):
    half = np.zeros((20, 20, 3), "uint8")
    half[:10] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned 90 degrees clockwise
    Image.fromarray(half).save(tmp_path / "a.png", exif=exif)
    image = ImageFiles([tmp_path / "a.png"], (20, 20))[0]
    assert (image[:, 11:] == 255).all() and (image[:, :9] == 0).all()


def test_large_jpegs_come_out_right(tmp_path):
    gradient = np.tile(np.linspace(0, 255, 2000).astype("uint8"), (1000, 1))
    Image.fromarray(gradient).save(tmp_path / "a.jpg")
    image = ImageFiles([tmp_path / "a.jpg"], (32, 64), "grayscale")[0]
    np.testing.assert_allclose(image[5, :, 0], np.linspace(2, 253, 64), atol=2)


def test_image_files_index_like_an_array(root):
    paths = sorted(root.glob("*/*/*.png"))
    images = ImageFiles(paths, (4, 4))
    array = images[:]
    assert images.shape == array.shape == (12, 4, 4, 3)
    for index in (5, -1, slice(2, 9, 3), [7, 0, 7], np.arange(12) % 2 == 1):
        np.testing.assert_array_equal(images[index], array[index])
    np.testing.assert_array_equal(images.subset([3, 1])[:], array[[3, 1]])
    with pytest.raises(IndexError):
        images[12]


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp"])
def test_truncated_files_are_named(root, read, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), "uint8")
    path = root / "fruit" / "apple" / f"broken.{suffix}"
    Image.fromarray(noise).save(path)
    assert len(read(root)) == 13
    truncate(path)
    with pytest.raises(ValueError, match=f"broken.{suffix} is not a readable image"):
        read(root)


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_skip_bad_counts_and_goes_on(root, read, content):
    (root / "fruit" / "apple" / "1.png").write_bytes(content)
    truncate(save(root / "fruit" / "pear" / "a.jpg"))
    with pytest.warns(UserWarning, match=r"Skipped 2 of 13 images. .*apple/1.png"):
        data = read(root, skip_bad=True)
    assert len(data) == 11
    assert not any("apple/1.png" in path for path in data.paths)
    np.testing.assert_array_equal(data.images[:][:, 0, 0, 0], 60 * data.labels[:, 0])


def test_bytes_after_the_end_of_an_image_do_no_harm(root):
    for path in (root / "fruit" / "apple" / "1.png", save(root / "a.jpg")):
        with open(path, "ab") as file:
            file.write(b"\0\0more")
        check_file(path)


def test_a_file_damaged_in_the_middle_is_named_when_it_is_decoded(root):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), "uint8")
    path = root / "fruit" / "apple" / "0.png"
    Image.fromarray(noise).save(path)
    content = bytearray(path.read_bytes())
    content[1000:1010] = bytes(10)
    path.write_bytes(content)
    data = from_directory(root, 8, split=None, memory_limit=0)
    with pytest.raises(ValueError, match="apple/0.png is not a readable image"):
        data.images[:]


def test_nothing_readable(root, read):
    for path in root.glob("*/*/*.png"):
        truncate(path)
    with pytest.raises(ValueError, match="None of 12 images could be read: .*juice"):
        read(root, skip_bad=True)


def test_a_class_of_one_image(root, read):
    save(root / "drinks" / "tea" / "0.png")
    with pytest.raises(
        ValueError, match=r"1 of 5 classes .* fewer than 2 images: drinks/tea \(1\)"
    ):
        read(root)
    assert read(root, min_images=1).num_classes == 5


def test_a_class_of_one_image_left_after_skipping(root, read):
    for name in ("0", "2"):
        (root / "drinks" / "milk" / f"{name}.png").write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="Skipped 2 of 12"),
        pytest.raises(ValueError, match=r"drinks/milk \(1\)"),
    ):
        read(root, skip_bad=True)


def test_empty_folders(root, tmp_path, read):
    (root / "fruit" / "fig").mkdir()
    with pytest.raises(ValueError, match="fig holds no images"):
        read(root)
    with pytest.raises(ValueError, match="fig holds no images"):
        read(root / "fruit" / "fig")


def test_no_folder(tmp_path, read):
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        read(tmp_path / "nowhere")


def test_a_mixture_of_depths(root, read):
    save(root / "bread" / "0.png")
    with pytest.raises(ValueError, match="same depth.*0.png at depth 1 .* at depth 2"):
        read(root)


def test_images_outside_any_class(root, read):
    save(root / "0.png")
    with pytest.raises(ValueError, match="0.png lies directly in the folder"):
        read(root)


def test_folders_of_a_split_are_not_classes(root, read):
    (root / "fruit").rename(root / "Train")
    (root / "drinks").rename(root / "test")
    with pytest.raises(ValueError, match="look like a split.*split=None"):
        read(root)
    assert isinstance(read(root / "test"), RetrievalDataset)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, r"image_size must be \(height, width\).*Received: 0"),
        ({"image_size": (8, 8, 3)}, "image_size must be"),
        ({"image_size": 8.5}, "image_size must be"),
        ({"color_mode": "rgba"}, r"one of \('rgb', 'grayscale'\). Received: 'rgba'"),
        ({"split": 0.3}, r"two shares .* Received: 0.3"),
        ({"split": (0.5, 0.5)}, "leave no training class"),
        ({"level_names": ("a",)}, "level_names must have one entry"),
    ],
)
def test_bad_arguments(root, options, message):
    with pytest.raises(ValueError, match=message):
        from_directory(root, **{"image_size": 8} | options)
