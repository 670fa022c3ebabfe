"""`hierproxy embed`: the right numbers, whatever happens on the way."""

import errno
import io
import json
import os
import shutil
import signal
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_hierproxy as khp
from keras_hierproxy import datasets, models, retrieval, runs
from keras_hierproxy.embeddings import EmbeddingWriter, load, writer
from tests.command_line import start
from tests.photos import write_photos

CLASSES = ["bag/a", "bag/b", "hat/a"]
NUM_PHOTOS, SIDE = 18, 16
# An error is told once for all backends.
once = pytest.mark.host


@pytest.fixture
def refused(call):
    """A function of the arguments of `embed` that returns the line of the error."""

    def refused(*argv):
        code, _, stderr = call("embed", *argv)
        assert code == 2
        line = stderr.splitlines()[-1]
        assert line.startswith("Error: ")
        return line

    return refused


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "photos"
    return write_photos(folder, CLASSES, NUM_PHOTOS // len(CLASSES))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "model.keras")


def backbone(channels=3, side=SIDE):
    inputs = keras.Input((side, side, channels))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(4, 3)(x))


def save_model(path, channels=3, **options):
    embedder = models.ImageEmbedder(backbone(channels), embedding_dim=5, **options)
    embedder.save(path)
    return path


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def expected_embeddings(model, photos):
    data = datasets.from_directory(photos, SIDE, split=None)
    return data, keras.models.load_model(model).embed(data.images)


def test_embeddings_are_those_of_the_model(call, model, photos):
    """Also: of a batch that is smaller, on each backend."""
    code, stdout, _ = call("embed", photos, model, "-o", "out", "--batch-size", 8)
    assert code == 0
    assert "18 embeddings in " in stdout and stdout.endswith("out\n")
    stored = load("out")
    data, points = expected_embeddings(model, photos)
    np.testing.assert_allclose(stored.points, points, atol=1e-5)
    np.testing.assert_array_equal(stored.labels, data.labels)
    assert stored.paths == data.paths
    assert stored.class_names == data.class_names
    actual, expected = (
        retrieval.evaluate(**each.retrieval_arguments(*p), geometry=stored.geometry)
        for each, p in ((stored, ()), (data, (points,)))
    )
    assert actual == pytest.approx(expected)

    description = stored.description
    assert description["made_with"]["backend"] == keras.config.backend()
    assert description["data"]["split"] == "all" and description["skipped"] == []
    assert description["data"]["source"] == str(photos)
    assert stored.model["path"] == str(model) and stored.model["class"] == (
        "ImageEmbedder"
    )


@once
def test_paths_start_from_the_folder_of_the_data(call, model, photos):
    shutil.copytree(photos, "before")
    Path("before/bag/a/0.png").write_bytes(b"none")
    with pytest.warns(UserWarning, match="Skipped 1 of"):
        assert call("embed", "before", model, "-o", "out", "--skip-bad")[0] == 0
    first = Path("out/items.csv").read_text().splitlines()[1]
    assert first.split(",")[1] == str(Path("bag/a/1.png"))
    stored = load("out")
    assert [each["path"] for each in stored.description["skipped"]] == [
        str(Path("bag/a/0.png"))
    ]
    assert stored.paths[0] == str(Path("before/bag/a/1.png").resolve())
    shutil.move("before", "after")
    assert load("out", root="after").paths[0] == str(Path("after/bag/a/1.png"))
    code, stdout, _ = call("evaluate", "out", "-o", "without")
    assert code == 0 and "No report.html" in stdout
    code, stdout, _ = call("evaluate", "out", "-o", "with", "--root", "after")
    assert code == 0 and Path("with/report.html").exists()


def test_points_of_the_ball_through_a_preprocessor(call, photos, tmp_path):
    """A model that resizes by itself; its geometry comes back."""
    ball = khp.geometry.PoincareBall(0.2)
    resizing = keras.layers.Resizing(SIDE, SIDE)
    save_model(tmp_path / "ball.keras", geometry=ball, preprocessor=resizing)
    code, _, stderr = call("embed", photos, "ball.keras", "-o", "out")
    assert code == 0, stderr
    stored = load("out")
    _, points = expected_embeddings("ball.keras", photos)
    assert stored.geometry == ball
    np.testing.assert_allclose(stored.points, points, atol=1e-5)


