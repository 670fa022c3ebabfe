import decimal
import enum
import fractions

import numpy as np
import pytest

from keras_hierproxy import checks

pytestmark = pytest.mark.host


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3)])
def test_integers(value):
    assert checks.integer("n", value, least=1, most=3) == 3
    assert type(checks.integer("n", value)) is int


@pytest.mark.parametrize(
    "value",
    [
        True,
        np.True_,
        3.0,
        1.5,
        "3",
        None,
        np.nan,
        3j,
        [3],
        np.array(3),
        decimal.Decimal(3),
    ],
)
def test_what_is_no_integer(value):
    with pytest.raises(ValueError, match="`n` must be a positive int. Received: "):
        checks.integer("n", value, least=1)


@pytest.mark.parametrize(
    "value", [0.5, np.float32(0.5), np.float64(0.5), fractions.Fraction(1, 2)]
)
def test_numbers(value):
    assert checks.real("x", value, above=0, most=0.5) == 0.5
    assert type(checks.real("x", value)) is float


@pytest.mark.parametrize(
    "value",
    [True, np.nan, np.inf, -np.inf, "0.5", None, 1j, np.complex64(1), [0.5], 10**400],
)
def test_what_is_no_number(value):
    with pytest.raises(ValueError, match="`x` must be a finite number. Received: "):
        checks.real("x", value)


def test_bounds_are_told():
    with pytest.raises(
        ValueError, match="an integer of at least 2 and of at most 4. R"
    ):
        checks.integer("n", 5, least=2, most=4)
    with pytest.raises(ValueError, match="`x` must be a positive number. Received: 0"):
        checks.real("x", 0, above=0)
    with pytest.raises(ValueError, match="a finite number above 0 and below 1. Rec"):
        checks.real("x", 1.0, above=0, below=1)


def test_choices():
    for value in ("a", enum.StrEnum("Mode", {"a": "a"}).a):
        assert type(checks.one_of("mode", value, ("a", "b"))) is str
    for value in ("c", None, True, np.array(["a"])):
        with pytest.raises(ValueError, match="`mode` must be one of 'a', 'b'. Rec"):
            checks.one_of("mode", value, ("a", "b"))
