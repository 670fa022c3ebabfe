"""Images and labels that a CSV file lists."""

import csv
import os
import pathlib

from keras_hierproxy.checks import did_you_mean
from keras_hierproxy.datasets.dataset import Splits
from keras_hierproxy.datasets.finding import Locator, same_name
from keras_hierproxy.datasets.image_reader import ImageReader
from keras_hierproxy.datasets.index_files import check_columns, line_error
from keras_hierproxy.datasets.rows import Rows, check_shares, read_rows
from keras_hierproxy.files import ENCODING

# Columns that are not levels of labels.
_NO_LEVELS = ("path", "split", "group")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_PARTS = ("train", "validation", "test", "query", "gallery")


def from_csv(
    path,
    image_size=(224, 224),
    root=None,
    color_mode="rgb",
    split=(0.15, 0.15),
    seed=0,
    skip_bad=False,
    memory_limit=2**30,
    background="white",
):
    """Reads images that a CSV file lists, with their labels.

    Its first line names the columns: `path`, one or more levels of labels, the finest
    first, and, if the sets are fixed, `split`, and, if there are any, `group`:

    ```
    path,variety,fruit,split
    photos/1.jpg,gala,apple,train
    photos/2.jpg,anjou,pear,test
    ```

    The names of the label columns become `level_names`; labels are strings. Columns
    are divided by commas, and the text is UTF-8, but for names of files, which may be
    any bytes. `split` is `train`, `validation` or `test`; or `query` and `gallery`
    instead of `test`, for queries that retrieve from other images. Where no line is of
    `validation`, validation classes are taken out of the training ones. Whether the
    sets have disjoint classes is up to the file.

    `group` says which images were taken together, of one clip, camera or product shoot:
    in evaluation a query does not retrieve the images of its own group. It may be
    empty, for an image that is in none.

    Args:
        path: the CSV file.
        image_size: `(height, width)`, or one number for both. Images are turned
            upright (EXIF), and resized and cropped around their centre, keeping
            their proportions. Defaults to 224, which most pretrained backbones saw.
        root: the folder that relative paths start from. Defaults to the one that
            holds the CSV file.
        color_mode: `"rgb"` or `"grayscale"`.
        split: shares `(validation, test)` of the classes to set aside where there is
            no column `split`; of one, only the validation share counts, and only
            if no line is of `validation`. `None` for one data set of all lines.
        seed: seed of the split.
        skip_bad: whether to leave out images that cannot be read, with a warning
            that counts them, instead of raising.
        memory_limit: bytes up to which the decoded images are kept in memory;
            beyond, each batch decodes its own: pass `workers` to `batches`. Defaults
            to 1 GiB.
        background: what shines through where an image is transparent: the name of a
            colour, a gray value from 0 to 255, or three for red, green and blue.
            Defaults to `"white"`, the paper of drawings and of product photos.

    Returns:
        `Splits`; with `split=None` a `RetrievalDataset`.

    Raises:
        FileNotFoundError: the file, or an image that it lists, is missing.
        ValueError: columns that are missing or twice; a line of another number of
            columns, without a label or of an unknown split; an image listed twice;
            labels that do not nest; an image that cannot be read.

    Example:

    >>> data = khp.datasets.from_csv("items.csv", image_size=96)
    >>> data.train.level_names
    ('product',)
    """
    reader = ImageReader(image_size, color_mode, skip_bad, memory_limit, background)
    if split is not None:
        check_shares(split, seed)
    file = pathlib.Path(path)
    names, lines = _read_lines(file)
    level_names = tuple(name for name in names if name not in _NO_LEVELS)
    one_set = split is None or "split" not in names
    parts = _sort_lines(file, lines, level_names, root, one_set)
    _check_images(file, sum((rows.paths for rows in parts.values()), []))
    if one_set:
        (data,) = read_rows({file.stem: parts["train"]}, reader, level_names)
        return data if split is None else data.split(*split, seed=seed)
    _check_parts(file, parts)
    named = {f"{file.stem}/{part}": rows for part, rows in parts.items()}
    data = dict(zip(parts, read_rows(named, reader, level_names), strict=True))
    train, validation = data["train"], data.get("validation")
    if validation is None:
        held_out = train.split(validation=split[0], test=0, seed=seed)
        train, validation = held_out.train, held_out.validation
    return Splits(train, validation, data.get("test"))


def column_names(path):
    """The names in the first line of a CSV file."""
    return _read_lines(pathlib.Path(path))[0]


