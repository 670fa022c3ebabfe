"""Writes the table of the shipped presets into README.md; `make zoo-table`."""

import pathlib

from keras_hierproxy import files, zoo

README = pathlib.Path(__file__).resolve().parents[1] / "README.md"
BEGIN = "<!-- zoo: written by `make zoo-table` -->"
END = "<!-- end of zoo -->"
HEADER = """\
| preset | method | trained on | parameters | size | Recall@1 | speed |
|---|---|---|---|---|---|---|"""


def table():
    """A row for each preset, out of the registry."""
    rows = [_row(name, zoo.describe(name)) for name in zoo.list_presets()]
    return "\n".join([HEADER, *rows])


def with_table(readme):
    """A README's text with the block between the two comments written anew."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no block between {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _row(name, known):
    recall = "; ".join(
        f"{entry['value']:.3f}{_seeds(entry)} {entry['test_set']}"
        for entry in known["recall@1"]
    )
    rate = known["images_per_second"]
    cells = (
        f"`{name}`",
        f"{known['method']}, {known['architecture']}",
        known["data"],
        f"{known['parameters']:,}",
        f"{known['size'] / 1e6:.1f} MB",
        recall,
        f"{rate['value']:,} images/s ({rate['machine']})",
    )
    return f"| {' | '.join(cells)} |"


def _seeds(entry):
    """What other seeds gave; what others trained has none."""
    if "seeds" not in entry:
        return ""
    return f" ({entry['mean']:.3f}, {entry['least']:.3f} to {entry['most']:.3f})"


if __name__ == "__main__":
    files.write(README, with_table(README.read_text("utf-8")))
