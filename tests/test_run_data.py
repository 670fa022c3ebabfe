"""The data that the settings of a run name."""

import pathlib

import keras
import numpy as np
import pytest

from keras_hierproxy import datasets, layers, models
from keras_hierproxy.recipes import Source, absolute
from keras_hierproxy.runs.data import load_data
from keras_hierproxy.runs.evaluation import usual_split
from keras_hierproxy.runs.photos import read_all, read_unlabelled
from keras_hierproxy.runs.place import Place, name_of
from keras_hierproxy.runs.trained import image_shape_of
from tests import official_layouts

pytestmark = [
    pytest.mark.host,
    pytest.mark.filterwarnings("ignore:.*This is a part of it"),
]


@pytest.fixture
def items(tmp_path):
    """Writes `items.csv` of 9 classes, 2 images each, whose split is a letter each."""

    def write(splits=""):
        lines = ["path,kind,half" + (",split" if splits else "")]
        words = {"t": "train", "v": "validation", "e": "test", "q": "query"}
        for i in range(len(splits) or 9):
            for j in range(2):
                path = tmp_path / "images" / f"{i}{j}.jpg"
                official_layouts.write_jpeg(path, i % 6)
                split = f",{words[splits[i]]}" if splits else ""
                lines.append(f"images/{path.name},k{i},{i % 2}{split}")
        official_layouts.write_lines(tmp_path / "items.csv", *lines)
        return str(tmp_path / "items.csv")

    return write


@pytest.mark.parametrize("name", ["cub", "cars", "sop", "in_shop", "inaturalist"])
def test_official_layouts_by_name(name, tmp_path):
    getattr(official_layouts, f"write_{name}")(tmp_path)
    source, place = Source(name=name), Place(root=str(tmp_path))
    assert load_data(source, place).train.images.shape[1:] == (96, 96, 3)
    source = Source(name=name, image_size=16)
    assert load_data(source, place).test.images.shape[1:] == (16, 16, 3)
    assert load_data(source, place, (8, 10, 1)).test.images.shape[1:] == (8, 10, 1)
    assert isinstance(load_data(source, place).test.images, np.ndarray)
    streamed = load_data(source, place, memory_limit=0)
    assert isinstance(streamed.test.images, datasets.ImageFiles)


def test_grocery_store_takes_its_test_split(tmp_path):
    official_layouts.write_grocery_store(tmp_path)
    place = Place(root=str(tmp_path))
    source = Source(name="grocery_store", test_split="val")
    assert load_data(source, place).test.num_classes == 2
    source = Source(name="cub", test_split="val")
    with pytest.raises(ValueError, match="--test-split does not go with --data cub"):
        load_data(source, place)


def test_skip_bad_reaches_the_reader(tmp_path):
    folder = official_layouts.write_cub(tmp_path)
    (folder / "images" / "006.Bird_5" / "Bird_5_0000.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="not a readable image"):
        load_data(Source(name="cub"), Place(root=str(tmp_path)))
    with pytest.warns(UserWarning, match="Skipped 1"):
        data = load_data(Source(name="cub"), Place(root=str(tmp_path), skip_bad=True))
    assert len(data.test) == 8


def test_a_csv_file_without_a_split(items):
    data = load_data(Source(name=items()), Place())
    assert [data.train.num_classes, data.validation.num_classes] == [5, 2]
    assert data.test.num_classes == 2
    assert data.train.level_names == ("kind", "half")
    assert data.train.images.shape[1:] == (64, 64, 3)


def test_the_usual_split(items, tmp_path):
    assert usual_split(Source(name="glyphs")) == "test"
    assert usual_split(Source(name=str(tmp_path))) == "all"
    assert usual_split(Source(name=items())) == "all"
    assert usual_split(Source(name=items("tttteeqqq"))) == "test"


def test_a_csv_file_with_a_split(items):
    data = load_data(Source(name=items("tttvvvee")), Place())
    sizes = [part.num_classes for part in (data.train, data.validation, data.test)]
    assert sizes == [3, 3, 2]
    assert data.test.class_names[0] == ("k6", "k7")
    everything = read_all(Source(name=items("tttvvvee")), Place(), None)
    assert everything.num_classes == 8 and len(everything) == 16
    options = {"min_images": 1, "memory_limit": 0}
    lazy = read_all(Source(name=items("tttvvvee")), Place(), None, **options)
    assert isinstance(lazy.images, datasets.ImageFiles)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (
            "tttvvv",
            "'items' has no lines of the split 'test', or 'query' and 'gallery'",
        ),
        ("tttve", "'items' has one validation class, and at least 2 are needed"),
        ("tttee", "'items' has one validation class, and at least 2 are needed"),
    ],
)
def test_a_split_that_no_run_can_use(items, splits, message):
    with pytest.raises(ValueError, match=message):
        load_data(Source(name=items(splits)), Place())


def test_a_csv_file_of_few_classes(items):
    path = pathlib.Path(items())
    official_layouts.write_lines(path, *path.read_text().splitlines()[:11])
    with pytest.raises(ValueError, match="'items' has 5 classes, and at least 6 are"):
        load_data(Source(name=str(path)), Place())


def test_root_of_a_csv_file(items, tmp_path):
    path = tmp_path / "lists" / "items.csv"
    path.parent.mkdir()
    pathlib.Path(items()).rename(path)
    with pytest.raises(FileNotFoundError, match="18 of the 18 images"):
        load_data(Source(name=str(path)), Place())
    data = load_data(Source(name=str(path)), Place(root=str(tmp_path)))
    assert data.test.paths[0].startswith(str(tmp_path / "images"))


def test_a_csv_file_is_labelled_and_takes_no_options_of_others(items):
    assert read_unlabelled(Source(name=items()), Place(), None) is None
    with pytest.raises(ValueError, match="--train-groups does not go with --data"):
        load_data(Source(name=items(), train_groups=["a"]), Place())


def test_no_such_file():
    with pytest.raises(FileNotFoundError, match="There is no file nowhere.csv"):
        load_data(Source(name="nowhere.csv"), Place())
    with pytest.raises(ValueError, match="nor a folder of images nor a .csv file"):
        load_data(Source(name="nowhere"), Place())


def test_a_file_is_understood_in_another_folder(items, monkeypatch, tmp_path):
    items()
    monkeypatch.chdir(tmp_path)
    assert absolute("items.csv") == str(tmp_path / "items.csv")
    assert Place(root="images").root == str(tmp_path / "images")
    assert absolute("nowhere.csv") == "nowhere.csv" and absolute("glyphs") == "glyphs"


def test_models_that_cut_to_ink_read_images_at_its_size(tmp_path):
    ink, scaling = layers.FitToInk(24), keras.layers.Rescaling(1 / 255)
    for preprocessor in (ink, keras.layers.Pipeline([ink, scaling])):
        embedder = models.ImageEmbedder(
            models.conv4((24, 24, 1), 4), num_classes=2, preprocessor=preprocessor
        )
        assert image_shape_of(embedder, tmp_path) == (24, 24, 1)


def test_data_and_models_have_names_without_their_folders(items, tmp_path):
    assert name_of(str(tmp_path)) == name_of(tmp_path) == tmp_path.name
    assert name_of("/elsewhere/photos.csv") == "photos.csv"
    assert name_of("/elsewhere/photos/") == "photos"
    for name in ("glyphs", "hf://somebody/cnn", "so_cnn_letters"):
        assert name_of(name) == name
