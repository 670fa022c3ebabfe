"""Names of any bytes through training, evaluation and embedding, and back."""

import functools
import os
import pathlib
import tempfile

import numpy as np
import pytest
from PIL import Image

from keras_hierproxy import embeddings, files, pictures, runs
from keras_hierproxy.datasets import RetrievalDataset
from tests.hostile.cases import right
from tests.small_run import begin, new_run

# Names never come near the backend.
pytestmark = pytest.mark.host

FORMULAS = [b"=", b"+", b"-", b"@", b"\r", b"\n"]
NAMES = [
    b"plain",
    b"=1+1",
    b"'=1+1",
    b"+1",
    b"-1",
    b"@SUM(A1)",
    "＝1".encode(),
    b"not\xffutf8",
    b"\xfe\xff",
    b"old\rline",
    b"new\nline",
    b"\rfirst",
    b"\nfirst",
    b"tab\there",
    b'quo"te',
    b'"',
    b"com,ma",
    b"'",
    b" space ",
    b"[bold]",
    b"$math$",
    b"{brace}",
    b"<script>",
    b"back\\slash",
    b"%s",
    b"\x1b[31m",
    "ünï ☃".encode(),
]
CLASSES = [os.fsdecode(name) for name in NAMES]


def write_photos(folder):
    rng = np.random.default_rng(0)
    for i, name in enumerate(NAMES):
        path = os.path.join(os.fsencode(folder), name)
        os.mkdir(path)
        for j in range(2):
            with open(os.path.join(path, name + b"%d.png" % j), "wb") as file:
                pixels = rng.integers(0, 256, (8, 8, 3)) // 2 + 4 * i
                Image.fromarray(pixels.astype("uint8")).save(file, "PNG")


@functools.cache
def done():
    """Everything that the commands do, once, with images of all these names."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "photos").mkdir()
        write_photos(folder / "photos")
        options = {"data": str(folder / "photos"), "image_size": 16, "epochs": 1}
        run = new_run(folder / "run", **options, batch_size=8)
        data = runs.load_data(run.recipe.data, run.place)
        begin(run, data)
        run.fit()
        run.finish()
        model = folder / "run"
        job = runs.prepare_embedding(str(folder / "photos"), model, folder / "out", {})
        job.run()
        stored = embeddings.load(folder / "out")
        runs.evaluate_embeddings(folder / "out").write(folder / "first", {})
        everything = runs.load_split(
            run.recipe.data, run.place, "all", run.embedder, model
        )
        runs.evaluate_split(run.embedder, everything).write(folder / "second", {})
        runs.compare_runs(folder / "first", folder / "second")
        tables = {}
        for path in ("out/items.csv", "second/queries.csv", "first/queries.csv"):
            with (folder / path).open(newline="", **files.ENCODING) as file:
                tables[path] = list(files.csv_rows(file))
        return {
            "stored": stored,
            "files": [path for path in stored.paths if os.path.isfile(path)],
            "tables": tables,
            "photos": str(folder / "photos"),
            "raw": {path: (folder / path).read_bytes() for path in tables},
            "run": sorted(os.listdir(folder / "run")),
        }


def survives(name):
    def act():
        found = done()
        label = found["stored"].class_names[0].index(name)
        rows = np.flatnonzero(found["stored"].labels[:, 0] == label)
        paths = [found["stored"].paths[row] for row in rows]
        assert [path in found["files"] for path in paths] == [True, True]
        for path, table in found["tables"].items():
            lines = [
                line for line in table if line[2 if "queries" in path else 3] == name
            ]
            # Those of queries stand from the folder of the data.
            whole = [os.path.join(found["photos"], line[1]) for line in lines]
            assert whole == paths, path
            assert not ("queries" in path and any(map(os.path.isabs, lines[0]))), path
        return True

    return act


def drawn(name):
    def act(folder):
        images = np.zeros((4, 8, 8, 3), "uint8")
        names = [[name, "other"]]
        data = RetrievalDataset(images, [0, 0, 1, 1], names, [name], name=name)
        pictures.plot_neighbors(data, np.eye(4), folder / "a.png")
        history = {"val_recall@1": [0.5, 0.6]}
        pictures.plot_recall(history, folder / "b.png", data.level_names)
        return sorted(os.listdir(folder))

    return act


CASES = [
    *(right(f"survives: {ascii(name)}", survives(name), True) for name in CLASSES),
    *(
        right(f"drawn: {ascii(name)}", drawn(name), ["a.png", "b.png"])
        for name in ("not\udcffutf8", "old\rline", "\x00", "$x$", "\x1b[31m")
    ),
    right("the run is whole", lambda: len(done()["run"]), 10),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_names(case, judge):
    judge("names", case)


def test_no_cell_is_a_formula():
    for content in done()["raw"].values():
        for line in content.split(b"\r\n"):
            for cell in line.split(b","):
                assert not cell.lstrip(b'"').startswith(tuple(FORMULAS)), cell
