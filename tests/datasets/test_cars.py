import pytest
from scipy.io import loadmat, savemat

from keras_hierproxy.datasets import load_cars
from tests.official_layouts import (
    CAR_FIELDS,
    cell_array,
    struct_array,
    write_cars,
    write_cars_in_two_parts,
    write_jpeg,
)

pytestmark = [
    pytest.mark.host,
    pytest.mark.filterwarnings("ignore:.*This is a part of it"),
]
NAMES = tuple(f"Make Model {i} 2012" for i in range(6))


def save_annotations(folder, rows, fields=CAR_FIELDS, names=NAMES):
    savemat(
        folder / "cars_annos.mat",
        {"annotations": struct_array(fields, rows), "class_names": cell_array(names)},
    )


def test_the_first_half_of_the_classes_is_for_training(tmp_path):
    data = load_cars(write_cars(tmp_path), 8, validation=0)
    assert data.train.class_names == (NAMES[:3],)
    assert data.test.class_names == (NAMES[3:],)
    assert data.test.paths[0] == str(tmp_path / "car_ims" / "000010.jpg")


def test_the_file_is_as_matlab_saves_it(tmp_path):
    content = loadmat(write_cars(tmp_path) / "cars_annos.mat")
    assert content["annotations"].shape == (1, 18)
    assert content["annotations"].dtype.names == CAR_FIELDS
    assert content["annotations"][0, 4]["relative_im_path"][0] == "car_ims/000005.jpg"
    assert content["annotations"][0, 4]["class"].item() == 2
    assert content["class_names"].shape == (1, 6)
    assert content["class_names"][0, 1][0] == NAMES[1]


@pytest.mark.parametrize("place", ["", "devkit"])
def test_the_download_in_two_parts_gives_the_same_sets(tmp_path, place):
    """Of each class some photos come from `cars_train` and some from `cars_test`."""
    whole = load_cars(write_cars(tmp_path / "whole"), 8)
    root = write_cars_in_two_parts(tmp_path / "parts")
    labels = root / "cars_test_annos_withlabels.mat"
    labels.rename(root / place / labels.name)
    data = load_cars(root, 8)
    for part in ("train", "validation", "test"):
        one, other = getattr(data, part), getattr(whole, part)
        assert one.class_names == other.class_names
        assert sorted(one.labels[:, 0]) == sorted(other.labels[:, 0])
        for image, label in zip(one.images, one.labels[:, 0], strict=True):
            expected = other.images[other.labels[:, 0] == label][0]
            assert abs(image.astype(int) - expected).max() < 3
    assert {path.split("/")[-2] for path in data.test.paths} == {
        "cars_train",
        "cars_test",
    }


def test_test_labels_are_needed(tmp_path):
    root = write_cars_in_two_parts(tmp_path)
    (root / "cars_test_annos_withlabels.mat").rename(
        root / "devkit" / "cars_test_annos.mat"
    )
    with pytest.raises(FileNotFoundError, match="no cars_test_annos_withlabels.mat. "):
        load_cars(root, 8)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (0, "annotation 2: class 0 is none of the 6 class names"),
        (7, "annotation 2: class 7 is none of the 6 class names"),
        ([1, 2], r"annotation 2: class \[1 2\] is none of"),
        ([], r"annotation 2: class \[\] is none of"),
    ],
)
def test_a_class_without_a_name(tmp_path, label, message):
    rows = [(f"{i}.jpg", 1, 2, 3, 4, 1, 0) for i in range(3)]
    rows[1] = ("1.jpg", 1, 2, 3, 4, label, 0)
    save_annotations(tmp_path, rows)
    with pytest.raises(ValueError, match=f"cars_annos.mat, {message}"):
        load_cars(tmp_path)


def test_an_image_listed_twice(tmp_path):
    save_annotations(tmp_path, [("a.jpg", 1, 2, 3, 4, i, 0) for i in (1, 6)])
    with pytest.raises(ValueError, match="annotation 2: a.jpg is there twice"):
        load_cars(tmp_path)


def test_files_without_what_is_looked_for(tmp_path):
    save_annotations(tmp_path, [(1, 2, "a.jpg")], ("bbox_x1", "bbox_y1", "fname"))
    with pytest.raises(ValueError, match="have the fields 'relative_im_path' and 'cla"):
        load_cars(tmp_path)
    savemat(tmp_path / "cars_annos.mat", {"class_names": cell_array(NAMES)})
    with pytest.raises(ValueError, match="cars_annos.mat holds no 'annotations'"):
        load_cars(tmp_path)


def test_a_truncated_file(tmp_path):
    file = write_cars(tmp_path) / "cars_annos.mat"
    file.write_bytes(file.read_bytes()[:900])
    with pytest.raises(ValueError, match="cars_annos.mat is not a readable MATLAB"):
        load_cars(tmp_path)


def test_one_image_a_half(tmp_path):
    """MATLAB's arrays of one entry lose their dimension when they are read."""
    for i in range(2):
        write_jpeg(tmp_path / f"{i}.jpg", i)
    rows = [(f"{i}.jpg", 1, 2, 3, 4, i + 1, 0) for i in range(2)]
    save_annotations(tmp_path, rows, names=NAMES[:2])
    data = load_cars(tmp_path, 8, validation=0)
    assert (len(data.train), len(data.test)) == (1, 1)
    save_annotations(tmp_path, rows[1:], names=NAMES[:2])
    with pytest.raises(ValueError, match="'cars' has no image"):
        load_cars(tmp_path, 8, validation=0)
