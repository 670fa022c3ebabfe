"""What the loaders of photos share: their options, and the way from index to splits."""

import functools
import inspect
import re

from keras_hierproxy.datasets.dataset import Splits
from keras_hierproxy.datasets.image_reader import ImageReader
from keras_hierproxy.datasets.rows import check_shares, read_rows

_OF_THE_DRAW = ("validation", "seed")


def photos(
    name, levels, layout, counts, new=True, drawn=True, image_size=224, why=None
):
    """Makes a reader of official index files the loader of a data set of photos.

    The loader takes `root`, the reader's own options, and the shared ones, which its
    docstring gains before its example.

    Args:
        name: what to call the data set.
        levels: a name for each level, finest first.
        layout: `Layout`, which finds the folder that the reader is called with.
        counts: the published counts, as of `Layout.check_counts`.
        new: whether the test classes must not be training classes, too.
        drawn: whether validation classes are drawn from the training ones, as the
            options `validation` and `seed` say; or else the reader tells them.
        image_size: its default.
        why: the reason for that, to be read after the number. Defaults to that papers
            use it.

    Returns:
        A decorator of a function of a folder, and of options of its own, that returns
        the `Rows` for training, for validation where none is drawn, and for the test.
        An option `test_split` names the test.
    """

    def decorate(read_index):
        _, *own = inspect.signature(read_index).parameters.values()
        root, size, *shared = inspect.signature(_options).parameters.values()
        size = size.replace(default=image_size)
        if not drawn:
            shared = [each for each in shared if each.name not in _OF_THE_DRAW]
        signature = inspect.Signature([root, *own, size, *shared])

        @functools.wraps(read_index)
        def load(*args, **options):
            try:
                given = signature.bind(*args, **options)
            except TypeError as error:
                raise TypeError(f"{read_index.__name__}(): {error}") from None
            given.apply_defaults()
            options = given.arguments
            reader = ImageReader(
                **{key: options[key] for key in ImageReader.__dataclass_fields__}
            )
            if drawn:
                check_shares((options["validation"], 0), options["seed"])
            folder = layout.find(options["root"])
            parts = read_index(folder, *(options[each.name] for each in own))
            train, *_, test = parts
            test_split = options.get("test_split", "test")
            layout.check_counts(counts, _count(train, test, test_split))
            layout.check_images(folder, sum((rows.paths for rows in parts), []))
            if new:
                _check_new(name, train, test)
            names = [f"{name}/train", f"{name}/validation", f"{name}/{test_split}"]
            if drawn:
                names = [name, names[-1]]
            data = read_rows(dict(zip(names, parts, strict=True)), reader, levels)
            if not drawn:
                return Splits(*data)
            seen, unseen = data
            splits = seen.split(
                validation=options["validation"], test=0, seed=options["seed"]
            )
            return Splits(splits.train, splits.validation, unseen)

        load.__signature__ = signature
        if load.__doc__:  # none under `python -OO`
            text = inspect.getdoc(_options).partition("\n\n")[2]
            if not drawn:
                text = re.sub(
                    rf" +({'|'.join(_OF_THE_DRAW)}): (.|\n)*?(?=\n    \w)\n", "", text
                )
            text = text.format(f"{image_size}{why or ', which papers use'}")
            own_text, example, rest = inspect.getdoc(read_index).partition(
                "\n\nExample:"
            )
            load.__doc__ = f"{own_text}\n{text}{example}{rest}"
        return load

    return decorate


def _options(
    root,
    image_size,
    color_mode="rgb",
    validation=0.15,
    seed=0,
    skip_bad=False,
    memory_limit=2**30,
    background="white",
):
    """What every loader of photos takes.

        image_size: `(height, width)`, or one number for both. Images are cropped
            around their centre. Defaults to {}.
        color_mode: `"rgb"` or `"grayscale"`. Defaults to `"rgb"`.
        validation: share of the training classes to set aside for validation.
            Defaults to 0.15; 0 sets none aside.
        seed: seed of that draw. Defaults to 0.
        skip_bad: whether to leave out images that cannot be read, with a warning
            that counts them, instead of raising. Defaults to `False`.
        memory_limit: bytes up to which the decoded images are kept in memory;
            beyond, each batch decodes its own: pass `workers` to `batches`. Defaults
            to 1 GiB.
        background: behind what is transparent, as of `from_directory`. Defaults to
            `"white"`.

    Returns:
        `Splits`, of classes that are divided by the protocol above.

    Raises:
        FileNotFoundError: an official file or an image is missing.
        ValueError: a damaged index file or image; an index of the full set that has
            not the published counts.
    """


def _count(train, test, test_split):
    found = {
        "training images": len(train),
        "training classes": train.num_classes,
        f"{test_split} images": len(test),
        f"{test_split} classes": test.num_classes,
    }
    if test.is_query:
        found["query images"] = sum(test.is_query)
        found["gallery images"] = len(test) - found["query images"]
    return found


def _check_new(name, train, test):
    shared = sorted(set(train.levels[0]) & set(test.levels[0]))
    if shared:
        raise ValueError(
            f"{len(shared)} classes of {name!r} are listed both for training and for "
            f"the test: {', '.join(map(str, shared[:5]))}. Get its index files again."
        )
