import pytest

from keras_hierproxy import pictures

pytestmark = pytest.mark.host

PNG = b"\x89PNG\r\n\x1a\n"


def test_recall_has_a_panel_a_level_and_a_line_a_k(figures, tmp_path):
    history = {
        "loss": [3.0, 2.0, 1.0],
        "val_recall@10": [0.6, 0.7, 0.9],
        "val_recall@2": [0.1, 0.2, 0.3],
        "val_level1_recall@1": [0.4, 0.5, 0.6],
    }
    path = tmp_path / "recall.png"
    pictures.plot_recall(history, path, ("species", "genus", "not logged"))
    assert path.read_bytes().startswith(PNG)
    species, genus = figures[0].axes
    assert (species.get_title(), genus.get_title()) == ("species", "genus")
    drawn = {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in species.lines
    }
    epochs = [1, 2, 3]
    assert drawn == {
        "K = 2": (epochs, history["val_recall@2"]),
        "K = 10": (epochs, history["val_recall@10"]),
    }
    assert list(genus.lines[0].get_ydata()) == history["val_level1_recall@1"]


def test_another_prefix(figures, tmp_path):
    pictures.plot_recall({"test_recall@1": [0.5]}, tmp_path / "r.png", prefix="test_")
    (axes,) = figures[0].axes
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


def test_what_was_before_training_is_epoch_0(figures, tmp_path):
    history = {"loss": [1.0, 0.5], "val_recall@1": [0.5, 0.6]}
    path = tmp_path / "recall.png"
    pictures.plot_recall(history, path, before={"val_recall@1": 0.55})
    (line,) = figures[0].axes[0].lines
    assert list(line.get_xdata()) == [0, 1, 2]
    assert list(line.get_ydata()) == [0.55, 0.5, 0.6]


def test_a_history_without_recall_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must hold val_recall@K.*Received: loss"):
        pictures.plot_recall({"loss": [1.0]}, tmp_path / "r.png")
