"""How files of JSON are read that may come from strangers.

Bounded before they are parsed, without what JSON has not (NaN, a key twice) or what no
file of ours holds (nesting without end, numbers without end), and compared with a
schema: what is wrong is told by file and field.
"""

import itertools
import json
import math
import pathlib

# Parsed, `{}` takes 20 times its bytes. What may be larger says so.
MOST_BYTES = 2**24
# Keras's configurations have some 15 levels, and are read by recursion.
MOST_DEPTH = 100
# What 64 bits hold.
_MOST_INTEGER = 2**63
# Problems that an error lists.
_MOST_TOLD = 3


class DamagedFile(ValueError):
    """A file that cannot be what was written."""

    def __init__(self, what, problem, advice):
        super().__init__(f"{what} is damaged: {problem}. {advice}")


def read(path, schema=None, advice="Copy it again.", most=MOST_BYTES, what=None):
    """What a file of JSON holds.

    Args:
        path: of the file.
        schema: what it must hold, a `pydantic.BaseModel` or another type that pydantic
            knows; None for any JSON.
        advice: str, a sentence: what to do about a damaged file.
        most: int, bytes that it may have.
        what: str, what errors call it; by default its path.

    Returns:
        dict, list, str, number, bool or None, as it stands in the file.

    Raises:
        FileNotFoundError: there is none.
        DamagedFile: a `ValueError`, which names the file and the field.

    Example:

    >>> import pathlib
    >>> _ = pathlib.Path("numbers.json").write_text('{"a": 1}')
    >>> read("numbers.json", dict[str, int])
    {'a': 1}
    """
    path = pathlib.Path(path)
    what = what or str(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    # A named pipe would be waited for, a device read without end.
    if not path.is_file():
        raise DamagedFile(what, "no JSON, it is not a file", advice)
    with path.open("rb") as file:
        content = file.read(most + 1)
    return parse(content, what, schema, advice, most)


def parse(content, what, schema=None, advice="Copy it again.", most=MOST_BYTES):
    """What bytes of JSON hold.

    Args:
        content: bytes.
        what: str, what errors call them.
        schema, advice, most: as of `read`.

    Returns:
        As `read`.
    """
    if len(content) > most:
        problem = f"it has more than {most:,} bytes, which no such file needs"
        raise DamagedFile(what, problem, advice)
    try:
        # Some editors begin a file with a mark of its encoding.
        tree = json.loads(
            content.decode("utf-8-sig"),
            object_pairs_hook=_without_doubles,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
        deep = _deeper_than(tree, MOST_DEPTH)
    except RecursionError:
        deep = True
    except ValueError as error:
        raise DamagedFile(what, f"no JSON, {error}", advice) from error
    if deep:
        problem = f"it is nested more than {MOST_DEPTH} times"
        raise DamagedFile(what, problem, advice)
    if schema is not None:
        check(tree, what, schema, advice)
    return tree


def check(tree, what, schema, advice="Copy it again."):
    """Raises unless what was read is as a schema says.

    Args:
        tree: dicts, lists and values.
        what: str, what errors call it.
        schema, advice: as of `read`.
    """
    # Takes long to import: only for those who read such a file.
    import pydantic

    try:
        pydantic.TypeAdapter(schema).validate_python(tree)
    except pydantic.ValidationError as error:
        problems = error.errors(include_url=False)
        told = "; ".join(map(_in_words, problems[:_MOST_TOLD]))
        more = len(problems) - _MOST_TOLD
        if more > 0:
            told += f"; and {more} more"
        raise DamagedFile(what, told, advice) from None


def _in_words(problem):
    field = ".".join(map(str, problem["loc"]))
    received = repr(problem["input"])
    if len(received) > 60:
        received = received[:60] + "..."
    begin = f"{field}: " if field else ""
    if problem["type"] in ("dict_type", "model_type"):
        return f"{begin or 'no JSON object, it '}must be an object, received {received}"
    if problem["type"] == "missing":
        return f"{begin}is missing"
    if problem["type"] == "extra_forbidden":
        return f"{begin}is unknown"
    says = problem["msg"].replace("Input should", "must").replace("Value error, ", "")
    return f"{begin}{says}, received {received}"


def _without_doubles(pairs):
    tree = dict(pairs)
    if len(tree) < len(pairs):
        seen = set()
        double = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"{double!r} stands in one object twice")
    return tree


def _refuse_constant(name):
    raise ValueError(f"it holds {name}, which is no number")


def _finite(text):
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _bounded(text):
    # By its length first: Python refuses to read thousands of digits.
    if len(text) > 20 or not -_MOST_INTEGER <= int(text) < _MOST_INTEGER:
        raise ValueError(f"the number {text[:20]}... is too large")
    return int(text)


def _deeper_than(tree, most):
    """Whether dicts and lists stand in one another more than `most` times."""
    level = [tree]
    for _ in range(most + 1):
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            return False
        level = list(
            itertools.chain.from_iterable(
                each.values() if isinstance(each, dict) else each for each in level
            )
        )
    return any(isinstance(each, dict | list) for each in level)
