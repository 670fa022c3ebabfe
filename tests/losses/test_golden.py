"""The NumPy versions, as they are now, give what the golden file says."""

import numpy as np
import pytest

from tests.golden import make_losses
from tests.losses.cases import FLAT, HIERARCHICAL

pytestmark = pytest.mark.host


@pytest.mark.parametrize("case", FLAT + HIERARCHICAL, ids=str)
def test_golden_file_is_up_to_date(case):
    golden = np.load(make_losses.PATH)
    for name, expected in make_losses.compute(case).items():
        np.testing.assert_allclose(golden[name], expected, rtol=1e-6, atol=1e-8)


def test_golden_file_holds_nothing_else():
    cases = {name.split("/")[0] for name in np.load(make_losses.PATH).files}
    assert cases == {str(case) for case in FLAT + HIERARCHICAL}
