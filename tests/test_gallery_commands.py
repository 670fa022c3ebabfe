"""`hierproxy add`, `remove`, `search`, `calibrate`, `identify`, and `embed` before."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_hierproxy as khp
from keras_hierproxy import models
from tests.command_line import start
from tests.photos import write_photos

CLASSES = ["bag/a", "bag/b", "hat/c"]
SIDE = 16
# An answer is the same on all backends, but for the network's.
once = pytest.mark.host


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(16, 5, strides=3)(x)
    path = tmp_path_factory.mktemp("models") / "model.keras"
    models.ImageEmbedder(keras.Model(inputs, x), embedding_dim=8).save(path)
    return path


@pytest.fixture
def gallery(call, model, tmp_path):
    """The folder `gallery` of `photos`, made by the command."""
    write_photos(tmp_path / "photos", CLASSES)
    assert call("embed", "photos", model, "-o", "gallery")[0] == 0
    return Path("gallery")


@pytest.fixture
def refused(call):
    def refused(*argv):
        code, _, stderr = call(*argv)
        assert code == 2
        # A mistake in an option comes in a box, whose lines end where they must.
        return " ".join(stderr.replace("│", " ").split())

    return refused


def found(call, *argv):
    code, stdout, stderr = call("search", "gallery", *argv, "--json")
    assert code == 0, stderr
    return json.loads(stdout)


def test_a_gallery_finds_and_grows(call, gallery, tmp_path):
    photo = "photos/hat/c/0.png"
    (query,) = found(call, photo, "-k", 3)
    first = query["hits"][0]
    assert query["photo"] == photo and len(query["hits"]) == 3
    assert first["similarity"] == pytest.approx(1, abs=1e-5)
    assert first["label"] == ["hat/c", "hat"]
    assert first["path"] == str(Path(photo).resolve())

    rng = np.random.default_rng(1)
    new = rng.integers(0, 256, (SIDE, SIDE, 3), "uint8")
    Image.fromarray(new).save("new.png")
    labels = ("--label", "shoe/d", "--label", "shoe")
    code, stdout, _ = call("add", "gallery", "new.png", *labels)
    assert code == 0 and "1 embeddings in " in stdout
    (query,) = found(call, "new.png", "-k", 1)
    assert query["hits"] == [
        {
            "id": 12,
            "similarity": pytest.approx(1, abs=1e-5),
            "label": ["shoe/d", "shoe"],
            "path": str(Path("new.png").resolve()),
        }
    ]
    code, stdout, _ = call("remove", "gallery", 12)
    assert code == 0 and "1 removed, 12 left" in stdout
    (query,) = found(call, "new.png", "-k", 20)
    assert 12 not in [hit["id"] for hit in query["hits"]]
    assert len(query["hits"]) == 12


@once
def test_the_model_travels_with_the_folder(call, gallery, model, tmp_path):
    shutil.move(model, tmp_path / "elsewhere.keras")
    try:
        assert len(found(call, "photos/bag/a/0.png")[0]["hits"]) == 5
        assert (gallery / "embedder.keras").read_bytes() == (
            tmp_path / "elsewhere.keras"
        ).read_bytes()
    finally:
        shutil.move(tmp_path / "elsewhere.keras", model)


@once
def test_photos_folders_and_patterns(call, gallery):
    for arguments in (
        ["photos/bag/a/0.png", "photos/bag/b", "photos/hat"],
        ["photos/*/a/0.png", "photos/bag/b/*.png", "photos/hat/**/*.png"],
    ):
        names = [query["photo"] for query in found(call, *arguments)]
        assert names == [
            "photos/bag/a/0.png",
            *(f"photos/bag/b/{i}.png" for i in range(4)),
            *(f"photos/hat/c/{i}.png" for i in range(4)),
        ]


@once
def test_a_table(call, gallery):
    code, stdout, _ = call("search", "gallery", "photos/bag/a/0.png", "-k", 2)
    assert code == 0
    first = next(line for line in stdout.splitlines() if "0.png" in line)
    assert first.split() == ["0.png", "1.000", "bag/a", "bag", "0", "0.png"]


@once
def test_what_is_there_is_not_added_again(call, gallery, model):
    code, stdout, _ = call("embed", "photos", model, "-o", "gallery")
    assert code == 0 and "Nothing is new" in stdout
    code, stdout, _ = call("add", "gallery", "photos")
    assert code == 0 and "Nothing is new" in stdout
    write_photos(Path("photos"), ["shoe/e"], 3)
    code, stdout, _ = call("embed", "photos", model, "-o", "gallery")
    assert code == 0 and "Images that are there already: 12." in stdout
    stored = khp.embeddings.load("gallery")
    assert len(stored) == 15 and "shoe/e" in stored.class_names[0]
    assert len(set(stored.paths)) == 15


@once
def test_lines_of_a_csv_file(call, gallery):
    rng = np.random.default_rng(1)
    for name in "xy":
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), "uint8")
        Image.fromarray(pixels).save(f"{name}.png")
    Path("new.csv").write_text("path,class,kind\nx.png,x,bag\ny.png,y,belt\n")
    assert call("add", "gallery", "new.csv")[0] == 0
    (query,) = found(call, "y.png", "-k", 1)
    assert query["hits"][0]["label"] == ["y", "belt"]


@once
def test_without_a_class(call, gallery):
    Image.new("RGB", (SIDE, SIDE), "red").save("new.png")
    code, stdout, _ = call("add", "gallery", "new.png")
    assert code == 0 and "They have no class: name one with --label." in stdout
    assert found(call, "new.png", "-k", 1)[0]["hits"][0]["label"] == []


KILL_AFTER_THE_FIRST = """
import os, signal
from keras_hierproxy.runs import adding

