"""Stanford Online Products: photos of offers, from its official files."""

from keras_hierproxy.datasets.index_files import line_error, parse_lines, read_lines
from keras_hierproxy.datasets.official.layout import Layout
from keras_hierproxy.datasets.official.photos import photos
from keras_hierproxy.datasets.rows import Rows

LAYOUT = Layout(
    title="Stanford Online Products",
    page="Deep Metric Learning via Lifted Structured Feature Embedding, "
    "cvgl.stanford.edu/projects/lifted_struct",
    tree="""\
Stanford_Online_Products/
    Ebay_train.txt  Ebay_test.txt
    bicycle_final/111085122871_0.JPG ...""",
    files=("Ebay_train.txt", "Ebay_test.txt"),
    folders=("", "Stanford_Online_Products"),
    archives=("Stanford_Online_Products.zip",),
)
COUNTS = {
    "training images": 59551,
    "training classes": 11318,
    "test images": 60502,
    "test classes": 11316,
}
_COLUMNS = {"image_id": int, "class_id": int, "super_class_id": int, "path": str}


@photos("sop", ("product", "category"), LAYOUT, COUNTS)
def load_sop(folder):
    """Stanford Online Products: 120,053 photos of 22,634 products on eBay.

    Song, Xiang, Jegelka and Savarese, "Deep Metric Learning via Lifted Structured
    Feature Embedding", CVPR 2016. The levels are the product and its category, one of
    12, named by its folder (`bicycle_final` is "bicycle").

    **The protocol** is the official one: `Ebay_train.txt` (59,551 photos of 11,318
    products) is for training, `Ebay_test.txt` (60,502 photos of 11,316 products) for
    the test, leave-one-out. The validation products are taken out of the training
    ones, so that `train` is smaller than in papers that select models on the test
    products; `validation=0` gives theirs.

    Args:
        root: the folder `Stanford_Online_Products`, or the one that holds it.

    Example:

    >>> data = khp.datasets.load_sop("data")  # holds Stanford_Online_Products
    >>> data.test.level_names
    ('product', 'category')
    """
    categories = {}
    return [
        _read_index(folder, f"Ebay_{split}.txt", categories)
        for split in ("train", "test")
    ]


def _read_index(folder, name, categories):
    """The rows of an index; `categories` collects the folder of each super class."""
    file = folder / name
    header, *lines = read_lines(file)
    if header[1].split() != list(_COLUMNS):
        raise line_error(
            file,
            header[0],
            f"expected the columns {' '.join(_COLUMNS)!r}. Received: {header[1]!r}",
        )
    rows = Rows(2)
    for line, _, product, super_class, path in parse_lines(file, lines, _COLUMNS):
        category = path.split("/")[0].removesuffix("_final")
        expected = categories.setdefault(super_class, category)
        if category != expected:
            raise line_error(
                file,
                line,
                f"super class {super_class} lies in the folder {category!r}, and in an "
                f"earlier line in {expected!r}.",
            )
        rows.append(folder / path, product, category)
    return rows
