"""Cases of the hostile suite: each says in a line what is tried and what must come.

    CASES = [
        refused("margin=nan", lambda: ProxyAnchorLoss(margin=nan), "margin.*nan"),
        right("margin=0", lambda: ProxyAnchorLoss(margin=0).margin, 0.0),
    ]

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_numbers(case, judge):
        judge("numbers", case)

`judge` gives an action the test's folder if it takes an argument. What came of all
cases is counted at the end of the run, by family.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable

import numpy as np

# What a user of the package is told a mistake with; anything else is a traceback.
CLEAR = (ValueError, TypeError, OSError)


@dataclasses.dataclass(frozen=True)
class Case:
    """What is tried, and what must come of it.

    Attributes:
        name: str, what the test is called.
        action: function of no argument, or of the test's folder.
        message: pattern that the error's text must hold, or None where it must work.
        expected: what the action must return, or a function of that which says whether
            it is right.
    """

    name: str
    action: Callable
    message: str | None = None
    expected: object = None

    def __str__(self):
        # Workers must know a test by one name, and addresses differ.
        return re.sub(" at 0x[0-9a-f]+", "", self.name)


def refused(name, action, message):
    """A case that must end in a clear error."""
    return Case(name, action, message=message)


def right(name, action, expected):
    """A case that must give the right result."""
    return Case(name, action, expected=expected)


def outcome(case, folder):
    """What came of a case, "clear error" or "right", or an `AssertionError`."""
    takes_folder = len(inspect.signature(case.action).parameters) == 1
    try:
        value = case.action(folder) if takes_folder else case.action()
    except CLEAR as error:
        assert case.message is not None, f"refused what must work: {error!r}"
        assert re.search(case.message, str(error), re.DOTALL), (
            f"the error does not say {case.message!r}: {error!r}"
        )
        return "clear error"
    assert case.message is None, f"taken without an error, as {value!r}"
    if callable(case.expected):
        assert case.expected(value), f"wrong: {value!r}"
    else:
        np.testing.assert_equal(value, case.expected)
    return "right"
