import contextlib
import io
import json
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import keras
import pytest
from typer.main import get_command

import hierproxy
from keras_hierproxy import models, recipes, runs
from keras_hierproxy.runs.record import Record
from keras_hierproxy.trees import Tree
from tests.command_line import run_main, start
from tests.photos import write_photos

CLASSES = [f"{kind}/{name}" for kind in ("bag", "hat", "shoe") for name in "abc"]
# One batch an epoch: one shape to compile.
SMALL = (
    *("--from-scratch", "--image-size", 16, "--batch-size", 20),
    *("--loss", "proxy-anchor"),
)
# An error is told once for all backends.
once = pytest.mark.host


@pytest.fixture
def refused(call, monkeypatch):
    """A function of the arguments that returns the one line of the error."""

    def fit(*args, **kwargs):
        raise AssertionError("time was spent on training")

    monkeypatch.setattr(models.ImageEmbedder, "fit", fit)

    def refused(*argv):
        code, _, stderr = call(*argv)
        assert code == 2
        assert re.fullmatch("Error: .*\n", stderr)
        return stderr.rstrip()

    return refused


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("data") / "photos", CLASSES)


@pytest.fixture(scope="module")
def training(photos, tmp_path_factory):
    """A run of two epochs on `photos`: its folder, and what the command printed."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    options = (*SMALL, "--epochs", 2, "-o", folder)
    argv, stdout = sys.argv, io.StringIO()
    with contextlib.redirect_stdout(stdout):
        assert run_main("train", "--data", photos, *options) == 0
    sys.argv = argv
    return folder, stdout.getvalue()


@pytest.fixture
def trained(training):
    return training[0]


def test_train_and_evaluate(call, training):
    run, stdout = training
    assert re.search(r"train +│ +20 │ +5 │ +", stdout)
    lines = re.findall(
        r"^epoch (\d)/2  \d+ s  loss [\d.]+  val_recall@1 [\d.]+$", stdout, re.M
    )
    assert lines == ["1", "2"]
    assert (
        "Steps in an epoch: 1. Smaller batches, by --batch-size, make more." in stdout
    )
    metrics = json.loads((run / "metrics.json").read_text())
    before, after = (metrics[name]["recall@1"] for name in ("test_before", "test"))
    low, high = metrics["intervals"]["recall@1"]
    after_text = re.escape(f"{after:.3f}  ({low:.3f} to {high:.3f})")
    assert re.search(rf"class +│ recall@1 +│ {before:.3f} +│ {after_text} +│", stdout)
    assert stdout.endswith(f"report.html:\n{run}\n")

    code, stdout, _ = call("evaluate", run, "--k", "1,3", "-o", "new/results")
    assert code == 0 and "8 queries" in stdout
    results = json.loads(Path("new/results/metrics.json").read_text())["test"]
    assert results["recall@1"] == pytest.approx(after)
    assert "recall@3" in results and "recall@2" not in results
    assert {path.name for path in Path("new/results").iterdir()} == {
        "metrics.json",
        "queries.csv",
        "report.html",
    }

    # Nothing is written over, least of all the run.
    for folder in (run, "new"):
        code, _, stderr = call("evaluate", run, "-o", folder)
        assert code == 2 and f"{folder} is not empty" in stderr

    options = ("--metrics", "all", "--k", "1", "-o", "all")
    code, stdout, _ = call("evaluate", run, *options)
    assert code == 0
    for name in ("map", "mrr", "nmi", "ami", "ndcg", "asi", "h_ap"):
        assert re.search(rf"│ {name} +│ \d", stdout)
    record = json.loads(Path("all/metrics.json").read_text())
    assert {"ties", "excluded", "h_ap", "intervals"} < set(record["conventions"])

    # The same model on the same queries: nothing differs.
    code, stdout, _ = call("compare", "all", "new/results")
    assert code == 0 and "No difference is shown." in stdout
    same = r"recall@1 +(\S+) +\1 +\+0.000 \(\+0.000, \+0.000\) +1.0000 *$"
    assert re.search(same, stdout, re.M)
    assert "recall@3 " not in stdout and "all levels" not in stdout
    assert re.search(r"Only one of the two has: .*ndcg.*recall@3", stdout, re.S)


def test_evaluate_all_of_another_folder(call, trained):
    write_photos(Path("new"), "xyz", side=50)
    code, stdout, _ = call("evaluate", trained, "--data", "new")
    assert code == 0 and "12 queries" in stdout and "all" in stdout
    code, stdout, _ = call("evaluate", trained / "model.keras", "--data", "new")
    assert code == 0 and "12 queries" in stdout


@once
def test_means_over_no_query(call, trained):
    write_photos(Path("alone"), "abcdef", images_per_class=1, side=16)
    code, _, _ = call("embed", "alone", trained, "-o", "stored")
    assert code == 0
    code, stdout, _ = call("evaluate", "stored", "-o", "evaluated")
    assert code == 0 and re.search(r"recall@1 +│ none", stdout)
    assert "Queries left out, alone in their class: 6." in stdout
    code, stdout, _ = call("compare", "evaluated", "evaluated")
    assert code == 0 and "No difference" in stdout


def test_evaluate_stored_embeddings(call, trained, photos):
    code, _, _ = call("embed", photos, trained, "-o", "stored", "--split", "test")
    assert code == 0
    code, stdout, _ = call("evaluate", "stored", "-o", "evaluated")
    assert code == 0 and "8 queries" in stdout
    record = json.loads(Path("evaluated/metrics.json").read_text())
    expected = json.loads((trained / "metrics.json").read_text())
    assert record["embeddings"] == pytest.approx(expected["test"], abs=1e-6)
    page = Path("evaluated/report.html").read_text()
    assert "data:image" in page
    # Passed on, it says nothing of where things lie here.
    for report in (page, (trained / "report.html").read_text()):
        assert str(Path.cwd()) not in report and str(trained.parent) not in report
        assert str(Path(photos).resolve()) not in report
    assert str(Path.cwd()) not in Path("evaluated/metrics.json").read_text()
    # The same queries: comparable with the run itself.
    code, stdout, _ = call("compare", trained, "evaluated")
    assert code == 0 and "No difference is shown." in stdout
    code, _, stderr = call("evaluate", "stored", "--split", "train")
    assert code == 2 and "evaluated as they are" in stderr
    # Moved away, the images cannot be shown; the numbers stand.
    items = Path("stored/items.csv")
    size = items.stat().st_size
    items.write_bytes(items.read_bytes().replace(b".png", b".gnp"))
    assert items.stat().st_size == size
    code, stdout, _ = call("evaluate", "stored", "-o", "moved")
    assert code == 0 and "No report" in stdout
    assert {path.name for path in Path("moved").iterdir()} == {
        "metrics.json",
        "queries.csv",
    }


def test_evaluate_splits_of_the_runs_own_folder(call, trained, photos):
    for options, queries in (
        (["--split", "train"], 20),
        (["--split", "all"], 36),
        (["--data", photos], 8),
    ):
        _, stdout, _ = call("evaluate", trained, *options)
        assert f"{queries} queries" in stdout


@once
def test_train_on_omniglot(call, shared_data):
    """Two alphabets, one epoch; the drawings of the test are counted, too."""
    code, stdout, _ = call(
        *("train", "--data", "omniglot", "--root", shared_data, "--epochs", 1),
        *("--train-groups", "Greek, Latin", "--test-groups", "Early_Aramaic"),
        *("--loss", "proxy-anchor", "--augment", "none", "-o", "run"),
    )
    assert code == 0
    assert re.search(r"train +│ +800 │ +40 │ +2 ", stdout)
    assert re.search(r"test +│ +440 │ +22 │ +1 ", stdout)
    assert "alphabet" in stdout


@once
def test_resume_needs_only_the_folder(call, trained, tmp_path):
    shutil.copytree(trained, "run")
    code, stdout, _ = call("train", "--resume", "-o", "run", "--epochs", 3)
    assert code == 0
    assert "epoch 3/3" in stdout and "epoch 2/" not in stdout
    assert len(Path("run/history.csv").read_text().splitlines()) == 1 + 3


@once
def test_resume_does_not_take_epochs_back(refused, trained):
    message = refused("train", "--resume", "-o", trained, "--epochs", 1)
    assert "for 2 epochs. Resume it with --epochs 2 or more" in message


@once
def test_a_bad_image_is_left_out(call, photos):
    bad = copy_with_a_truncated_image(photos)
    with pytest.warns(UserWarning, match=rf"Skipped 1 of 36 images\. \S*{bad.name}"):
        code, stdout, _ = call(
            *("train", "--data", "photos", "--skip-bad", *SMALL, "--epochs", 1)
        )
    assert code == 0


def copy_with_a_truncated_image(photos):
    shutil.copytree(photos, "photos")
    bad = Path("photos", CLASSES[0], "0.png")
    bad.write_bytes(bad.read_bytes()[:300])
    return bad


@once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --loss proxyanchor", "'proxyanchor' is not one of 'hpl'"),
        ("train --backend theano", "'theano' is not one of 'tensorflow'"),
        (
            "train --level-sizes 50,x",
            "'50,x' is not a list of numbers from 1 on, such as 8,50",
        ),
        ("train --level-sizes 0", "'0' is not a list"),
        ("train --epochs 0", "'--epochs'"),
        ("train --batch-size 1", "'--batch-size'"),
        ("train --seed -1", "'--seed'"),
        ("train --embeding-dim 8", "No such option: --embeding-dim"),
        ("evaluate", "Missing argument"),
        ("evaluate run --split dev", "'dev' is not one of 'test'"),
        ("evaluate run --k 1,,2", "'1,,2' is not a list"),
        ("frobnicate", "No such command 'frobnicate'"),
    ],
)
def test_what_is_no_option_is_refused(arguments, message, call):
    code, _, stderr = call(*arguments.split())
    text = re.sub(r"[│\s]+", " ", stderr)
    assert code == 2 and message in text
    assert not any(Path().iterdir())


@once
def test_what_cannot_be_trained_is_refused(refused, photos, shared_data, tmp_path):
    shutil.copytree(photos, "photos")
    for arguments, message in (
        ("--data foto", "'foto' is neither a data set (glyphs, omniglot"),
        ("--data omniglot", "pass --root, the folder that holds"),
        ("--data omniglot --root nowhere", "No Omniglot drawings in nowhere"),
        (
            f"--data omniglot --root {shared_data} --train-groups Klingon",
            "no drawings of Klingon. Found: Balinese",
        ),
        (
            f"--data omniglot --root {shared_data} --train-groups Greek "
            "--test-groups Greek",
            "Received in both: Greek",
        ),
        ("--data photos --train-groups a", "--train-groups does not go with /"),
        ("--data photos --test-split val", "--test-split does not go with /"),
        ("--data photos --root data", "--root does not go with --data"),
        ("--data photos --loss cosface --level-sizes 3", "goes with --loss hpl"),
        ("--data photos --level-sizes 6", "Received: num classes 5, --level-sizes 6"),
        ("--data photos --loss triplet --batch-size 64", "Pass a --batch-size between"),
        ("--data photos -o photos", "photos is not empty. Choose another folder"),
        ("--data photos -o nowhere --resume", "There is no run to resume in nowhere"),
    ):
        assert message in refused("train", *arguments.split()), arguments
    assert not Path("runs").exists()


@once
def test_an_unknown_preset_is_refused(refused, photos):
    line = refused("train", "--data", photos, "--preset", "resnet_18_imagenett")
    assert "Did you mean 'resnet_18_imagenet'?" in line


@once
def test_folders_that_are_no_data_are_refused(refused, photos):
    Path("empty").mkdir()
    assert "holds no images" in refused("train", "--data", "empty")

    write_photos(Path("few"), "abcde")
    message = refused("train", "--data", "few")
    assert "'few' has 5 classes, and at least 6 are needed" in message

    shutil.copytree(photos, "lonely")
    for image in "123":
        Path("lonely", CLASSES[4], f"{image}.png").unlink()
    message = refused("train", "--data", "lonely")
    assert f"1 of 9 classes have fewer than 2 images: {CLASSES[4]}" in message

    bad = copy_with_a_truncated_image(photos)
    message = refused("train", "--data", "photos")
    assert f"{bad} is not a readable image" in message and "pass --skip-bad" in message


@once
def test_what_cannot_be_evaluated_is_refused(refused, trained, shared_data, tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).save("other.keras")
    write_photos(Path("new"), "xy")
    for arguments, message in (
        ("nowhere --data new", "There is no model at nowhere"),
        ("nowhere", "There is no model at nowhere"),
        ("new", "say with --data what to evaluate on"),
        ("other.keras --data new", "other.keras holds a Sequential"),
        (f"{trained} --k 1,8", "--k 8 is larger than the gallery: each query"),
        (f"{trained} --metrics recall,f1", "--metrics takes any of recall, "),
        (f"{trained} --data new --split test", "'new' has 2 classes"),
        (f"{trained} --data glyphs --split all", "--split all is for folders"),
        (
            f"{trained} --data omniglot --root {shared_data}",
            "takes images of shape (16, 16, 3); those of 'omniglot/test'",
        ),
    ):
        assert message in refused("evaluate", *arguments.split()), arguments


def write_run(folder, photos, ready=True, **options):
    """A run whose model has a hierarchy, though not by training."""
    small = {"data": str(photos), "image_size": 16, "from_scratch": True}
    recipe = recipes.from_options({**small, **options})
    place = runs.Place()
    train = runs.load_data(recipe.data, place).train
    embedder = recipes.build_embedder(recipe, train, place.seed, 2)
    if ready:
        embedder.proxies.refresh()
    embedder.optimizer.build(embedder.trainable_variables)
    folder.mkdir()
    embedder.save(folder / "model.keras")
    Record(recipe, place).write(folder)


def read_tree(folder, name):
    """A tree of `tree.json` and all that is said of its nodes."""
    arrays = json.loads((folder / "tree.json").read_text())[name]
    tree = Tree(arrays["parents"], arrays["num_leaves"], arrays["ids"])
    assert arrays["depth"] == tree.depth.tolist()
    assert len(arrays["kinds"]) == len(tree)
    return tree, arrays


def test_tree_of_coarse_and_latent_proxies(call, photos):
    run = Path("run")
    write_run(run, photos, loss="hpl-hier", latent_proxies=8, level_sizes=[2])
    before = set(run.iterdir())
    code, stdout, _ = call("tree", run)
    assert code == 0
    pictures = ["dendrogram_proxies.png", "dendrogram_latent.png", "disk.png"]
    paths = [run / name for name in ("tree.json", *pictures)]
    assert stdout.endswith("".join(f"{path}\n" for path in paths))
    assert set(run.iterdir()) == before | set(paths)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths[1:])

    # Five of the nine classes are for training, with four images each.
    tree, arrays = read_tree(run, "proxies")
    names = arrays["names"]
    assert len(names) == 5 and set(names) <= set(CLASSES)
    assert arrays["kinds"] == ["class"] * 5 + ["level1"] * 2 + ["root"]
    sizes = sorted(tree.sizes()[5:7].tolist())
    assert re.search(
        rf"1 +│ level1 +│ +2 │ +{sizes[0]} │ +{sizes[0]} │ +{sizes[1]} │", stdout
    )
    tree, arrays = read_tree(run, "latent")
    assert arrays["names"] == names
    assert set(arrays["kinds"]) == {"class", "latent"}
    assert arrays["radii"][tree.root] == min(arrays["radii"][5:])
    tree, arrays = read_tree(run, "images")
    assert tree.num_leaves == 20
    assert sorted(arrays["names"]) == sorted(4 * names)
    assert len(arrays["radii"]) == len(tree) and max(arrays["radii"]) < 1


@once
def test_tree_of_another_split_in_another_folder(call, photos):
    write_run(Path("run"), photos, loss="hier", latent_proxies=8, ready=False)
    code, stdout, _ = call("tree", "run", "--split", "test", "-o", "new/pictures")
    assert code == 0 and "20 images" not in stdout and "8 images" in stdout
    folder = Path("new/pictures")
    names = {path.name for path in folder.iterdir()}
    assert names == {"tree.json", "dendrogram.png", "disk.png"}
    assert read_tree(folder, "latent")[0].num_leaves == 2
    assert not Path("run/tree.json").exists()


@once
def test_tree_of_coarse_proxies_alone(call, photos):
    write_run(Path("run"), photos, loss="hpl-taxonomy", ready=False)
    assert call("tree", "run")[0] == 0
    assert not Path("run/disk.png").exists()
    assert Path("run/dendrogram.png").exists()
    tree, arrays = read_tree(Path("run"), "proxies")
    for kind in tree.children[tree.root]:
        (name,) = {arrays["names"][c].split("/")[0] for c in tree.leaves(kind)}
    _, _, stderr = call("tree", "run", "--split", "test")
    assert "--split test goes with latent proxies" in stderr


@once
def test_what_has_no_tree_is_refused(refused, trained, photos):
    write_run(Path("young"), photos, loss="hpl", ready=False)
    write_run(Path("hpl"), photos, loss="hpl")
    shutil.copytree(photos, "others")
    shutil.copytree(photos / CLASSES[0], "others/bag/new")
    record = json.loads(Path("hpl/run.json").read_text())
    record["recipe"]["data"]["name"] = str(Path("others").resolve())
    Path("hpl/run.json").write_text(json.dumps(record))
    for run, message in (
        (trained, "has no hierarchy to draw: it was trained by photos-proxy-anchor"),
        ("young", "came before epoch 3, in which one is first learned. Go on with"),
        ("hpl", "'others/train' had 5 classes and has 6"),
        (photos, "is not the folder of a run"),
    ):
        assert message in refused("tree", run)


@once
def test_another_backend_in_the_same_process_is_refused(refused):
    other = next(
        name for name in hierproxy.options.BACKENDS if name != keras.config.backend()
    )
    assert f"--backend {other} comes too late" in refused("train", "--backend", other)


@once
def test_options_are_those_of_a_run():
    train = get_command(hierproxy.app).commands["train"]
    defaults = {option.name: option.default for option in train.params}
    assert {name: defaults[name] for name in recipes.DEFAULTS} == recipes.DEFAULTS
    assert set(hierproxy.known.LOSSES) == set(recipes.LOSSES)


@once
def test_every_option_is_explained():
    for command in get_command(hierproxy.app).commands.values():
        assert command.help
        for option in command.params:
            assert getattr(option, "help", None), option.name


@once
def test_ctrl_c_in_a_process_of_its_own(photos, tmp_path, monkeypatch):
    """Also: `--backend` overrides the environment, and no library talks."""
    monkeypatch.chdir(tmp_path)
    bad = copy_with_a_truncated_image(photos)
    process = start(
        *("train", "--data", "photos", *SMALL, "--epochs", 5000, "--skip-bad"),
        *("--backend", "tensorflow", "-o", "run"),
        KERAS_BACKEND="jax",
    )
    history = Path("run/history.csv")
    while process.poll() is None and not (history.exists() and history.stat().st_size):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    (line,) = stderr.splitlines()
    assert line.startswith("Warning: Skipped 1 of 36 images.") and str(bad) in line
    assert "Stopping. Ctrl-C again ends at once." in stdout
    assert "To go on after the last whole epoch: hierproxy train --resume" in stdout
    assert json.loads(Path("run/run.json").read_text())["backend"] == "tensorflow"
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["interrupted"] and metrics["epochs"] < 5000
    assert len(history.read_text().splitlines()) == 1 + metrics["epochs"]