def _read_lines(file):
    """The columns' names, and each line as `(line number, dict)`."""
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}.")
    try:
        # Names of files are bytes, and need not be text.
        with file.open(newline="", **ENCODING | {"encoding": "utf-8-sig"}) as text:
            reader = csv.reader(text, strict=True)
            # Spreadsheets leave rows of empty cells behind.
            lines = [(reader.line_num, line) for line in reader if any(line)]
    except csv.Error as error:
        raise ValueError(f"{file} is not a CSV file in UTF-8: {error}.") from error
    names = [name.strip() for name in lines[0][1]] if lines else []
    _check_divided(file, names)
    _check_text(file, 1, ",".join(names))
    levels = [name for name in names if name not in _NO_LEVELS]
    if "path" not in names or not levels or "" in names or len(set(names)) < len(names):
        raise ValueError(
            f"{file}: the first line must name the columns: 'path', one or more levels "
            "of labels, each with a name of its own, and, if the sets are fixed, "
            f"'split', and 'group', if there are any. Received: {names}"
            + ("" if "path" in names else did_you_mean("path", map(str.lower, names)))
        )
    rows = []
    for number, line in lines[1:]:
        check_columns(file, number, line, names, ",".join(line))
        row = dict(zip(names, line, strict=True))
        for name in row.keys() - {"path"}:
            row[name] = row[name].strip(" \t")
            _check_text(file, number, row[name])
        rows.append((number, row))
    if not rows:
        raise ValueError(f"{file} lists no images.")
    return names, rows


def _check_divided(file, names):
    """Raises for what spreadsheets write beside commas and UTF-8."""
    whole = ",".join(names)
    if "\0" in whole or whole.encode(errors="surrogateescape")[:2] in _UTF_16:
        raise ValueError(f"{file} is in UTF-16. Save it as CSV with UTF-8.")
    for separator, its_name in ((";", "semicolons"), ("\t", "tabs")):
        if separator in whole and "path" not in names:
            raise ValueError(
                f"{file}: columns must be divided by commas, and here they are by "
                f"{its_name}. Received: {whole!r}. Save it with commas."
            )


def _check_text(file, number, cell):
    try:
        cell.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{file} is not a CSV file in UTF-8: line {number} holds "
            f"{os.fsencode(cell)!r}."
        ) from error


def _sort_lines(file, lines, level_names, root, one_set):
    """Name of a set to its rows; all are of `train` if they are to be one set."""
    root = file.parent if root is None else pathlib.Path(root)
    locator = Locator()
    parts, seen = {}, {}
    for number, line in lines:
        empty = [n for n in line if not line[n].strip(" \t") and n != "group"]
        if empty:
            raise line_error(file, number, f"nothing in the column {empty[0]!r}.")
        path = _find(locator, root, line["path"])
        if not path.exists():
            _check_text(file, number, line["path"])
        # `a/0.png` and `b/../a/0.png` are one file.
        if (first := seen.setdefault(locator.place(path), number)) != number:
            raise line_error(
                file, number, f"{line['path']} is already in line {first}."
            )
        part = "train" if one_set else line["split"]
        if part not in _PARTS:
            raise line_error(
                file, number, f"split must be one of {_PARTS}. Received: {part!r}"
            )
        is_query, part = part == "query", part.replace("query", "gallery")
        rows = parts.setdefault(part, Rows(len(level_names)))
        rows.append(path, *(same_name(line[name]) for name in level_names))
        if "group" in line:
            rows.groups.append(line["group"])
        if part == "gallery":
            rows.is_query.append(is_query)
    return parts


def _find(locator, root, name):
    """The path of a file.

    Spaces around its name, and backslashes, are the name's if it is there so; else
    the file was written on Windows.
    """
    for spelling in (name, name.strip(" \t"), name.replace("\\", "/").strip(" \t")):
        path = locator.find(root / spelling)
        if path.exists():
            break
    return path


def _check_parts(file, parts):
    if "gallery" in parts and "test" in parts:
        raise ValueError(
            f"{file} has lines of the split 'test' and of 'query' or 'gallery'. Take "
            "either: 'test' for images that are queries against each other."
        )
    if "train" not in parts:
        raise ValueError(
            f"{file} has no line of the split 'train'. Received: {sorted(parts)}. Give "
            "lines that split, or none a split. As one data set all lines are read by "
            "split=None."
        )
    if "gallery" in parts:
        parts["test"] = parts.pop("gallery")


def _check_images(file, paths):
    # What is there, and no file, is told when it is read.
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing):,} of the {len(paths):,} images that {file} lists are not "
            "there. Looked for "
            + ", ".join(map(str, missing[:3]))
            + (", ..." if len(missing) > 3 else ".")
            + " Relative paths start from the folder of the file, or from root=."
        )
