import pytest

from keras_hierproxy.retrieval.catalog import METRICS
from keras_hierproxy.retrieval.result_names import ResultName

pytestmark = pytest.mark.host


@pytest.mark.parametrize("name", [*METRICS, "num_queries", "fnmr@fmr=0.01"])
@pytest.mark.parametrize("prefix", ["", "level1_", "level12_"])
@pytest.mark.parametrize("k", ["", "@1", "@100"])
def test_names_are_read_as_they_are_made(prefix, name, k):
    result = ResultName.read(prefix + name + k)
    assert str(result) == prefix + name + k
    assert result.level == int(prefix[5:-1] or 0)
    if k:
        assert result.k == int(k[1:])


def test_of_what_a_name_is():
    assert ResultName.read("level2_recall@10") == (2, "recall", 10)
    assert ResultName.read("map@r") == (0, "map@r", None)
    assert ResultName.read("precision@1") == (0, "precision", 1)
    assert ResultName.read("level_recall") == (0, "level_recall", None)
    assert ResultName.read("") == (0, "", None)


def test_counts_are_no_scores():
    counts = ("num_queries", "num_excluded", "level1_num_excluded")
    assert all(ResultName.read(name).is_count for name in counts)
    assert not any(ResultName.read(name).is_count for name in METRICS)
