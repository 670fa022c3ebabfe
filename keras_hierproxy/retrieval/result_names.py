"""The names of results, such as `level1_recall@4`: made and read here alone."""

import re
from typing import NamedTuple

_COUNTS = ("num_queries", "num_excluded")


class ResultName(NamedTuple):
    """What a result is of; `str` is its name in results, files and logs.

    Attributes:
        level: int, of the labels, 0 for the finest; also of what is over all levels.
        metric: str, as in `METRICS`, or of another number.
        k: int, of a metric of the first K, or None.

    Example:

    >>> str(ResultName(1, "recall", 4))
    'level1_recall@4'
    >>> ResultName.read("map@r")
    ResultName(level=0, metric='map@r', k=None)
    """

    level: int
    metric: str
    k: int | None = None

    def __str__(self):
        level = f"level{self.level}_" if self.level else ""
        return f"{level}{self.metric}{'' if self.k is None else f'@{self.k}'}"

    @classmethod
    def read(cls, name):
        parts = re.fullmatch(r"(?:level(\d+)_)?(.*?)(?:@(\d+))?", name, re.DOTALL)
        level, metric, k = parts.groups()
        return cls(int(level or 0), metric, k and int(k))

    @property
    def is_count(self):
        """Whether it is a number of queries, not a score."""
        return self.metric in _COUNTS

    def at(self, level):
        """The same of another level."""
        return self._replace(level=level)
