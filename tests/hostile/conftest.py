import pytest

from tests.hostile.cases import outcome
from tests.hostile.summary import PROPERTY


@pytest.fixture
def judge(record_property, tmp_path, monkeypatch):
    """A function of a family's name and a `Case`, which must come out as it says."""
    monkeypatch.chdir(tmp_path)

    def judge(family, case):
        record_property(PROPERTY, (family, "wrong"))
        record_property(PROPERTY, (family, outcome(case, tmp_path)))

    return judge
