"""Where the official files of a data set lie: finding them, saying what is missing."""

import dataclasses
import pathlib
import shlex
import warnings
import zipfile

from keras_hierproxy.datasets.official.archives import open_zip

_UNPACK = {".zip": "unzip -q", ".tar": "tar -xf", ".tgz": "tar -xzf", ".gz": "tar -xzf"}


@dataclasses.dataclass(frozen=True)
class Layout:
    """The official layout of a data set.

    Args:
        title: the data set's name.
        page: name and address of its official page.
        tree: the expected folders and files, as lines of text.
        files: paths of the files that must be there, relative to its folder.
        folders: where that folder may be, relative to the root given.
        archives: paths, relative to either, of what it is downloaded as.
        zips: names of zip files that are read as they are.
        instead: paths like `files`, all of which may be there instead.
    """

    title: str
    page: str
    tree: str
    files: tuple
    folders: tuple
    archives: tuple = ()
    zips: tuple = ()
    instead: tuple = ()

    def find(self, root):
        """The folder that holds `files`: a `pathlib.Path`, or a `zipfile.Path`.

        Raises:
            ValueError: root is `None`, or a zip file is damaged.
            FileNotFoundError: files are missing.
        """
        if root is None:
            raise ValueError(
                f"{self.title} is not downloaded: pass root=, the folder with "
                f"its official files.\n{self._expected()}"
            )
        root = pathlib.Path(root)
        folders = [root / folder for folder in self.folders]
        for folder in folders + self._in_zips(root):
            if not self.missing(folder):
                return folder
            if self.instead and not self.missing(folder, self.instead):
                return folder
        nearest = min(map(self.missing, folders), key=len)
        looked = [folder for folder in folders if folder.is_dir()]
        looked += self._zip_paths(root)
        raise self.error(
            f"no {', no '.join(nearest)}. Looked in "
            + (", ".join(map(str, looked)) or f"{root}, which is no folder")
            + ".",
            dict.fromkeys([root, *looked]),
        )

    def error(self, message, folders):
        """A `FileNotFoundError` that says where to get what, and how to unpack it."""
        packed = [
            path
            for folder in folders
            for name in self.archives
            if (path := folder / name).is_file()
        ]
        for path in packed:
            message += (
                f"\nFound {path}. Unpack it first: cd {shlex.quote(str(path.parent))} "
                f"&& {_UNPACK[path.suffix]} {path.name}"
            )
        return FileNotFoundError(f"{self.title}: {message}\n{self._expected()}")

    def check_images(self, folder, paths):
        """Raises `FileNotFoundError` if images that the index names are not there."""
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise self.error(
                f"{len(missing):,} of the {len(paths):,} images that its index files "
                "name are missing, as if it were not wholly unpacked. Looked for "
                + ", ".join(map(str, missing[:3]))
                + (", ..." if len(missing) > 3 else "."),
                [folder],
            )

    def check_counts(self, published, found):
        """Raises `ValueError` if the index of the full set has not its counts.

        An index of less than half of the images is taken for a part that someone has
        made of the set. A warning says so: its results are not the published ones'.

        Args:
            published, found: dicts of what is counted, for one the images, to its
                number. What both have is compared.
        """
        published = {key: published[key] for key in found if key in published}
        found = {key: found[key] for key in published}
        wrong = [key for key in published if found[key] != published[key]]
        if not wrong:
            return
        message = f"{self.title} has " + ", ".join(
            f"{published[key]:,} {key} (here {found[key]:,})" for key in wrong
        )
        if 2 * sum(found.values()) < sum(published.values()):
            warnings.warn(
                f"{message}. This is a part of it: results do not compare with "
                "published ones.",
                stacklevel=3,
            )
            return
        raise ValueError(
            f"{message}. The index files are damaged, or of another version.\n"
            f"{self._expected()}"
        )

    def missing(self, folder, files=None):
        """Those of `files`, by default all that must be there, that are not."""
        return [file for file in files or self.files if not (folder / file).exists()]

    def _expected(self):
        return f"Its official page: {self.page}. Expected layout:\n{self.tree}"

    def _zip_paths(self, root):
        paths = [root, *(root / name for name in self.zips)] if self.zips else []
        return [path for path in paths if path.suffix == ".zip" and path.is_file()]

    def _in_zips(self, root):
        folders = []
        for path in self._zip_paths(root):
            archive, members = open_zip(path, self.files[0])
            folders += [
                zipfile.Path(archive, member.removesuffix(self.files[0]))
                for member in members
            ]
        return folders
