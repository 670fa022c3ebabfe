"""Cars-196: photos of cars, from its official files."""

import numpy as np

from keras_hierproxy.datasets.official.layout import Layout
from keras_hierproxy.datasets.official.photos import photos
from keras_hierproxy.datasets.rows import Rows

LAYOUT = Layout(
    title="Cars-196",
    page="Cars Dataset, ai.stanford.edu/~jkrause/cars/car_dataset.html",
    tree="""\
cars_annos.mat
car_ims/000001.jpg ...
or, downloaded in two parts:
cars_test_annos_withlabels.mat
devkit/cars_meta.mat  devkit/cars_train_annos.mat
cars_train/00001.jpg ...
cars_test/00001.jpg ...""",
    files=("cars_annos.mat",),
    instead=("devkit/cars_meta.mat", "devkit/cars_train_annos.mat"),
    folders=("", "cars196", "stanford_cars"),
    archives=("car_ims.tgz", "cars_train.tgz", "cars_test.tgz", "car_devkit.tgz"),
)
COUNTS = {
    "training images": 8054,
    "training classes": 98,
    "test images": 8131,
    "test classes": 98,
}
_TEST_LABELS = "cars_test_annos_withlabels.mat"


@photos("cars", ("model",), LAYOUT, COUNTS)
def load_cars(folder):
    """Cars-196: 16,185 photos of 196 models of cars.

    Krause, Stark, Deng and Fei-Fei, "3D Object Representations for Fine-Grained
    Categorization", 3dRR 2013. One level, the model: make and type stand in its name
    only.

    **The protocol** is that of the field: the first 98 classes (8,054 photos) are for
    training, the other 98 (8,131 photos) for the test, leave-one-out. The official
    division into training and test photos is of photos, not of classes, and plays no
    part. Whole photos: bounding boxes are not used. The validation classes are taken
    out of the training ones, so that `train` is smaller than in papers that select
    models on the test classes; `validation=0` gives theirs.

    Args:
        root: folder that holds `cars_annos.mat` and `car_ims`; or `devkit`,
            `cars_train`, `cars_test` and `cars_test_annos_withlabels.mat` (which may
            also lie in `devkit`). Or the one that holds this folder as `cars196` or
            `stanford_cars`.

    Example:

    >>> data = khp.datasets.load_cars("data")  # holds cars_annos.mat and car_ims
    >>> data.test.level_names
    ('model',)
    """
    in_parts = not LAYOUT.missing(folder, LAYOUT.instead)
    return _read_two_parts(folder) if in_parts else _read_whole(folder)


def _read_whole(folder):
    file = folder / "cars_annos.mat"
    names = _read_mat(file, "class_names")
    return _split(folder, names, [(file, "relative_im_path", "")])


def _read_two_parts(folder):
    tests = [folder / _TEST_LABELS, folder / "devkit" / _TEST_LABELS]
    test = next((file for file in tests if file.exists()), None)
    if test is None:
        raise LAYOUT.error(
            f"no {_TEST_LABELS}. Looked in {folder} and {folder / 'devkit'}. "
            "devkit/cars_test_annos.mat has no labels.",
            [folder],
        )
    names = _read_mat(folder / "devkit" / "cars_meta.mat", "class_names")
    train = folder / "devkit" / "cars_train_annos.mat"
    return _split(
        folder, names, [(train, "fname", "cars_train"), (test, "fname", "cars_test")]
    )


def _split(folder, names, files):
    """Rows of the first half of the classes, and of the others."""
    train, test = Rows(1), Rows(1)
    seen = set()
    for file, field, subfolder in files:
        for number, annotation in enumerate(_annotations(file, field), start=1):
            path = folder / subfolder / str(annotation[field])
            label = annotation["class"]
            if np.ndim(label) or not 1 <= label <= len(names):
                raise ValueError(
                    f"{file}, annotation {number}: class {label} is none of the "
                    f"{len(names)} class names."
                )
            if path in seen:
                raise ValueError(
                    f"{file}, annotation {number}: {annotation[field]} is there twice."
                )
            seen.add(path)
            rows = train if label <= len(names) // 2 else test
            rows.append(path, str(names[int(label) - 1]))
    return train, test


def _annotations(file, field):
    annotations = _read_mat(file, "annotations")
    fields = annotations.dtype.names or ()
    if not {field, "class"} <= set(fields):
        raise ValueError(
            f"{file}: the annotations must have the fields {field!r} and 'class'. "
            f"Received: {fields}"
        )
    return annotations


def _read_mat(file, name):
    from scipy.io import loadmat

    try:
        content = loadmat(file, squeeze_me=True)
    except Exception as error:  # SciPy's, of many kinds, for a broken file
        raise ValueError(
            f"{file} is not a readable MATLAB file: {error}. Get it again."
        ) from error
    if name not in content:
        raise ValueError(f"{file} holds no {name!r}. Get it again.")
    return np.atleast_1d(content[name])
