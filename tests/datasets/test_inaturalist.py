import json

import pytest

from keras_hierproxy.datasets import load_inaturalist
from tests.official_layouts import SPECIES, write_inaturalist

pytestmark = [
    pytest.mark.host,
    pytest.mark.filterwarnings("ignore:.*This is a part of it"),
]
INDEX = "Inat_dataset_splits/Inaturalist_train_set1.txt"


@pytest.fixture
def folder(tmp_path):
    return write_inaturalist(tmp_path)


def change_categories(folder, change):
    content = json.loads((folder / "train2018.json").read_text())
    change(content["categories"])
    (folder / "train2018.json").write_text(json.dumps(content))


def test_seven_levels_species_first(folder):
    train = load_inaturalist(folder, 8, validation=0).train
    assert train.level_names == (
        *("species", "genus", "family", "order", "class", "phylum", "kingdom"),
    )
    assert [len(names) for names in train.class_names] == [4, 3, 3, 3, 3, 3, 2]
    assert train.class_names[6] == ("Animalia", "Plantae")
    raven = "Animalia/Chordata/Aves/Passeriformes/Corvidae/Corvus/corax"
    assert raven in train.class_names[0]


def test_homonyms_are_two_genera(folder):
    train = load_inaturalist(folder, 8, validation=0).train
    homonyms = [name for name in train.class_names[1] if name.endswith("/Loy")]
    assert [name.split("/")[0] for name in homonyms] == ["Animalia", "Plantae"]


def test_training_and_test_share_higher_ranks_not_species(folder):
    data = load_inaturalist(folder, 8, validation=0)
    assert not set(data.train.class_names[0]) & set(data.test.class_names[0])
    assert set(data.test.class_names[2]) <= set(data.train.class_names[2])


def test_species_of_one_name_stay_apart(folder):
    def rename(categories):
        categories[2]["name"] = "corax"

    change_categories(folder, rename)
    train = load_inaturalist(folder, 8, validation=0).train
    names = [name for name in train.class_names[0] if "/Corvus/" in name]
    assert [name.split("/")[-1] for name in names] == ["corax (1)", "corax (2)"]


def test_categories_json_has_the_say(folder):
    content = json.loads((folder / "train2018.json").read_text())
    names = [category | {"kingdom": "K"} for category in content["categories"]]
    (folder / "categories.json").write_text(json.dumps(names))
    assert load_inaturalist(folder, 8).test.class_names[6] == ("K",)


def test_the_json_of_the_validation_photos_will_do(folder):
    (folder / "train2018.json").rename(folder / "val2018.json")
    assert load_inaturalist(folder, 8).test.num_classes == 2
    (folder / "val2018.json").unlink()
    with pytest.raises(
        FileNotFoundError,
        match="no categories.json, no train2018.json, no val2018.json",
    ):
        load_inaturalist(folder, 8)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("/Animalia/0/", "/Animalia/", "line 1: expected a path such as train_val2018"),
        (
            "/Animalia/0/",
            "/Animalia/x/",
            "line 1: the folder of the category must be a",
        ),
        (
            "/Animalia/0/",
            "/Animalia/9/",
            "line 1: category 9 is not in .*train2018.json",
        ),
        ("/01ab", "/00ab", "line 2: .*/00ab.jpg is already in line 1"),
        ("/00ab.jpg", "/00ab.jpg 0", r"line 1: expected 1 columns \(path\)"),
    ],
)
def test_a_stray_line_is_named(folder, old, new, message):
    file = folder / INDEX
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"Inaturalist_train_set1.txt.*{message}"):
        load_inaturalist(folder, 8)


def test_a_species_on_both_sides(folder):
    (folder / "Inat_dataset_splits" / "Inaturalist_test_set1.txt").write_text(
        (folder / INDEX).read_text()
    )
    with pytest.raises(ValueError, match="4 classes of 'inaturalist' are listed both"):
        load_inaturalist(folder, 8)


@pytest.mark.parametrize(
    "text",
    ["", '{"categories": [', "{}", '{"categories": [1]}', '[{"id": 0, "name": "x"}]'],
)
def test_damaged_categories(folder, text):
    (folder / "train2018.json").write_text(text)
    with pytest.raises(ValueError, match="train2018.json must be JSON that lists cat"):
        load_inaturalist(folder, 8)


def test_fixture_has_what_the_tests_speak_of():
    assert SPECIES[0][5] == SPECIES[3][5] and SPECIES[0][0] != SPECIES[3][0]
