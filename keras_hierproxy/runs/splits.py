"""The parts of the data that a run needs, and their sizes."""

from keras_hierproxy.runs.scoring import check_answerable

_PARTS = ("train", "validation", "test")


def check_splits(data, last):
    """How many images and classes each part of the data has.

    Args:
        data: `khp.datasets.Splits`.
        last: bool, whether the last epoch is selected, which needs no validation.

    Returns:
        dict of dicts, of the parts that are there.

    Raises:
        ValueError: a part is missing, or retrieves nothing.
    """
    for part in ("train", "test") if last else _PARTS:
        if getattr(data, part) is None:
            raise ValueError(
                f"A run needs training, validation and test classes. Received: no "
                f"{part} classes."
            )
    there = {part: getattr(data, part) for part in _PARTS}
    there = {part: data for part, data in there.items() if data is not None}
    for part in there.keys() - {"train"}:
        check_answerable(there[part])
    return {part: _sizes(data) for part, data in there.items()}


def _sizes(data):
    levels = zip(data.level_names, data.class_names, strict=True)
    return {"images": len(data), **{level: len(names) for level, names in levels}}