adding._MANY = 4
finish = adding.GalleryWriter.finish

def kill(writer):
    finish(writer)
    if writer.num_rows >= 8:
        os.kill(os.getpid(), signal.SIGKILL)

adding.GalleryWriter.finish = kill
"""


@once
def test_a_killed_command_goes_on(call, gallery):
    write_photos(Path("more"), ["shoe/e", "shoe/f", "shoe/g"])
    options = ("add", "gallery", "more", "--batch-size", 4)
    process = start(*options, before=KILL_AFTER_THE_FIRST)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode < 0, stderr
    assert len(khp.embeddings.load("gallery")) == 20
    code, stdout, _ = call(*options)
    assert code == 0 and "Images that are there already: 8." in stdout
    stored = khp.embeddings.load("gallery")
    assert len(stored) == len(set(stored.paths)) == 24


def write_queries(folder, names, images_per_class):
    """Photos that differ from one of `write_photos` by a little noise."""
    rng = np.random.default_rng(2)
    for name in names:
        source = np.asarray(Image.open(f"photos/{name}/0.png")).astype(float)
        (folder / name).mkdir(parents=True)
        for i in range(images_per_class):
            image = source + rng.normal(scale=5, size=source.shape)
            image = Image.fromarray(image.clip(0, 255).astype("uint8"))
            image.save(folder / name / f"{i}.png")


@once
def test_calibrate_and_identify(call, refused, gallery):
    assert "gallery is not calibrated" in refused("identify", "gallery", "photos")
    write_queries(Path("held_out"), CLASSES, 30)
    Path("other").mkdir()
    for i in range(20):
        Image.new("RGB", (SIDE, SIDE), (12 * i, 0, 0)).save(f"other/{i}.png")
    options = ("--unknown", "other", "--precision", 0.9)
    code, stdout, stderr = call("calibrate", "gallery", "held_out", *options)
    assert code == 0, stderr
    assert "110 photos" in stdout
    assert khp.Gallery.load("gallery").thresholds[0].answered >= 80
    photos = ("held_out/hat/c/1.png", "held_out/hat/c/2.png")
    code, stdout, _ = call("identify", "gallery", *photos, "--json")
    first, second = json.loads(stdout)
    assert code == 0 and first["photo"] == photos[0]
    assert first["label"] == "hat/c" and first["path"] == ["hat/c", "hat"]
    assert first["level"] == 0 and first["level_name"] == "class"
    assert [level["answered"] for level in first["levels"]] == [True, False]
    assert first["levels"][0]["score"] >= first["levels"][0]["threshold"]
    _, stdout, _ = call("identify", "gallery", *photos)
    assert ["1.png", "hat/c", "class", "hat"] in [
        line.split()[:4] for line in stdout.splitlines()
    ]


@once
def test_a_page(call, gallery, tmp_path_factory):
    """Pictures of the data's folder stand in it, and no others."""
    outside = tmp_path_factory.mktemp("outside") / "<b>&.png"
    shutil.copy("photos/bag/a/0.png", outside)
    assert call("add", "gallery", outside)[0] == 0
    argv = ("search", "gallery", "photos/bag/a/0.png", "-k", 2, "--html", "found.html")
    code, stdout, _ = call(*argv)
    page = Path("found.html").read_text()
    assert code == 0 and stdout.endswith("found.html\n")
    assert page.count('<img src="data:image/jpeg') == 2  # the query's, and one hit's
    assert page.count('class="blank"') == 1
    assert "bag/a" in page and "<script" not in page
    call(*argv, "--root", outside.parent)
    assert Path("found.html").read_text().count('class="blank"') == 1
    call("search", "gallery", outside, "-k", 1, "--html", "found.html")
    page = Path("found.html").read_text()
    assert "&lt;b&gt;&amp;.png" in page and "<b>" not in page


