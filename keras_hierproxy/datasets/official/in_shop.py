"""In-Shop Clothes Retrieval: photos of a shop's clothes, from its official files."""

import collections
import warnings

from keras_hierproxy.datasets.index_files import (
    line_error,
    parse_lines,
    parse_number,
    read_lines,
)
from keras_hierproxy.datasets.official.layout import Layout
from keras_hierproxy.datasets.official.photos import photos
from keras_hierproxy.datasets.rows import Rows

_INDEX = "Eval/list_eval_partition.txt"
LAYOUT = Layout(
    title="In-Shop Clothes Retrieval",
    page="DeepFashion: In-shop Clothes Retrieval Benchmark, "
    "mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html",
    tree="""\
In-shop Clothes Retrieval Benchmark/
    Eval/list_eval_partition.txt
    Img/img/WOMEN/Dresses/id_00000002/02_1_front.jpg ...   (or img/WOMEN/...)""",
    files=(_INDEX,),
    folders=("", "In-shop Clothes Retrieval Benchmark"),
    archives=("Img/img.zip", "img.zip"),
)
COUNTS = {
    "training images": 25882,
    "training classes": 3997,
    "test images": 14218 + 12612,
    "test classes": 3985,
    "query images": 14218,
    "gallery images": 12612,
}
_HEADER = ["image_name", "item_id", "evaluation_status"]


@photos("in_shop", ("item", "category", "department"), LAYOUT, COUNTS)
def load_in_shop(folder):
    """In-Shop Clothes Retrieval: 52,712 photos of 7,982 clothes of a shop.

    Liu, Luo, Qiu, Wang and Tang, "DeepFashion: Powering Robust Clothes Recognition and
    Retrieval with Rich Annotations", CVPR 2016. The levels are the item, the category
    ("WOMEN/Dresses") and the department ("WOMEN"). The index file lists items only;
    the other two are the folders that the photos lie in. An item whose photos lie in
    folders of several categories gets the one with the most, so that levels nest, and
    a warning counts such items.

    **The protocol** is the official one: 25,882 photos of 3,997 items are for
    training; for the test, 14,218 photos are queries that retrieve from a gallery of
    12,612, of 3,985 other items: `test.is_query`. Validation items are taken out of
    the training ones, and are evaluated leave-one-out, so that `train` is smaller than
    in papers that select models on the test items; `validation=0` gives theirs.

    Args:
        root: the folder that holds `Eval` and `Img`, or the one that holds it as
            `In-shop Clothes Retrieval Benchmark`.

    Example:

    >>> data = khp.datasets.load_in_shop("data/In-shop Clothes Retrieval Benchmark")
    >>> data.test.level_names
    ('item', 'category', 'department')
    """
    file = folder / _INDEX
    lines = read_lines(file)
    if len(lines) < 3 or lines[1][1].split() != _HEADER:
        raise ValueError(
            f"{file} must begin with the number of images and the line "
            f"{' '.join(_HEADER)!r}. Received: {[line for _, line in lines[:2]]}"
        )
    number, total = lines[0]
    total = parse_number(file, number, "the number of images", total.strip())
    columns = {"path": str, "item id": str, "status": str}
    index = parse_lines(file, lines[2:], columns)
    if len(index) != total:
        raise ValueError(
            f"{file} says that it lists {total:,} images, and lists {len(index):,}. "
            "Get it again."
        )
    categories = _categories(file, index)
    images = folder / "Img" if (folder / "Img" / "img").is_dir() else folder
    train, test = Rows(3), Rows(3)
    for line, path, item, status in index:
        if status not in ("train", "query", "gallery"):
            raise line_error(
                file,
                line,
                f"status must be train, query or gallery. Received: {status!r}",
            )
        category = categories[item]
        rows = train if status == "train" else test
        rows.append(images / path, item, category, category.split("/")[0])
        if rows is test:
            rows.is_query.append(status == "query")
    return train, test


def _categories(file, index):
    """Item to category, the folder of most of its photos."""
    folders = collections.defaultdict(collections.Counter)
    for line, path, item, _ in index:
        parts = path.split("/")
        if len(parts) != 5 or parts[0] != "img":
            raise line_error(
                file,
                line,
                "expected a path such as "
                f"img/WOMEN/Dresses/id_00000002/02_1_front.jpg. Received: {path!r}",
            )
        folders[item]["/".join(parts[1:3])] += 1
    several = [item for item, counts in folders.items() if len(counts) > 1]
    if several:
        warnings.warn(
            f"{len(several)} of {len(folders)} items have photos in folders of several "
            f"categories, and get that of most: {', '.join(several[:5])}.",
            stacklevel=4,
        )
    return {
        item: max(sorted(counts), key=counts.get) for item, counts in folders.items()
    }
