import pytest

from keras_hierproxy import datasets

pytestmark = pytest.mark.host


def test_omniglot_by_name(shared_data):
    data = datasets.load("omniglot", root=shared_data, test_groups=["Balinese"])
    assert data.test.class_names[1] == ("Balinese",)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(
        ValueError, match="glyphs, omniglot, .* Did you mean 'omniglot'"
    ):
        datasets.load("omiglot")


def test_a_folder_is_pointed_to_from_directory(tmp_path):
    with pytest.raises(ValueError, match="from_directory"):
        datasets.load(str(tmp_path))
    (tmp_path / "items.csv").touch()
    with pytest.raises(ValueError, match="from_csv"):
        datasets.load(str(tmp_path / "items.csv"))
