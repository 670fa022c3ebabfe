import numpy as np
import pytest

from keras_hierproxy.datasets.cache import cache_folder, cached_arrays

pytestmark = pytest.mark.host

ARRAYS = (np.arange(3000).reshape(3, 1000), np.ones(2, "uint8"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "numbers.npz"


def load(path, build=lambda: ARRAYS):
    return cached_arrays(path, ("numbers", "ones"), build)


def assert_right(arrays):
    for array, expected in zip(arrays, ARRAYS, strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


def never():
    raise AssertionError("built although cached")


def test_builds_once(path):
    assert_right(load(path))
    assert_right(load(path, never))
    assert [file.name for file in path.parent.iterdir()] == ["numbers.npz"]


def test_builds_a_damaged_file_again(path):
    load(path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 4] ^= 255
    for damaged in (b"", b"no archive", whole[:-30], whole[: len(whole) // 2], flipped):
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match="numbers.npz is damaged"):
            assert_right(load(path))
        assert_right(load(path, never))


def test_builds_again_when_an_array_is_missing(path):
    cached_arrays(path, ("ones",), lambda: ARRAYS[1:])
    with pytest.warns(UserWarning, match="damaged"):
        assert_right(load(path))


def test_goes_on_without_a_writable_folder(tmp_path):
    (tmp_path / "file").write_text("where the folder should be")
    with pytest.warns(UserWarning, match="KERAS_HIERPROXY_CACHE"):
        assert_right(load(tmp_path / "file" / "numbers.npz"))


def test_leaves_nothing_of_an_interrupted_write(path, monkeypatch):
    def interrupt(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load(path)
    assert not list(path.parent.iterdir())


def test_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KERAS_HIERPROXY_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / "home" / ".cache" / "keras_hierproxy"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "keras_hierproxy"
    monkeypatch.setenv("KERAS_HIERPROXY_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