@once
def test_a_preset(call, photos, tmp_path):
    model = keras.models.load_model(save_model(tmp_path / "model.keras"))
    model.save_to_preset(tmp_path / "preset")
    assert call("embed", photos, "preset", "-o", "out")[0] == 0
    np.testing.assert_allclose(
        load("out").points,
        expected_embeddings(tmp_path / "model.keras", photos)[1],
        atol=1e-5,
    )
    one = load("out").model["sha256"]
    (tmp_path / "preset/notes.txt").write_text("also in the folder")
    assert runs.trained.model_sha256("preset") != one


@once
def test_a_folder_without_classes(call, model, photos):
    shutil.copytree(photos / CLASSES[0], "new")
    Path("new/.hidden.png").write_text("no image")
    Path("new/readme.txt").write_text("no image")
    assert call("embed", "new", model, "-o", "out", "--dtype", "float16")[0] == 0
    stored = load("out")
    assert stored.labels is None and stored.level_names == ()
    assert [Path(path).name for path in stored.paths] == [f"{i}.png" for i in range(6)]
    assert stored.points.dtype == np.float16
    _, points = expected_embeddings(model, photos)
    np.testing.assert_allclose(stored.points, points[:6], atol=1e-3)
    with pytest.raises(ValueError, match="no labels, so there is nothing to evaluate"):
        stored.retrieval_arguments()


@once
def test_splits_of_a_folder(call, model, tmp_path):
    write_photos(tmp_path / "photos", "abcdefg", images_per_class=1)
    assert call("embed", "photos", model, "-o", "all")[0] == 0
    assert len(load("all")) == 7  # alone in its class is no reason to be left out
    write_photos(tmp_path / "more", "abcdefg", images_per_class=2)
    for split, images in (("test", 4), ("validation", 4), ("train", 6)):
        assert call("embed", "more", model, "-o", split, "--split", split)[0] == 0
        assert len(load(split)) == images
        assert load(split).description["data"]["split"] == split


@pytest.fixture
def whole(call, model, photos, tmp_path):
    """What an uninterrupted command writes."""
    assert call("embed", photos, model, "-o", "whole", "--batch-size", 4)[0] == 0
    return contents(tmp_path / "whole")


KILL_IN_THIRD_BATCH = """
import os, signal
from keras_hierproxy.embeddings import EmbeddingWriter, writer

writer.SECONDS_BETWEEN_RECORDS = 0
append, calls = EmbeddingWriter.append, []

def kill(*args):
    calls.append(args)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    append(*args)

EmbeddingWriter.append = kill
"""


@once
def test_a_killed_command_goes_on(call, model, photos, whole):
    options = ("embed", photos, model, "-o", "out", "--batch-size", 4)
    process = start(*options, before=KILL_IN_THIRD_BATCH)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, stderr
    with pytest.raises(ValueError, match="not finished. Run the same"):
        load("out")
    code, stdout, _ = call(*options)
    assert code == 0 and "Going on after 8 of 18 images." in stdout
    assert contents("out") == whole


@once
def test_ctrl_c(call, model, photos, whole, monkeypatch):
    append, calls = EmbeddingWriter.append, []

    def interrupt(*args):
        calls.append(args)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        append(*args)

    monkeypatch.setattr(EmbeddingWriter, "append", interrupt)
    options = ("embed", photos, model, "-o", "out", "--batch-size", 4)
    code, stdout, _ = call(*options)
    assert code == 130
    assert "Stopping. Ctrl-C again ends at once." in stdout
    assert "Stopped after 12 of 18 images. The same command goes on from" in stdout
    _, stdout, _ = call(*options)
    assert "Going on after 12 of 18 images." in stdout
    assert contents("out") == whole


@once
def test_a_disk_that_fills_up(call, refused, model, photos, whole, monkeypatch):
    plain, calls = writer._write, []

    def fill_up(file, content):
        calls.append(content)
        if len(calls) == 7:
            file.write(content[:3])
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(file, content)

    monkeypatch.setattr(writer, "_write", fill_up)
    line = refused(photos, model, "-o", "out", "--batch-size", 4)
    assert "disk of out is full after 8 of 18 images. Make room and run" in line
    monkeypatch.setattr(writer, "_write", plain)
    assert call("embed", photos, model, "-o", "out", "--batch-size", 4)[0] == 0
    assert contents("out") == whole


