"""Names of classes where there is little room."""


def shortened(name, length):
    """Without its middle, if it is long: of a path both ends tell most."""
    if len(name) <= length:
        return name
    start = length // 3
    return f"{name[:start]}…{name[start + 1 - length :]}"
