"""Fashion Product Images: photos of a shop's products, from its official files."""

import collections
import hashlib
import warnings

from keras_hierproxy.datasets.index_files import (
    check_columns,
    line_error,
    parse_number,
    read_lines,
)
from keras_hierproxy.datasets.official.layout import Layout
from keras_hierproxy.datasets.official.photos import photos
from keras_hierproxy.datasets.rows import Rows

LAYOUT = Layout(
    title="Fashion Product Images",
    page="Fashion Product Images, kaggle.com/datasets/paramaggarwal, in full or small",
    tree="""\
fashion-dataset/
    styles.csv
    images/15970.jpg ...""",
    files=("styles.csv",),
    folders=("", "fashion-dataset", "fashion_products", "myntradataset"),
    zips=("fashion_products.zip", "fashion-dataset.zip", "archive.zip"),
)
# None is published to hold a reader to: each version has its own.
COUNTS = {}
# Those of the small version that the docstring speaks of.
SMALL = {
    "training images": 26_514,
    "training classes": 973,
    "test images": 9_305,
}
_LEVELS = ("product", "article_type", "sub_category", "master_category")
_HEADER = (
    *("id", "gender", "masterCategory", "subCategory", "articleType", "baseColour"),
    *("season", "year", "usage"),
)
_NAME = "productDisplayName"
_COLUMNS = ("gender", "season", "usage")
# Of a hash from 0 to 1: below the first validation, below the second test.
_SHARES = (0.2, 0.4)
# The official files list a few photos that they do not hold.
_MOST_MISSING = 0.01


@photos(
    "fashion_products",
    _LEVELS,
    LAYOUT,
    COUNTS,
    drawn=False,
    image_size=64,
    why=""": the small
        version has photos of 60 x 80 pixels. Pass 224 for the full one""",
)
def load_fashion_products(folder):
    """Fashion Product Images: 44,000 photos of an online shop, in four levels.

    Aggarwal, "Fashion Product Images Dataset", Kaggle, 2019, in full (1800 x 2400
    pixels) or small (60 x 80). The levels are the article type in one colour
    ("Handbags, Black"), the article type, the sub-category and the master category.
    Colours are as sellers named them: a navy blue shirt may be a blue one, so that
    the finest level is noisy. `columns` of each part holds `gender`, `season` and
    `usage`.

    **The levels nest** by this rule: an article type lies in the sub-category that
    most of its photos state (of several, the first by name), and a sub-category in
    the master category that most of its photos state. It moves 72 of 40,982
    photos, such as handbags among the "Free Gifts".

    **The protocol.** The parts have no article type in common. A type is of the test,
    of validation or for training by its name alone, the first 8 hexadecimal digits of
    its MD5 as a share of 16^8: below 0.2 validation, below 0.4 test. So every version
    of the files splits alike. Of 40,982 photos and 121 article types, 26,514 of 76
    types (973 classes) are for training, 5,163 of 19 (248) for validation, and 9,305
    of 26 (320) for the test, leave-one-out.

    Args:
        root: the folder with `styles.csv` and `images`, or the one that holds it as
            `fashion-dataset`; or the zip file of these, which is read as it is where
            its images fit into `memory_limit`, or the folder that holds it as
            `fashion_products.zip`.

    Example:

    >>> data = khp.datasets.load_fashion_products("data")  # holds fashion_products.zip
    >>> sorted(data.test.columns)
    ['gender', 'season', 'usage']
    """
    styles = _read_styles(folder / "styles.csv")
    types = _parents(styles, "articleType", "subCategory")
    categories = _parents(styles, "subCategory", "masterCategory")
    parts = {part: Rows(len(_LEVELS)) for part in ("train", "validation", "test")}
    there = _images(folder)
    missing = [style["id"] for style in styles if f"{style['id']}.jpg" not in there]
    if missing and len(missing) <= _MOST_MISSING * len(styles):
        warnings.warn(
            f"{len(missing)} of the {len(styles):,} photos of styles.csv are not in "
            f"{folder / 'images'} and are left out: {', '.join(missing[:5])}.",
            stacklevel=2,
        )
        styles = [style for style in styles if style["id"] not in set(missing)]
    for style in styles:
        article = style["articleType"]
        category = types[article]
        rows = parts[part_of(article)]
        rows.append(
            folder / "images" / f"{style['id']}.jpg",
            f"{article}, {style['baseColour'] or 'NA'}",
            article,
            category,
            categories[category],
        )
        for name in _COLUMNS:
            rows.columns.setdefault(name, []).append(style[name])
    return list(parts.values())


def part_of(article_type):
    """The part that an article type belongs to, by its name alone."""
    digest = hashlib.md5(article_type.encode(), usedforsecurity=False).hexdigest()
    share = int(digest[:8], 16) / 16**8
    validation, test = _SHARES
    return "validation" if share < validation else "test" if share < test else "train"


def _images(folder):
    images = folder / "images"
    return {path.name for path in images.iterdir()} if images.is_dir() else set()


def _read_styles(file):
    """The lines as dicts of `_HEADER`."""
    (_, header), *lines = read_lines(file)
    columns = header.split(",")
    if columns not in (list(_HEADER), [*_HEADER, _NAME]):
        raise ValueError(
            f"{file} must begin with the columns {', '.join(_HEADER)} (and {_NAME}). "
            f"Received: {header!r}"
        )
    styles, seen = [], {}
    for number, line in lines:
        # Names have commas, not always in quotes, and come last.
        fields = [field.strip() for field in line.split(",", len(_HEADER))]
        check_columns(file, number, fields, columns, line)
        style = dict(zip(_HEADER, fields, strict=False))
        parse_number(file, number, "id", style["id"])
        for column in ("masterCategory", "subCategory", "articleType"):
            if not style[column]:
                raise line_error(file, number, f"{column} is empty.")
        if (first := seen.setdefault(style["id"], number)) != number:
            raise line_error(file, number, f"{style['id']} is already in line {first}.")
        styles.append(style)
    return styles


def _parents(styles, child, parent):
    """Each value of a column to the value of the next that most of its photos state."""
    counts = collections.defaultdict(collections.Counter)
    for style in styles:
        counts[style[child]][style[parent]] += 1
    return {
        name: min(each, key=lambda value: (-each[value], value))
        for name, each in counts.items()
    }