def break_in_the_middle(path):
    """Damages an image in a way that only decoding it shows."""
    png = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype("uint8")
    Image.fromarray(noise).save(png, "png")
    content = bytearray(png.getvalue())
    start = content.index(b"IDAT") + 4
    content[start : start + 100] = bytes(100)  # no zlib stream begins like this
    path.write_bytes(content)
    datasets.images.check_file(path)
    with pytest.raises(ValueError):
        datasets.ImageFiles([path], (SIDE, SIDE))[0]


@once
def test_an_image_that_cannot_be_decoded(call, refused, model, photos, whole):
    """The rows after it stay in step."""
    shutil.copytree(photos, "photos")
    bad = Path("photos", CLASSES[1], "3.png").absolute()
    break_in_the_middle(bad)
    options = ("photos", model, "-o", "out", "--batch-size", 4)
    line = refused(*options)
    assert f"{bad} is not a readable image" in line
    assert "--skip-bad" in line and "same command again" in line

    code, stdout, _ = call("embed", *options, "--skip-bad")
    assert code == 0 and "Going on after 8 of 18 images." in stdout
    assert "Images left out, named in embeddings.json: 1" in stdout
    stored, expected = load("out"), load("whole")
    good = np.delete(np.arange(18), 9)
    np.testing.assert_array_equal(stored.points, expected.points[good])
    np.testing.assert_array_equal(stored.labels, expected.labels[good])
    names = [Path(path).parts[-3:] for path in expected.paths]
    assert [Path(path).parts[-3:] for path in stored.paths] == [names[i] for i in good]
    (skipped,) = stored.description["skipped"]
    assert skipped["path"] == str(Path(CLASSES[1], "3.png"))
    assert "not a readable image" in skipped["error"]


@once
def test_an_image_that_is_cut_short(call, refused, model, photos):
    shutil.copytree(photos, "photos")
    bad = Path("photos", CLASSES[1], "3.png").absolute()
    bad.write_bytes(bad.read_bytes()[:200])
    line = refused("photos", model, "-o", "out")
    assert f"{bad} is not a readable image" in line and "--skip-bad" in line
    assert not Path("out").exists()
    with pytest.warns(UserWarning, match="Skipped 1 of 18 images"):
        code, stdout, _ = call("embed", "photos", model, "-o", "out", "--skip-bad")
    assert code == 0 and "Images left out, named in embeddings.json: 1" in stdout
    stored = load("out")
    assert len(stored) == 17
    assert [each["path"] for each in stored.description["skipped"]] == [
        str(Path(CLASSES[1], "3.png"))
    ]


@once
def test_only_images_that_cannot_be_decoded(refused, model):
    Path("photos").mkdir()
    break_in_the_middle(Path("photos/0.jpg"))
    line = refused("photos", model, "-o", "out", "--skip-bad")
    assert "None of 1 images could be read: " in line and "0.jpg" in line
    with pytest.raises(ValueError, match="not finished"):
        load("out")


@once
def test_what_has_changed_is_not_mixed(call, refused, model, photos, whole, tmp_path):
    shutil.copytree(photos, "photos")
    options = ("photos", model, "-o", "out", "--batch-size", 4)
    break_in_the_middle(Path("photos", CLASSES[1], "3.png"))
    refused(*options)
    save_model(tmp_path / "other.keras", name="other")
    for changed, message in (
        (("photos", "other.keras", *options[2:]), "model.sha256 was"),
        ((*options[:-1], 5), "--batch-size was 4 and is 5"),
        ((*options, "--dtype", "float16"), "dtype was 'float32' and is 'float16'"),
        ((photos, *options[1:]), "data.source was"),
    ):
        assert message in refused(*changed)
    Path("photos", CLASSES[0], "3.png").unlink()
    assert "data.images was 18 and is 17" in refused(*options)
    line = refused(photos, "other.keras", "-o", "whole")
    assert "whole holds embeddings of another model than other.keras" in line
    code, stdout, _ = call("embed", photos, model, "-o", "whole")
    assert code == 0 and "Nothing is new: all of these images are there" in stdout
    assert contents("whole") == whole


