"""What the readers of official layouts share: finding files, index lines, splits."""

import dataclasses
import pathlib
import warnings
import zipfile

import numpy as np

from keras_hierproxy.datasets.dataset import RetrievalDataset, Splits

_UNPACK = {".zip": "unzip -q", ".tar": "tar -xf", ".tgz": "tar -xzf", ".gz": "tar -xzf"}


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the official files of a data set lie.

    Args:
        title: the data set's name.
        page: name and address of its official page.
        tree: the expected folders and files, as lines of text.
        files: paths of the files that must be there, relative to its folder.
        folders: where that folder may be, relative to the root given.
        archives: names of the files that it is downloaded as, to be unpacked.
        zips: names of zip files that are read as they are.
    """

    title: str
    page: str
    tree: str
    files: tuple
    folders: tuple
    archives: tuple = ()
    zips: tuple = ()

    def find(self, root):
        """The folder that holds `files`: a `pathlib.Path`, or a `zipfile.Path`."""
        if root is None:
            raise ValueError(
                f"{self.title} is not downloaded: pass root= (--root), the folder with "
                f"its official files.\n{self.expected()}"
            )
        root = pathlib.Path(root)
        folders = [root / folder for folder in self.folders]
        for folder in folders + self._in_zips(root):
            if all((folder / file).exists() for file in self.files):
                return folder
        raise FileNotFoundError(self._what_is_missing(root, folders))

    def check_images(self, paths):
        """Raises `FileNotFoundError` if images that the index names are not there."""
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise FileNotFoundError(
                f"{self.title}: {len(missing):,} of the {len(paths):,} images that its "
                "index files name are missing, as if it were not wholly unpacked. "
                f"Looked for {', '.join(str(path) for path in missing[:3])}"
                f"{', ...' if len(missing) > 3 else '.'}\n{self.expected()}"
            )

    def check_counts(self, published, found):
        """Raises `ValueError` if an index of the full set has not its counts.

        Where the index names less than half of the images it is taken for a part
        that someone has made of the set, and a warning says so.

        Args:
            published: dict of what is counted to its number, images first.
            found: dict of the same keys.
        """
        if found == published:
            return
        (what, all_images), *_ = published.items()
        counts = "; ".join(
            f"{published[key]:,} {key}, found {found[key]:,}"
            for key in published
            if published[key] != found[key]
        )
        message = f"{self.title} has {counts}."
        if 2 * found[what] < all_images:
            warnings.warn(
                f"{message} This is a part of it: results do not compare with "
                "published ones.",
                stacklevel=3,
            )
            return
        raise ValueError(
            f"{message} The index files are damaged, or of another version.\n"
            f"{self.expected()}"
        )

    def expected(self):
        """What to get and where to put it."""
        return f"Its official page: {self.page}. Expected layout:\n{self.tree}"

    def _in_zips(self, root):
        paths = [root, *(root / name for name in self.zips)]
        archives = [path for path in paths if path.suffix == ".zip" and path.is_file()]
        folders = []
        for path in archives if self.zips else ():
            try:
                archive = zipfile.ZipFile(path)
            except zipfile.BadZipFile as error:
                raise ValueError(
                    f"{path} is not a complete zip file ({error}). Get it again."
                ) from error
            folders += [
                zipfile.Path(archive, member.removesuffix(self.files[0]))
                for member in archive.namelist()
                if pathlib.PurePosixPath(member).match(self.files[0])
                and not member.startswith("__MACOSX/")
            ]
        return folders

    def _what_is_missing(self, root, folders):
        def missing(folder):
            return [file for file in self.files if not (folder / file).exists()]

        nearest = min(folders, key=lambda folder: len(missing(folder)))
        looked = [folder for folder in folders if folder.is_dir()] or [root]
        packed = [
            path
            for folder in dict.fromkeys((root, *looked))
            for name in (*self.archives, *self.zips)
            if (path := folder / name).is_file()
        ]
        message = (
            f"{self.title}: no {', no '.join(missing(nearest))}. Looked in "
            f"{', '.join(str(folder) for folder in looked)}"
            f"{'' if root.is_dir() else ', which is no folder'}."
        )
        for path in packed:
            command = f"cd {path.parent} && {_UNPACK[path.suffix]} {path.name}"
            message += f"\nFound {path}. Unpack it first: {command}"
        return f"{message}\n{self.expected()}"


def read_lines(file):
    """The lines of a text file that are not blank, each `(line number, line)`."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file} is not a text file: {error}. Get it again."
        ) from error
    lines = enumerate(text.splitlines(), start=1)
    lines = [(number, line) for number, line in lines if line.strip()]
    if not lines:
        raise ValueError(f"{file} is empty. Get it again.")
    return lines


