"""Omniglot, handwritten characters of 50 alphabets, from its official files."""

import functools
import pathlib
import zipfile

import numpy as np

from keras_hierproxy.datasets.dataset import RetrievalDataset, Splits
from keras_hierproxy.datasets.finding import is_clutter
from keras_hierproxy.datasets.images import decode, read_all
from keras_hierproxy.datasets.official.archives import open_zip
from keras_hierproxy.datasets.rows import check_shares

_FILES = tuple(
    f"{prefix}_{part}"
    for part in (
        "background",
        "evaluation",
        "background_small1",
        "background_small2",
    )
    for prefix in ("images", "omniglot")
)


def load_omniglot(
    root,
    train_groups=("Korean", "Latin", "Greek"),
    test_groups=("Balinese", "Early_Aramaic"),
    image_size=32,
    validation=0.2,
    seed=0,
    skip_bad=False,
):
    """Omniglot: 20 drawings, by 20 people, of each character of an alphabet.

    Lake, Salakhutdinov and Tenenbaum, "Human-level concept learning through
    probabilistic program induction", Science 2015. The levels are character and
    alphabet. Drawings of 105 x 105 black and white pixels become gray ones of
    `image_size`, white ink on black.

    Args:
        root: folder that holds the official `images_background.zip`,
            `images_evaluation.zip`, `images_background_small1.zip` or
            `images_background_small2.zip` (or `omniglot_...` instead of
            `images_...`), or folders of these names, unpacked. Or one of these
            itself.
        train_groups: alphabets for training and validation. The default ones,
            and those for the test, are the five of `images_background_small1.zip`.
        test_groups: alphabets for the test.
        image_size: side of the square images in pixels. Defaults to 32.
        validation: share of the training alphabets' characters that is set
            aside for validation. Defaults to 0.2.
        seed: seed of that draw.
        skip_bad: whether to leave out drawings that cannot be read, with a warning
            that counts them, instead of raising.

    Returns:
        `Splits`, the characters of which are disjoint.

    Raises:
        FileNotFoundError: none of the official files is there.
        ValueError: an alphabet that is not there, or in both groups; a damaged zip
            file or drawing.

    Example:

    >>> data = khp.datasets.load_omniglot("data")  # holds images_background_small1.zip
    >>> data.train.level_names
    ('character', 'alphabet')
    """
    if root is None:
        raise ValueError(
            "Omniglot is not downloaded: pass root=, the folder that holds "
            "images_background_small1.zip or another of its official files."
        )
    check_shares((validation, 0), seed)
    alphabets = _find_alphabets(pathlib.Path(root))
    _check_groups(train_groups, test_groups, alphabets)
    load = functools.partial(
        _load_group, alphabets, image_size=image_size, skip_bad=skip_bad
    )
    seen = load(train_groups).split(validation=validation, test=0, seed=seed)
    return Splits(seen.train, seen.validation, load(test_groups, name="omniglot/test"))


def _load_group(alphabets, group, image_size, skip_bad, name="omniglot"):
    drawings = [
        (f"{alphabet}/{character}", alphabet, path)
        for alphabet in sorted(group)
        for character, path in alphabets[alphabet]
    ]

    def read(drawing):
        # Ink is black in the files.
        return 255 - decode(drawing[-1], (image_size, image_size), "L")

    good, images = read_all(read, drawings, skip_bad)
    characters, origins, paths = zip(*(drawings[i] for i in good), strict=True)
    names, labels = zip(
        *(np.unique(level, return_inverse=True) for level in (characters, origins)),
        strict=True,
    )
    return RetrievalDataset(
        np.stack(images),
        np.stack(labels, axis=1),
        class_names=[level.tolist() for level in names],
        level_names=("character", "alphabet"),
        name=name,
        paths=paths,
    )


def _find_alphabets(root):
    """Alphabet to its drawings, tuples (character, path)."""
    sources = [root] + [
        root / f"{name}{end}" for name in _FILES for end in ("", ".zip")
    ]
    alphabets = {}
    for source in sources:
        found = {}
        for path in _list_drawings(source):
            *_, alphabet, character, _ = pathlib.PurePosixPath(str(path)).parts
            found.setdefault(alphabet, []).append((character, path))
        # The small sets repeat alphabets of images_background.
        alphabets = found | alphabets
    if not alphabets:
        raise FileNotFoundError(
            f"No Omniglot drawings in {root}. Looked there for images_background, "
            "images_evaluation, images_background_small1 and "
            "images_background_small2, each as a .zip file or as a folder, laid out "
            "as images_background/Korean/character01/0540_01.png. They are the files "
            "of the Omniglot data set, github.com/brendenlake/omniglot, folder python."
        )
    return alphabets


def _list_drawings(source):
    pattern = "*/character*/*.png"
    if source.is_dir():
        return [
            path
            for path in sorted(source.glob(pattern))
            if not is_clutter(path.relative_to(source))
        ]
    if not source.is_file():
        return []
    archive, members = open_zip(source, pattern)
    return [zipfile.Path(archive, member) for member in members]


def _check_groups(train_groups, test_groups, alphabets):
    for argument, group in (
        ("train_groups", train_groups),
        ("test_groups", test_groups),
    ):
        if isinstance(group, str) or not group:
            raise ValueError(
                f"{argument} must be a list of alphabets. Received: {group!r}"
            )
        missing = sorted(set(group) - set(alphabets))
        if missing:
            raise ValueError(
                f"{argument} has no drawings of {', '.join(missing)}. "
                f"Found: {', '.join(sorted(alphabets))}."
            )
    shared = sorted(set(train_groups) & set(test_groups))
    if shared:
        raise ValueError(
            "train_groups and test_groups must be disjoint: a test alphabet is never "
            f"trained on. Received in both: {', '.join(shared)}."
        )
