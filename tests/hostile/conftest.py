import collections

import pytest

from tests.hostile.cases import outcome

# Travels from the processes that test to the one that prints.
_PROPERTY = "hostile"


@pytest.fixture
def judge(record_property, tmp_path, monkeypatch):
    """A function of a family's name and a `Case`, which must come out as it says."""
    monkeypatch.chdir(tmp_path)

    def judge(family, case):
        record_property(_PROPERTY, (family, "wrong"))
        record_property(_PROPERTY, (family, outcome(case, tmp_path)))

    return judge


def pytest_terminal_summary(terminalreporter):
    """Prints how many cases were tried, and what came of them."""
    counts = collections.defaultdict(collections.Counter)
    for reports in terminalreporter.stats.values():
        for report in reports:
            found = [
                value
                for name, value in getattr(report, "user_properties", ())
                if name == _PROPERTY and report.when == "call"
            ]
            if found:
                family, result = found[-1]
                counts[family][result] += 1
    if not counts:
        return
    terminalreporter.section("hostile input")
    total = sum(counts.values(), collections.Counter())
    for family, of in [*sorted(counts.items()), ("all", total)]:
        terminalreporter.line(
            f"{family:<16}{of.total():>6} tried {of['clear error']:>6} clear errors "
            f"{of['right']:>6} right {of['wrong']:>6} wrong"
        )
