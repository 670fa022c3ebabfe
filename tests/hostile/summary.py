"""How many hostile cases were tried, and what came of them."""

import collections

# Travels from the processes that test to the one that prints.
PROPERTY = "hostile"


def pytest_terminal_summary(terminalreporter):
    """Prints how many cases were tried, and what came of them."""
    counts = collections.defaultdict(collections.Counter)
    for reports in terminalreporter.stats.values():
        for report in reports:
            found = [
                value
                for name, value in getattr(report, "user_properties", ())
                if name == PROPERTY and report.when == "call"
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
