"""iNaturalist-2018: photos of living beings, from its official files."""

import collections

from keras_hierproxy import json_files
from keras_hierproxy.datasets.index_files import (
    line_error,
    parse_lines,
    parse_number,
    read_lines,
)
from keras_hierproxy.datasets.official.layout import Layout
from keras_hierproxy.datasets.official.photos import photos
from keras_hierproxy.datasets.rows import Rows

_SPLIT = "Inat_dataset_splits/Inaturalist_{}_set1.txt"
# The first has the names that the competition hid.
_CATEGORIES = ("categories.json", "train2018.json", "val2018.json")
LAYOUT = Layout(
    title="iNaturalist-2018",
    page="iNaturalist 2018 Competition, github.com/visipedia/inat_comp/tree/master/2018"
    "; the lists Inat_dataset_splits are linked at github.com/Andrew-Brown1/Smooth_AP "
    "and github.com/elias-ramzi/HAPPIER",
    tree="""\
Inat_dataset_splits/
    Inaturalist_train_set1.txt  Inaturalist_test_set1.txt
categories.json   (or train2018.json, val2018.json, which have codes for names)
train_val2018/Plantae/7477/3b60c9486db1d2ee875f11a669fbde4a.jpg ...""",
    files=(_SPLIT.format("train"), _SPLIT.format("test")),
    folders=("", "Inaturalist", "iNaturalist", "inaturalist2018", "inat2018"),
    archives=(
        "train_val2018.tar.gz",
        "categories.json.tar.gz",
        "train2018.json.tar.gz",
        "val2018.json.tar.gz",
    ),
)
COUNTS = {
    "training images": 325846,
    "training classes": 5690,
    "test images": 136093,
    "test classes": 2452,
}
# train2018.json, with all its photos, has 120 million.
_MOST_BYTES = 2**28
_RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "name")
_LEVELS = ("species", "genus", "family", "order", "class", "phylum", "kingdom")


@photos("inaturalist", _LEVELS, LAYOUT, COUNTS)
def load_inaturalist(folder):
    """iNaturalist-2018: 461,939 photos of 8,142 species.

    Van Horn et al., "The iNaturalist Species Classification and Detection Dataset",
    CVPR 2018. Seven levels: species, genus, family, order, class, phylum and kingdom.
    A class is the whole path from the kingdom down, since names of genera occur in
    more than one kingdom.

    **The protocol** is that of metric learning, of Smooth-AP (Brown et al., ECCV 2020)
    and HAPPIER (Ramzi et al., ECCV 2022), not that of the competition, whose training
    and validation photos are of the same species. The two together are divided by
    species, as the lists `Inat_dataset_splits` of Smooth-AP's authors say: 325,846
    photos of 5,690 species are for training, 136,093 of the other 2,452 for the test,
    leave-one-out. Higher ranks are shared: a test species may have its genus, and has
    its kingdom, among the training ones. The validation species are taken out of the
    training ones, so that `train` is smaller than in these papers; `validation=0`
    gives theirs.

    Args:
        root: folder that holds `Inat_dataset_splits`, `train_val2018` and
            `categories.json`; without the last, `train2018.json` or `val2018.json`, in
            which names are codes. Or the one that holds this folder as `Inaturalist`,
            `iNaturalist`, `inaturalist2018` or `inat2018`.

    Example:

    >>> data = khp.datasets.load_inaturalist("data/Inaturalist")
    >>> data.test.num_levels
    7
    """
    file = next((folder / f for f in _CATEGORIES if (folder / f).exists()), None)
    if file is None:
        raise LAYOUT.error(
            f"no {', no '.join(_CATEGORIES)}. Looked in {folder}.", [folder]
        )
    categories = _read_categories(file)
    return [
        _read_index(folder, _SPLIT.format(split), categories, file)
        for split in ("train", "test")
    ]


def _read_categories(file):
    """Category id to its classes, finest first, each with its whole path as name."""
    from keras_hierproxy import schemas  # imports pydantic

    try:
        content = json_files.read(file, advice="Get it again.", most=_MOST_BYTES)
        # categories.json is the list that replaces the one in the other files.
        is_list = isinstance(content, list)
        schema = list[schemas.NaturalistCategory] if is_list else schemas.NaturalistList
        json_files.check(content, str(file), schema, "Get it again.")
    except json_files.DamagedFile as error:
        raise ValueError(
            f"{file} must be JSON that lists categories, each with 'id', "
            f"{', '.join(map(repr, _RANKS))}. {error}"
        ) from error
    paths = {
        category["id"]: [category[rank] for rank in _RANKS]
        for category in (content if is_list else content["categories"])
    }
    counts = collections.Counter("/".join(path) for path in paths.values())
    for key, path in paths.items():
        if counts["/".join(path)] > 1:
            path[-1] += f" ({key})"  # the id is the class
    return {
        key: ["/".join(path[:depth]) for depth in range(len(_RANKS), 0, -1)]
        for key, path in paths.items()
    }


def _read_index(folder, name, categories, categories_file):
    file = folder / name
    rows = Rows(len(_LEVELS))
    for line, path in parse_lines(file, read_lines(file), {"path": str}):
        parts = path.split("/")
        if len(parts) != 4:
            raise line_error(
                file,
                line,
                "expected a path such as train_val2018/Plantae/7477/0a1b.jpg. "
                f"Received: {path!r}",
            )
        category = parse_number(file, line, "the folder of the category", parts[2])
        if category not in categories:
            raise line_error(
                file, line, f"category {category} is not in {categories_file}."
            )
        rows.append(folder / path, *categories[category])
    return rows