@once
def test_what_is_refused(call, refused, gallery, model, tmp_path):
    Path("empty").mkdir()
    Path("flat").mkdir()
    shutil.copy("photos/bag/a/0.png", "flat/new.png")
    Path("text.png").write_text("none")
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    models.ImageEmbedder(keras.Model(inputs, x), embedding_dim=8).save("b.keras")
    photo = "photos/bag/a/0.png"
    before = khp.embeddings.load("gallery").points.copy()
    for argv, message in (
        (("search", "nowhere", photo), "There is no folder nowhere. A gallery is"),
        (("add", "shelf.db", photo), "Into Milvus, items are added in Python"),
        (("add", "http://host:19530#a", photo), "Into Milvus, items are added in"),
        (("search", "empty", photo), "empty"),
        (("search", "gallery", "nowhere.png"), "There is no photo, and no folder"),
        (("search", "gallery", "no/*.png"), "There is no photo, and no folder"),
        (("search", "gallery", "empty"), "The folder empty holds no images"),
        (("search", "gallery", "text.png"), "text.png is not a readable image"),
        (("search", "gallery", photo, "-k", 0), "'0' is not a whole number of at"),
        (("remove", "gallery", 3, 99), "There are no items of the ids [99]"),
        (("remove", "gallery", "x"), "'x' is not a whole number of at least 0"),
        (("add", "gallery", "flat/new.png", "--label", "z"), "The class 'z' is new"),
        (
            ("add", "gallery", "flat", *("--label", "z") * 3),
            "have 2 levels, class, level1: name one of each with --label",
        ),
        (("embed", "photos", "b.keras", "-o", "gallery"), "another model than b.keras"),
        (("calibrate", "gallery", "flat"), "flat does not say what its images show"),
        (("calibrate", "gallery", "photos"), "takes at least 45 queries"),
        (("calibrate", "gallery", "photos", "--precision", 1), "between 0 and 1"),
    ):
        assert message in refused(*argv), argv
    np.testing.assert_array_equal(khp.embeddings.load("gallery").points, before)


@once
def test_mistakes_are_told_before_keras_is_imported():
    before = "import sys; sys.modules['keras'] = None"  # whose import then fails
    for argv, code in (
        (("search", "--help"), 0),
        (("search", "nowhere", "x.png"), 2),
        (("add", ".", "nowhere.png"), 2),
    ):
        process = start(*argv, before=before)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == code and "Traceback" not in stderr, stderr


# Copies the gallery there; of each command the exit code, and what it writes.
IN_MILVUS = """
import contextlib, io, json, sys
import hierproxy, keras_hierproxy as khp
khp.Gallery.load("gallery").copy_to(uri="shelf.db")
results = []
for argv in json.loads(sys.argv[1]):
    sys.argv, written = ["hierproxy", *map(str, argv)], io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
        try:
            hierproxy.main()
        except SystemExit as end:
            code = end.code
    text = written.getvalue()
    results.append((code, text if "--json" in argv else " ".join(text.split())))
print(json.dumps(results))
"""


@once
def test_a_gallery_in_milvus(call, refused, gallery, model):
    """The same answers as of the folder, by its file."""
    pytest.importorskip("milvus_lite")
    photos, milvus = "photos/hat", ("shelf.db", "--model", model)
    expected = found(call, photos, "-k", 3)

    commands = (
        ("search", *milvus, photos, "-k", 3, "--json"),
        ("remove", "shelf.db", 0),
        ("search", "shelf.db", photos),
        ("identify", "shelf.db#x", photos),
    )
    # In another process: Milvus Lite does not live through pytest's capturing.
    done = subprocess.run(
        [sys.executable, "-c", IN_MILVUS, json.dumps(commands, default=str)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    same, removed, no_model, no_gallery = json.loads(done.stdout.splitlines()[-1])
    assert same[0] == removed[0] == 0 and no_model[0] == no_gallery[0] == 2
    for ours, other in zip(expected, json.loads(same[1]), strict=True):
        assert [hit["id"] for hit in ours["hits"]] == [h["id"] for h in other["hits"]]
    assert "1 removed, 11 left in shelf.db" in removed[1]
    assert "shelf.db keeps no model" in no_model[1]
    assert "There is none yet in shelf.db#x" in no_gallery[1]
    assert "added in Python, by `Gallery.add`" in refused("add", "a.db", photos)
    assert "There is no file none.db" in refused("search", "none.db", photos)
    assert "gallery holds its own" in refused(
        "search", "gallery", photos, "--model", model
    )
