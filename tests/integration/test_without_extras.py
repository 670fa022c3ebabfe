"""All but the extras works where no extra is installed."""

from tests.integration.fresh import finish, start


def test_without_extras(tmp_path):
    finish(start("without_extras", tmp_path))