@once
def test_what_is_not_finite_is_not_written(refused, model, photos):
    broken = keras.models.load_model(model)
    kernel = broken.weights[0]
    # Finite, or it would not be loaded; what they give is not.
    kernel.assign(np.full(kernel.shape, 3e38))
    broken.save("huge.keras")
    line = refused(photos, "huge.keras", "-o", "out")
    first = Path(CLASSES[0], "0.png")
    assert f"The embedding of {first} is not finite" in line
    with pytest.raises(ValueError, match="not finished"):
        load("out")


@once
def test_weights_that_are_not_finite_are_not_loaded(refused, model, photos):
    broken = keras.models.load_model(model)
    broken.weights[0].assign(np.full(broken.weights[0].shape, np.nan))
    broken.save("nan.keras")
    line = refused(photos, "nan.keras", "-o", "out")
    assert "nan.keras holds weights that are NaN or infinite" in line


@once
def test_what_cannot_be_embedded_is_refused(refused, model, photos, shared_data):
    Path("cut.keras").write_bytes(model.read_bytes()[:-100])
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 255
    Path("flipped.keras").write_bytes(content)
    dense = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    models.EmbeddingModel(dense.inputs, dense.outputs).save("vectors.keras")
    Path("empty").mkdir()
    save_model(Path("four.keras"), channels=4)
    shutil.copytree(photos / CLASSES[0], "flat")
    for arguments, message in (
        ((photos, "cut.keras"), "cut.keras is no complete .keras file"),
        ((photos, "flipped.keras"), "flipped.keras is damaged"),
        ((photos, "vectors.keras"), "takes inputs of shape (None, 6); a model of im"),
        ((photos, "nowhere.keras"), "There is no model at nowhere.keras"),
        (("empty", model), "holds no images"),
        (("nowhere", model), "'nowhere' is neither a data set ("),
        ((photos, "four.keras"), "takes images of shape (16, 16, 4); those of"),
        (
            ("omniglot", model, "--root", shared_data),
            "takes images of shape (16, 16, 3); those of 'omniglot/test'",
        ),
        (("glyphs", model, "--split", "all"), "--split all is for folders and"),
        (("flat", model, "--split", "test"), "--split test needs classes to split"),
        ((photos, model, "--root", "."), "--root does not go with"),
    ):
        assert message in refused(*arguments, "-o", "out"), arguments
        assert not Path("out").exists()


@once
def test_the_folder_is_checked_first(refused, model, photos, monkeypatch):
    def load(path):
        raise AssertionError("time was spent on loading")

    monkeypatch.setattr(runs.embed, "load_embedder", load)
    Path("notes").mkdir()
    Path("notes/mine.txt").touch()
    assert "notes is not empty" in refused(photos, model, "-o", "notes")


def test_a_batch_is_embedded_as_all_are():
    """`embed_on_batch`, with and without the preprocessor."""
    # Points lie on a sphere: an offset tells once from twice, a factor would not.
    half = keras.layers.Rescaling(0.5, offset=1.0)
    embedder = models.ImageEmbedder(backbone(1, 4), preprocessor=half, embedding_dim=3)
    images = np.random.default_rng(0).normal(size=(6, 4, 4, 1)).astype("float32")
    points = embedder.embed(images)
    assert points.shape == (6, 3)
    np.testing.assert_allclose(embedder.embed_on_batch(images), points, atol=1e-6)
    np.testing.assert_allclose(
        embedder.embed_on_batch(images / 2 + 1, preprocess=False), points, atol=1e-6
    )
    inputs = keras.Input((6,))
    model = models.EmbeddingModel(inputs, keras.layers.Dense(3)(inputs))
    batch = images.reshape(6, 16)[:, :6]
    np.testing.assert_allclose(
        model.embed_on_batch(batch), model.embed(batch), atol=1e-6
    )


@once
def test_the_sum_of_a_single_file_is_that_of_sha256sum(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert runs.trained.model_sha256(tmp_path) == expected
    assert runs.trained.model_sha256(tmp_path / "model.keras") == expected


@once
def test_embeddings_json_is_json(call, model, photos):
    assert call("embed", photos, model, "-o", "out")[0] == 0
    description = json.loads(Path("out/embeddings.json").read_text())
    assert description["dimension"] == 5 and description["rows"] == 18
