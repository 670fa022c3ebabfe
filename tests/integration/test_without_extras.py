"""The package and a backend are enough, but for what the extras do."""

from tests.integration.fresh import finish, start


def test_without_extras(tmp_path):
    finish(start("without_extras", tmp_path))
