"""CUB-200-2011: photos of birds, from its official files."""

from keras_hierproxy.datasets.index_files import (
    line_error,
    parse_lines,
    read_lines,
    read_pairs,
)
from keras_hierproxy.datasets.official.layout import Layout
from keras_hierproxy.datasets.official.photos import photos
from keras_hierproxy.datasets.rows import Rows

LAYOUT = Layout(
    title="CUB-200-2011",
    page="Caltech-UCSD Birds-200-2011, vision.caltech.edu/datasets/cub_200_2011",
    tree="""\
CUB_200_2011/
    classes.txt  images.txt  image_class_labels.txt
    images/001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg ...""",
    files=("images.txt", "image_class_labels.txt", "classes.txt"),
    folders=("", "CUB_200_2011"),
    archives=("CUB_200_2011.tgz",),
)
COUNTS = {
    "training images": 5864,
    "training classes": 100,
    "test images": 5924,
    "test classes": 100,
}


@photos("cub", ("species",), LAYOUT, COUNTS)
def load_cub(folder):
    """CUB-200-2011: 11,788 photos of 200 species of birds.

    Wah, Branson, Welinder, Perona and Belongie, "The Caltech-UCSD Birds-200-2011
    Dataset", 2011. One level, the species.

    **The protocol** is that of the field: the first 100 classes (5,864 photos) are for
    training, the other 100 (5,924 photos) for the test, leave-one-out. Whole photos:
    bounding boxes are not used. The validation classes are taken out of the training
    ones, so that `train` is smaller than in papers that select models on the test
    classes; `validation=0` gives theirs.

    Args:
        root: the folder `CUB_200_2011`, or the one that holds it.

    Example:

    >>> data = khp.datasets.load_cub("data")  # holds CUB_200_2011
    >>> data.test.level_names
    ('species',)
    """
    classes = read_pairs(folder / "classes.txt", {"class id": int, "name": str})
    images = read_pairs(folder / "images.txt", {"image id": int, "path": str})
    first_half = sorted(classes)[: len(classes) // 2]
    train, test = Rows(1), Rows(1)
    file = folder / "image_class_labels.txt"
    columns = {"image id": int, "class id": int}
    for line, image, label in parse_lines(file, read_lines(file), columns):
        if image not in images:
            raise line_error(
                file,
                line,
                f"image {image} is not in images.txt, or in a line before.",
            )
        if label not in classes:
            raise line_error(file, line, f"class {label} is not in classes.txt.")
        rows = train if label in first_half else test
        rows.append(folder / "images" / images.pop(image), classes[label])
    if images:
        raise ValueError(
            f"{file} has no class for {len(images)} images of images.txt: "
            + ", ".join(map(str, list(images)[:5]))
        )
    return train, test
