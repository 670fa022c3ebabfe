"""What holds for every reader of an official layout."""

import importlib
import inspect
import pathlib
import shutil

import numpy as np
import pytest

from keras_hierproxy import datasets
from tests import official_layouts

pytestmark = [
    pytest.mark.host,
    pytest.mark.filterwarnings("ignore:.*This is a part of it"),
]

SETS = {
    "cub": (official_layouts.write_cub, "species"),
    "cars": (official_layouts.write_cars, "model"),
    "sop": (official_layouts.write_sop, "product"),
    "in_shop": (official_layouts.write_in_shop, "item"),
    "inaturalist": (official_layouts.write_inaturalist, "species"),
    "grocery_store": (official_layouts.write_grocery_store, "fine"),
}
ZERO_SHOT = [name for name in SETS if name != "grocery_store"]
PARTS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Name to the root of each data set, which holds the official folder."""
    roots = {}
    for name, (write, _) in SETS.items():
        roots[name] = tmp_path_factory.mktemp(name)
        write(roots[name])
    return roots


@pytest.fixture(params=SETS)
def name(request):
    return request.param


@pytest.fixture
def root(originals, name, tmp_path):
    return shutil.copytree(originals[name], tmp_path / "data")


def load(name, root, **options):
    return datasets.load(name, root=root, **{"image_size": 8} | options)


def parts_of(data):
    return [getattr(data, part) for part in PARTS]


def class_of(data):
    """Which class the pixels say that each image is of."""
    centre = data.images[:][:, 4, 4].astype(int)
    colors = np.array([official_layouts.color(i) for i in range(6)])
    return abs(centre[:, None] - colors).sum(-1).argmin(1)


def classes_of_paths(data):
    """Path to the name of its class and the class that the pixels say."""
    names = [data.class_names[0][label] for label in data.labels[:, 0]]
    pairs = zip(names, class_of(data), strict=True)
    return dict(zip(data.paths, pairs, strict=True))


def first_image(root):
    return sorted(path for path in root.rglob("*.[jJ][pP][gG]"))[0]


@pytest.mark.parametrize("memory_limit", [0, 2**30], ids=["lazy", "in memory"])
def test_every_image_has_the_label_of_its_class(name, root, memory_limit):
    data = load(name, root, memory_limit=memory_limit)
    known = {}
    for part in parts_of(data):
        assert isinstance(part.images, datasets.ImageFiles) == (memory_limit == 0)
        assert part.images.shape[1:] == (8, 8, 3)
        for i, label in zip(class_of(part), part.labels[:, 0], strict=True):
            assert (
                known.setdefault(i, part.class_names[0][label])
                == (part.class_names[0][label])
            )
    assert len(known) == len(set(known.values())) == 6
    assert data.train.level_names[0] == SETS[name][1]


def test_sizes_and_names_of_the_parts(name, root):
    data = load(name, root)
    grocery = name == "grocery_store"
    num_seen = 6 if grocery else 3 if name in ("cub", "cars") else 4
    sizes = [part.num_classes for part in parts_of(data)]
    assert sizes == [num_seen - 1, 1, 6 if grocery else 6 - num_seen]
    assert [len(part) for part in parts_of(data)] == [3 * size for size in sizes]
    assert [part.name for part in parts_of(data)] == [f"{name}/{p}" for p in PARTS]


@pytest.mark.parametrize("name", ZERO_SHOT)
def test_classes_are_disjoint(name, root):
    names = [part.class_names[0] for part in parts_of(load(name, root))]
    assert len(set(sum(names, ()))) == sum(map(len, names))


def test_root_may_be_the_folder_itself_or_the_one_that_holds_it(name, root):
    (inner,) = [root] if name == "cars" else root.iterdir()
    outer, itself = load(name, str(root)), load(name, inner)
    for one, other in zip(parts_of(outer), parts_of(itself), strict=True):
        assert one.paths == other.paths


def test_validation_is_a_function_of_seed_and_share(name, root):
    first, again = load(name, root), load(name, root)
    assert first.validation.class_names == again.validation.class_names
    held_out = {
        load(name, root, seed=seed).validation.class_names[0] for seed in range(8)
    }
    assert len(held_out) > 1
    whole = load(name, root, validation=0)
    assert whole.validation is None
    assert len(whole.train) == len(first.train) + len(first.validation)
    assert whole.test.paths == first.test.paths
    with pytest.raises(ValueError, match="leave no training class"):
        load(name, root, validation=1.0)


def test_sizes_and_colours(name, root):
    data = load(name, root, image_size=(8, 10), color_mode="grayscale")
    assert data.test.images.shape[1:] == (8, 10, 1)
    with pytest.raises(ValueError, match="image_size must be"):
        load(name, root, image_size=0)
    with pytest.raises(ValueError, match="color_mode must be"):
        load(name, root, color_mode="rgba")


@pytest.mark.parametrize("memory_limit", [0, 2**30], ids=["lazy", "in memory"])
def test_a_corrupt_image_is_named_or_left_out(name, root, memory_limit):
    whole = load(name, root, validation=0)
    path = first_image(root)
    path.write_bytes(path.read_bytes()[:200])
    options = {"memory_limit": memory_limit, "validation": 0}
    with pytest.raises(ValueError, match=f"{path.name} is not a readable image"):
        load(name, root, **options)
    with pytest.warns(UserWarning, match="Skipped 1 of "):
        data = load(name, root, skip_bad=True, **options)
    for part in ("train", "test"):
        expected = classes_of_paths(getattr(whole, part))
        expected.pop(str(path), None)
        assert classes_of_paths(getattr(data, part)) == expected
    assert len(data.train) + len(data.test) == len(whole.train) + len(whole.test) - 1


def test_missing_images_are_counted_and_named(name, root):
    for path in sorted(first_image(root).parent.iterdir())[:2]:
        path.unlink()
    with pytest.raises(FileNotFoundError) as error:
        load(name, root, skip_bad=True)
    layout = importlib.import_module(f"keras_hierproxy.datasets.official.{name}").LAYOUT
    message = str(error.value)
    assert message.startswith(f"{layout.title}: 2 of the ")
    assert "not wholly unpacked. Looked for " in message and path.name in message
    assert layout.page in message and layout.tree in message


def test_every_index_file_is_needed(name, root):
    module = importlib.import_module(f"keras_hierproxy.datasets.official.{name}")
    for file in module.LAYOUT.files:
        (path,) = root.rglob(file)
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(FileNotFoundError) as error:
            load(name, root)
        assert f"{module.LAYOUT.title}: no {file}. Looked in " in str(error.value)
        assert str(path).removesuffix(f"/{file}") in str(error.value)
        path.write_bytes(content)


def test_nothing_there(name, root, tmp_path):
    layout = importlib.import_module(f"keras_hierproxy.datasets.official.{name}").LAYOUT
    with pytest.raises(FileNotFoundError, match="nowhere, which is no folder"):
        load(name, tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"not downloaded: pass root=, the"):
        load(name, None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError) as error:
        load(name, tmp_path / "empty")
    assert layout.page in str(error.value) and layout.tree in str(error.value)


@pytest.mark.parametrize("name", ZERO_SHOT)
def test_an_archive_is_to_be_unpacked(name, root, tmp_path):
    layout = importlib.import_module(f"keras_hierproxy.datasets.official.{name}").LAYOUT
    for archive in layout.archives:
        path = tmp_path / "packed" / archive
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with pytest.raises(FileNotFoundError) as error:
            load(name, tmp_path / "packed")
        assert f"Unpack it first: cd {path.parent} && " in str(error.value)
        assert str(error.value).count(path.name) >= 2
        path.unlink()


def test_an_index_that_is_no_text(name, root):
    module = importlib.import_module(f"keras_hierproxy.datasets.official.{name}")
    (path,) = root.rglob(module.LAYOUT.files[0])
    path.write_bytes(b"\xff\xfe\x00\x01" * 50)
    with pytest.raises(ValueError, match=f"{path.name} is (no text|not a readable)"):
        load(name, root)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=f"{path.name} is (empty|not a readable)"):
        load(name, root)


def test_counts_of_the_full_set_are_asserted(name, root, monkeypatch):
    """On a small set, by published counts that are nearly its own."""
    module = importlib.import_module(f"keras_hierproxy.datasets.official.{name}")
    found = {}

    def check_counts(self, published, counts):
        found.update({key: counts[key] for key in counts if key in published})

    with monkeypatch.context() as patch:
        patch.setattr(type(module.LAYOUT), "check_counts", check_counts)
        load(name, root)
    assert {"training images", "training classes", "test images"} <= set(found)
    for key, number in found.items():
        monkeypatch.setitem(module.COUNTS, key, number)
    load(name, root)
    for key, number in found.items():
        with monkeypatch.context() as patch:
            patch.setitem(module.COUNTS, key, number + 1)
            with pytest.raises(ValueError, match=rf"{number + 1} .*\(here {number}"):
                load(name, root)


@pytest.mark.filterwarnings("default:.*This is a part of it")
def test_a_part_of_a_set_is_read_with_a_warning(name, root):
    with pytest.warns(UserWarning, match="results do not compare with published") as w:
        load(name, root, validation=0)
    assert len(w) == 1


def test_paths_are_those_of_the_files(name, root):
    for part in parts_of(load(name, root)):
        assert all(pathlib.Path(path).is_file() for path in part.paths)


def test_the_signature_and_the_docs_have_the_shared_options(name):
    loader = datasets.loader(name)
    parameters = list(inspect.signature(loader).parameters.values())
    own = ["test_split"] if name == "grocery_store" else []
    assert [each.name for each in parameters] == [
        *("root", *own, "image_size", "color_mode", "validation", "seed", "skip_bad"),
        *("memory_limit", "background"),
    ]
    for each in parameters:
        assert f"\n    {each.name}: " in inspect.getdoc(loader)
    size = {each.name: each.default for each in parameters}["image_size"]
    assert f"Defaults to {size}" in loader.__doc__
    with pytest.raises(TypeError, match=rf"load_{name}\(\): .*'imagesize'"):
        loader("folder", imagesize=3)
