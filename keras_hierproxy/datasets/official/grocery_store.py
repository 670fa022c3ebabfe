"""Grocery Store: photos of products in shops, from its official files."""

from keras_hierproxy.datasets.index_files import line_error, parse_lines, read_lines
from keras_hierproxy.datasets.official.layout import Layout
from keras_hierproxy.datasets.official.photos import photos
from keras_hierproxy.datasets.rows import Rows

_FOLDERS = ("GroceryStoreDataset", "GroceryStoreDataset-master")
LAYOUT = Layout(
    title="Grocery Store",
    page="GroceryStoreDataset, github.com/marcusklasson/GroceryStoreDataset",
    tree="""\
GroceryStoreDataset/dataset/
    classes.csv
    train.txt  val.txt  test.txt
    train/Fruit/Apple/Golden-Delicious/Golden-Delicious_001.jpg ...
    val/ ...
    test/ ...""",
    files=("classes.csv", "train.txt"),
    folders=("", "dataset", *(f"{folder}/dataset" for folder in _FOLDERS)),
    zips=("grocery_store.zip", *(f"{folder}.zip" for folder in _FOLDERS)),
)
COUNTS = {
    "training images": 2640,
    "training classes": 81,
    "val images": 296,
    "test images": 2485,
}
_TEST_SPLITS = ("test", "val")
_CLASS_COLUMNS = {
    "class name": str,
    "class id": int,
    "coarse class name": str,
    "coarse class id": int,
    "iconic image": str,
    "description": str,
}
_IMAGE_COLUMNS = {"path": str, "class id": int, "coarse class id": int}


@photos(
    "grocery_store",
    ("fine", "coarse", "department"),
    LAYOUT,
    COUNTS,
    new=False,
    image_size=96,
    why=""": enough to tell products,
        and a network trained from scratch takes a fifth of the time of 224. Pass 224
        for a pretrained one""",
)
def load_grocery_store(folder, test_split="test"):
    """Grocery Store: photos of 81 kinds of fruit, vegetables and packages in shops.

    Klasson, Zhang and Kjellstrom, "A Hierarchical Grocery Store Image Dataset with
    Visual and Semantic Labels", WACV 2019. The levels are the 81 fine and 43 coarse
    classes of `classes.csv`, and the department, which is the topmost folder: Fruit,
    Packages or Vegetables.

    **The protocol.** The official splits divide photos, not classes: test photos are
    of classes that were trained on (and of the validation ones). This measures how
    well an embedder knows new photos, not new classes.

    - `train` is the official train split without the validation classes.
    - `validation` is the photos of the train split of some classes, drawn by `seed`.
      Nothing of the test split is seen when a model is selected.
    - `test` is the official split that `test_split` names, leave-one-out: each photo
      is a query against all others of the split. Photos of the train split are not in
      the gallery: their embeddings were fitted to their classes, so that against
      them Recall@1 would be the accuracy of a classifier.

    Args:
        root: folder that holds `GroceryStoreDataset`, that folder itself or the
            folder `dataset` in it; or the zip file of these, which is read as it is
            where its images fit into `memory_limit`, or the folder that holds it as
            `grocery_store.zip` or `GroceryStoreDataset-master.zip`.
        test_split: the official split to test on, `"test"` or `"val"` (60 of the
            classes). Defaults to `"test"`, which the paper reports.

    Example:

    >>> # The folder holds grocery_store.zip.
    >>> data = khp.datasets.load_grocery_store("data", test_split="val")
    >>> data.train.level_names
    ('fine', 'coarse', 'department')
    """
    if test_split not in _TEST_SPLITS:
        raise ValueError(
            f"test_split must be one of {_TEST_SPLITS}. Received: {test_split!r}"
        )
    _check_test_split(folder, test_split)
    classes = _read_classes(folder / "classes.csv")
    departments = {}
    return [
        _read_split(folder, split, classes, departments)
        for split in ("train", test_split)
    ]


def _check_test_split(folder, test_split):
    there = [name for name in _TEST_SPLITS if (folder / f"{name}.txt").exists()]
    if test_split not in there:
        other = "".join(
            f' Pass test_split="{name}" to test on that split.' for name in there
        )
        raise LAYOUT.error(f"no {test_split}.txt in {folder}.{other}", [])


def _read_classes(file):
    """Class id to `(name, coarse name, coarse id)`."""
    _header, *lines = read_lines(file)
    classes = {}
    for line, name, fine, coarse_name, coarse, *_ in parse_lines(
        file, lines, _CLASS_COLUMNS, ","
    ):
        if fine in classes:
            raise line_error(file, line, f"class {fine} is in a line before.")
        classes[fine] = (name, coarse_name, coarse)
    return classes


def _read_split(folder, split, classes, departments):
    """The rows of a split; `departments` collects those of the coarse classes."""
    file = folder / f"{split}.txt"
    rows = Rows(3)
    for line, path, fine, coarse in parse_lines(
        file, read_lines(file), _IMAGE_COLUMNS, ","
    ):
        if fine not in classes:
            raise line_error(file, line, f"class {fine} is not in classes.csv.")
        name, coarse_name, expected = classes[fine]
        if coarse != expected:
            raise line_error(
                file,
                line,
                f"the coarse class of class {fine} is {coarse}, and in classes.csv "
                f"{expected}.",
            )
        parts = path.split("/")
        if len(parts) < 4 or parts[0] != split:
            raise line_error(
                file,
                line,
                f"expected a path such as {split}/Fruit/Apple/Golden-Delicious/"
                f"Golden-Delicious_001.jpg. Received: {path!r}",
            )
        department = departments.setdefault(coarse_name, parts[1])
        if department != parts[1]:
            raise line_error(
                file,
                line,
                f"the coarse class {coarse_name} lies in {parts[1]}, and in a line "
                f"before in {department}.",
            )
        rows.append(folder / path, name, coarse_name, department)
    return rows