def parse_lines(file, lines, columns, separator=None):
    """Splits lines into columns.

    Args:
        file: path, for the errors.
        lines: pairs `(line number, line)`.
        columns: dict of each column's name to its type, `int` or `str`. A column
            called "path" must not hold the same twice.
        separator: what is between columns; by default white space.

    Returns:
        List of tuples `(line number, value, ...)`.
    """
    rows, seen = [], {}
    for number, line in lines:
        fields = [field.strip() for field in line.split(separator)]
        if len(fields) != len(columns):
            raise ValueError(
                f"{where(file, number)}: expected {len(columns)} columns "
                f"({', '.join(columns)}). Received: {line!r}"
            )
        row = dict(zip(columns, fields, strict=True))
        for name, kind in columns.items():
            if kind is int:
                if not (row[name].isascii() and row[name].isdecimal()):
                    raise ValueError(
                        f"{where(file, number)}: {name} must be a number. "
                        f"Received: {row[name]!r}"
                    )
                row[name] = int(row[name])
        if "path" in row and (first := seen.setdefault(row["path"], number)) != number:
            raise ValueError(
                f"{where(file, number)}: {row['path']} is already in line {first}."
            )
        rows.append((number, *row.values()))
    return rows


def where(file, number):
    """A line of a file, for errors."""
    return f"{file}, line {number}"


def read_splits(
    name,
    level_names,
    train,
    test,
    reader,
    validation,
    seed,
    is_query=None,
):
    """Reads the images of a training and a test set, and splits off validation classes.

    Args:
        name: what to call the data set.
        level_names: a name for each level, finest first.
        train: dict of `"paths"`, a list of `N` paths, and `"levels"`, for each level
            a list of `N` classes, strings or numbers.
        test: dict of the same.
        reader: `ImageReader`.
        validation: share of the training classes to set aside for validation.
        seed: seed of that draw.
        is_query: list of bools, which test images are queries, or `None`.

    Returns:
        `Splits`.
    """
    # Together, so that all are kept in memory or none, and one warning counts all.
    paths = train["paths"] + test["paths"]
    good, images = reader.read(paths)
    good = np.asarray(good)
    levels = zip(train["levels"], test["levels"], strict=True)
    names, labels = zip(
        *(np.unique([*one, *two], return_inverse=True) for one, two in levels),
        strict=True,
    )
    queries = np.zeros(len(paths), bool)
    if is_query is not None:
        queries[len(train["paths"]) :] = is_query
    labels = np.stack(labels, axis=1)[good]

    def part(name, of_part, is_query):
        at = np.flatnonzero(of_part)
        if not len(at):
            raise ValueError(f"{name} has no image that can be read.")
        return RetrievalDataset(
            images.subset(at) if hasattr(images, "subset") else images[at],
            labels[at],
            [[str(value) for value in level] for level in names],
            level_names,
            name,
            [paths[good[i]] for i in at],
            is_query=queries[good][at] if is_query else None,
        )

    of_train = good < len(train["paths"])
    seen = part(name, of_train, False)
    splits = seen.split(validation=validation, test=0, seed=seed)
    unseen = part(f"{name}/test", ~of_train, is_query is not None)
    return Splits(splits.train, splits.validation, unseen)
