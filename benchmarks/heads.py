"""Do hierarchies help? Sixteen methods, tuned, as heads on frozen features.

    python benchmarks/heads.py --root FOLDER [--data ...] [--methods ...]
                               [--trials 20] [--seeds 10] [--summary]

FOLDER holds `fashion_products.zip` and `grocery_store.zip`; `glyphs` needs nothing.
A head is one linear layer to 128 dimensions and its proxies, trained for 100 steps of
64 classes (or all, if there are fewer), 2 photos of each. Features are computed once,
and kept in `runs/heads/`.

Each method is tuned on the validation classes, by MAP@R, with the library's defaults
and the same number of random trials, in which settings that methods share are the same;
then trained with the best of them from 10 seeds and evaluated once on the test classes.
What is trained or tuned on has no test class, or the script refuses to go on. Then,
with these settings, some methods are trained on a share of the photos, or of the
classes.

Every result is a line of `runs/heads/results.jsonl`. A killed script repeats the run
that it was in, and no other. At the end, or at once with `--summary`, they are
condensed to `benchmarks/heads.json`, from which `tools/docs_pictures.py` draws. What
that file holds of methods without results here stays in it, as long as it agrees with
the results of what they are compared to.
"""

import argparse
import collections
import dataclasses
import functools
import inspect
import json
import pathlib
import time
import zlib

import keras
import numpy as np
from scipy import stats

import keras_hierproxy as khp
from keras_hierproxy import files
from keras_hierproxy.losses.hier_proxy import LEVEL_WEIGHT
from keras_hierproxy.optimizers.groups import FROM_SCRATCH

FOLDER = pathlib.Path("runs/heads")
SUMMARY = pathlib.Path(__file__).with_name("heads.json")
DATA = ("fashion", "groceries", "glyphs")
DIMENSION = 128
EPOCHS, STEPS = 5, 20
QUERIES = 2000
SHOWN = {
    "recall@1": "Recall@1",
    "map@r": "MAP@R",
    "level1_recall@1": "coarse @1",
    "level1_map@r": "coarse MAP@R",
    "ndcg": "NDCG",
    "asi": "ASI",
    "h_ap": "H-AP",
    "levels_shared": "levels shared",
}
TUNED_BY = "map@r"


@dataclasses.dataclass(frozen=True)
class Method:
    """A head: the loss, what regularizes its proxies, and what it is compared to.

    Attributes:
        loss: which, a key of `LOSSES`.
        against: the method that it adds something to, or Proxy-Anchor.
        hierarchy: `"learned"` or `"taxonomy"` for HPL, or None.
        orthogonal: whether proxies are Soft Orthogonal ones.
        hier: whether HIER is added.
    """

    loss: str
    against: str | None = "Proxy-Anchor"
    hierarchy: str | None = None
    orthogonal: bool = False
    hier: bool = False

    @property
    def ball(self):
        return self.hier or self.loss == "sup_con"

    @property
    def settings(self):
        """The names of what is tuned."""
        names = ["head_rate", *LOSSES[self.loss]]
        names += ["proxy_rate"] * (self.loss != "sup_con")
        names += ["level_weight"] * (self.hierarchy is not None)
        names += ["level_size", "second_level"] * (self.hierarchy == "learned")
        names += ["strength"] * self.orthogonal
        names += ["hier_weight"] * self.hier
        return names


def _over(loss, base):
    return {
        base: Method(loss, None if base == "Proxy-Anchor" else "Proxy-Anchor"),
        f"{base} + SO": Method(loss, base, orthogonal=True),
        f"HPL, learned, over {base}": Method(loss, base, "learned"),
        f"HPL, taxonomy, over {base}": Method(loss, base, "taxonomy"),
    }


METHODS = {
    **_over("proxy_anchor", "Proxy-Anchor"),
    "HPL, learned + SO": Method("proxy_anchor", hierarchy="learned", orthogonal=True),
    "HIER": Method("proxy_anchor", hier=True),
    "HPL + HIER": Method("proxy_anchor", hierarchy="learned", hier=True),
    "Hyp": Method("sup_con"),
    **_over("normalized_softmax", "NormalizedSoftmax"),
    **_over("arcface", "ArcFace"),
}
# Trained on parts of the data, too.
ON_PARTS = (
    "Proxy-Anchor",
    *(f"HPL, {tree}, over Proxy-Anchor" for tree in ("learned", "taxonomy")),
    *("NormalizedSoftmax", "HPL, taxonomy, over NormalizedSoftmax"),
)
# Shares of the photos of each class, and of the classes.
WHOLE = (1.0, 1.0)
PARTS = ((0.05, 1.0), (1.0, 0.1), (0.2, 1.0), (1.0, 0.3))
# Data large enough for that.
PARTED = ("fashion",)

# Of each loss, the names of its settings.
LOSSES = {
    "proxy_anchor": ("anchor_margin", "alpha"),
    "normalized_softmax": ("temperature",),
    "arcface": ("arc_margin", "scale"),
    "sup_con": ("pair_temperature",),
}
# Of each setting how it is drawn: evenly, or evenly in its logarithm.
SPACE = {
    "head_rate": ("log", 1e-5, 1e-2),
    "proxy_rate": ("log", 1e-3, 1e-1),
    "anchor_margin": ("even", 0.0, 0.4),
    "alpha": ("log", 8.0, 64.0),
    "temperature": ("log", 0.02, 0.3),
    "arc_margin": ("even", 0.0, 40.0),
    "scale": ("log", 8.0, 64.0),
    "pair_temperature": ("log", 0.05, 0.5),
    # Level l weighs its l-th power.
    "level_weight": ("log", 0.05, 2.0),
    # Of C classes, C to this power are the coarse proxies; their root a second level.
    "level_size": ("even", 0.3, 0.8),
    "second_level": ("even", 0.0, 1.0),
    # A proxy, over the floor.
    "strength": ("log", 1e-2, 1e1),
    "hier_weight": ("log", 0.05, 2.0),
}


def draw(method, trial, num_classes):
    """The settings of a trial; those of trial 0 are the library's defaults."""
    if trial == 0:
        return {name: default(name, num_classes) for name in method.settings}
    settings = {}
    for name in method.settings:
        # Of the trial and the name alone: methods share what they have in common.
        rng = np.random.default_rng([trial, zlib.crc32(name.encode())])
        scale, low, high = SPACE[name]
        if scale == "log":
            settings[name] = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        else:
            settings[name] = float(rng.uniform(low, high))
    return settings


def default(name, num_classes):
    losses = {
        "anchor_margin": khp.losses.ProxyAnchorLoss().margin,
        "alpha": khp.losses.ProxyAnchorLoss().alpha,
        "temperature": khp.losses.NormalizedSoftmaxLoss().temperature,
        "arc_margin": khp.losses.ArcFaceLoss().margin,
        "scale": khp.losses.ArcFaceLoss().scale,
        "pair_temperature": khp.losses.SupConLoss().temperature,
    }
    rates = inspect.signature(khp.optimizers.grouped).parameters
    return {
        **losses,
        "head_rate": FROM_SCRATCH["head"],
        "proxy_rate": rates["proxies"].default,
        "level_weight": LEVEL_WEIGHT,
        # One level of the root of the number of classes.
        "level_size": 0.5,
        "second_level": 0.0,
        # 1e-3 by the equation of the paper.
        "strength": 1e-3 * num_classes,
        # That of the published runs.
        "hier_weight": 0.5,
    }[name]


def build(method, settings, width, train):
    geometry = khp.geometry.PoincareBall() if method.ball else khp.geometry.Sphere()
    inputs = keras.Input((width,))
    x = keras.layers.Dense(DIMENSION, name="head")(inputs)
    x = khp.layers.ProjectToGeometry(geometry)(x)
    if method.loss != "sup_con":
        x = proxies(method, settings, train)(x)
    if method.hier:
        x = khp.layers.LatentHierarchy(256, geometry=geometry, name="latent")(x)
    head = khp.models.EmbeddingModel(inputs, x)
    proxy_rate = settings.get("proxy_rate", 0.0)
    optimizer = khp.optimizers.grouped(
        head,
        head=settings["head_rate"],
        proxies=proxy_rate,
        latent=proxy_rate,
        schedule=keras.optimizers.schedules.CosineDecay(1.0, EPOCHS * STEPS),
    )
    head.compile(optimizer, loss=loss(method, settings, len(train.class_names)))
    return head


def proxies(method, settings, train):
    levels = {}
    if method.hierarchy == "taxonomy":
        levels["taxonomy"] = train.taxonomy
    elif method.hierarchy == "learned":
        size = max(2, round(train.num_classes ** settings["level_size"]))
        second = settings["second_level"] > 0.5
        levels["level_sizes"] = (size, max(2, round(size**0.5)))[: 1 + second]
    regularizer = None
    if method.orthogonal:
        regularizer = khp.regularizers.SoftOrthogonality(
            settings["strength"], per_proxy=True
        )
    return khp.layers.HierProxies(
        train.num_classes, **levels, regularizer=regularizer, name="proxies"
    )


def loss(method, settings, taxonomy_levels):
    if method.loss == "proxy_anchor":
        value = khp.losses.ProxyAnchorLoss(settings["anchor_margin"], settings["alpha"])
    elif method.loss == "normalized_softmax":
        value = khp.losses.NormalizedSoftmaxLoss(settings["temperature"])
    elif method.loss == "arcface":
        value = khp.losses.ArcFaceLoss(settings["arc_margin"], settings["scale"])
    else:
        value = khp.losses.SupConLoss(
            settings["pair_temperature"], geometry=khp.geometry.PoincareBall()
        )
    if method.hierarchy is not None:
        levels = taxonomy_levels
        if method.hierarchy == "learned":
            levels = 3 if settings["second_level"] > 0.5 else 2
        weights = [settings["level_weight"] ** level for level in range(levels)]
        value = khp.losses.HierProxyLoss(value, weights)
    if method.hier:
        value += settings["hier_weight"] * khp.losses.HIERLoss(max_triplets=256)
    return value


class Steps(keras.utils.PyDataset):
    """Epochs of `STEPS` batches, of data of any size."""

    def __init__(self, data, seed):
        super().__init__()
        batch = 2 * min(64, data.num_classes)
        self.batches = data.batches(
            batch, sampler="balanced", images_per_class=2, seed=seed
        )
        self.epoch = 0

    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        passes, index = divmod(self.epoch * STEPS + index, len(self.batches))
        self.batches.epoch = passes
        return self.batches[index]


class Experiment:
    """A data set's three parts, as features, and what may be done with which.

    Args:
        parts: `khp.datasets.Splits` of features.

    Raises:
        ValueError: if a class of the test is one to train or to tune on.
    """

    def __init__(self, parts):
        self.parts = parts
        self.refuse_test_classes(parts.train, "train")
        self.refuse_test_classes(parts.validation, "tune")
        # As a batch normalization of the training photos would, and no other's.
        features = parts.train.images.astype("float32")
        self.mean = features.mean(0)
        deviations = features.std(0)
        self.scale = 1 / (deviations + 0.1 * deviations.mean())

    def refuse_test_classes(self, data, doing):
        shared = set(data.class_names[0]) & set(self.parts.test.class_names[0])
        if shared:
            raise ValueError(
                f"{len(shared)} of the {data.num_classes} classes of {data.name!r}, "
                f"to {doing} on, are test classes: {', '.join(sorted(shared)[:5])}."
            )

    def scaled(self, data):
        """Data with its features as a head takes them."""
        features = (data.images.astype("float32") - self.mean) * self.scale
        return khp.datasets.RetrievalDataset(
            features, data.labels, data.class_names, data.level_names, data.name
        )

    @functools.lru_cache(1)  # noqa: B019 (as long as the script)
    def train_part(self, photos, classes):
        """A share of the photos of each class of a share of the classes."""
        rng = np.random.default_rng(0)
        data = self.parts.train
        kept = rng.permutation(data.num_classes)[: round(classes * data.num_classes)]
        data = data.select_classes(np.sort(kept), name=data.name)
        rows = []
        for label in range(data.num_classes):
            members = rng.permutation(np.flatnonzero(data.labels[:, 0] == label))
            rows += sorted(members[: max(1, round(photos * len(members)))])
        return self.scaled(data.subset(rows, data.name))

    @functools.cached_property
    def validation(self):
        return self.scaled(self.parts.validation)

    @functools.cached_property
    def test(self):
        return self.scaled(self.parts.test)

    def train(self, method, settings, seed, part=WHOLE):
        data = self.train_part(*part)
        self.refuse_test_classes(data, "train")
        keras.utils.set_random_seed(seed)
        head = build(method, settings, data.images.shape[1], data)
        head.fit(Steps(data, seed), epochs=EPOCHS, verbose=0)
        return head

    def tuning_scores(self, head):
        self.refuse_test_classes(self.validation, "tune")
        points = head.embed(self.validation.images, batch_size=1024)
        return khp.retrieval.evaluate(
            points,
            self.validation.labels[:, 0],
            k=1,
            metrics=("recall", TUNED_BY),
            geometry=head.geometry,
        )

    def test_scores(self, points, geometry=None):
        """Of some 2,000 of the photos, which retrieve from all."""
        geometry = geometry or khp.geometry.Sphere()
        labels, ids = self.test.labels, np.arange(len(self.test))
        queries = np.sort(np.random.default_rng(0).permutation(ids)[:QUERIES])
        scores = khp.retrieval.evaluate(
            points[queries],
            labels[queries],
            points,
            labels,
            k=1,
            metrics=("recall", "map@r", "ndcg", "asi", "h_ap"),
            geometry=geometry,
            query_ids=queries,
            gallery_ids=ids,
        )
        shared = levels_shared_by_first_wrong(points, labels, queries, geometry)
        return {**scores, "levels_shared": shared}


def levels_shared_by_first_wrong(points, labels, queries, geometry):
    """How many levels the nearest photo of another class has in common, on average.

    Args:
        points: float array `(n, d)`.
        labels: int array `(n, levels)`, finest first.
        queries: int array, rows that ask.
        geometry: where the points live.
    """
    asking, gallery = geometry.search_vectors(points[queries], points)
    shared = []
    for block in np.array_split(np.arange(len(queries)), -(-len(queries) // 500)):
        wanted = labels[queries[block]]
        similarity = asking[block] @ gallery.T
        similarity[wanted[:, :1] == labels[:, 0]] = -np.inf
        shared += list((wanted == labels[similarity.argmax(1)]).sum(1))
    return float(np.mean(shared))


class Results:
    """The lines of a file: each a run, found by what it is of."""

    KEY = ("data", "method", "kind", "number", "photos", "classes")

    def __init__(self, path):
        self.path = path
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        # Killed while it wrote, the script leaves part of a line.
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):
            files.write(path, "".join(whole))
        self.records = {self._key(each): each for each in map(json.loads, whole)}

    def _key(self, record):
        return tuple(record[name] for name in self.KEY)

    def get(self, **key):
        return self.records.get(self._key(key))

    def add(self, record):
        """Appends a run; one that is there already is never measured twice."""
        key = self._key(record)
        if key in self.records:
            raise ValueError(f"There is a result of {key} already.")
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self.records[key] = record

    def tuned(self, data, method):
        """The settings of the best trial, or None before the first."""
        trials = [
            each
            for each in self.records.values()
            if (each["data"], each["method"], each["kind"]) == (data, method, "trial")
        ]
        best = max(trials, key=lambda each: each["scores"][TUNED_BY], default=None)
        return best and best["settings"]


def tune(results, experiment, data, name, trials):
    method = METHODS[name]
    for trial in range(trials + 1):
        key = _key(data, name, "trial", trial)
        if results.get(**key):
            continue
        settings = draw(method, trial, experiment.parts.train.num_classes)
        began = time.monotonic()
        head = experiment.train(method, settings, seed=0)
        _record(results, key, settings, experiment.tuning_scores(head), began)


def test(results, experiment, data, name, seeds, part=WHOLE):
    settings = results.tuned(data, name)
    for seed in range(1, seeds + 1):
        key = _key(data, name, "test", seed, part)
        if results.get(**key):
            continue
        began = time.monotonic()
        head = experiment.train(METHODS[name], settings, seed, part)
        points = head.embed(experiment.test.images, batch_size=1024)
        scores = experiment.test_scores(points, head.geometry)
        _record(results, key, settings, scores, began)


def test_features(results, experiment, data):
    """The features without a head, as they are."""
    key = _key(data, "features alone", "test", 0)
    if not results.get(**key):
        began = time.monotonic()
        points = experiment.parts.test.images.astype("float32")
        _record(results, key, {}, experiment.test_scores(points), began)


def _key(data, method, kind, number, part=WHOLE):
    photos, classes = part
    return {
        "data": data,
        "method": method,
        "kind": kind,
        "number": number,
        "photos": photos,
        "classes": classes,
    }


def _record(results, key, settings, scores, began):
    seconds = round(time.monotonic() - began, 2)
    scores = {name: round(value, 5) for name, value in scores.items()}
    results.add({**key, "scores": scores, "settings": settings, "seconds": seconds})
    print(*key.values(), f"{scores['recall@1']:.3f}", seconds, flush=True)


def load(name, root):
    """The features of a data set, in three parts of disjoint classes."""
    if name == "fashion":
        parts = ("train", "validation", "test")
        return khp.datasets.Splits(
            **{part: features(name, part, root) for part in parts}
        )
    if name == "groceries":
        # The official parts share classes. Here, those of the training photos are
        # divided, coarse class by coarse class.
        return features(name, "train", root).split(0.25, 0.25, seed=1, level=1)
    # Letters that the backbone never saw: those of the preset's validation and test.
    letters = features(name, "validation", root).split(0.25, 0, level=1)
    return khp.datasets.Splits(
        letters.train, letters.validation, features(name, "test", root)
    )


def features(name, part, root):
    """A part of a data set, its photos as features, from the cache if it is there."""
    path = FOLDER / "features" / f"{name}-{part}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        data, embedder = photos_and_backbone(name, root)
        data = getattr(data, part)
        print(f"{path}: {len(data):,} photos", flush=True)
        names = json.dumps([list(each) for each in data.class_names])
        with files.replacing(path) as unfinished, unfinished.open("wb") as file:
            np.savez(
                file,
                features=pooled(embedder, data.images).astype("float16"),
                labels=data.labels,
                class_names=names,
                level_names=json.dumps(list(data.level_names)),
            )
    with np.load(path) as stored:
        return khp.datasets.RetrievalDataset(
            stored["features"],
            stored["labels"],
            [tuple(each) for each in json.loads(str(stored["class_names"]))],
            tuple(json.loads(str(stored["level_names"]))),
            f"{name}/{part}",
        )


@functools.lru_cache(1)
def photos_and_backbone(name, root):
    """The images of a data set, and the network whose pooled features are taken."""
    if name == "glyphs":
        preset, size = "hierproxy_cnn_glyphs", {}
        data = khp.datasets.load("glyphs")
    elif name == "fashion":
        preset, size = "efficientnet_lite0_imagenet", {"image_shape": (96, 96, 3)}
        # Of all 40,982 photos; decoded batch by batch, they take some 1.1 GB together.
        data = khp.datasets.load(
            "fashion_products", root=root, image_size=96, memory_limit=2 << 30
        )
    else:
        preset, size = "efficientnet_lite0_imagenet", {"image_shape": (128, 128, 3)}
        data = khp.datasets.load(
            "grocery_store", root=root, image_size=128, validation=0, test_split="val"
        )
    return data, khp.models.ImageEmbedder.from_preset(preset, num_classes=None, **size)


def pooled(embedder, images):
    """What the pooling of an embedder returns, float array `(n, c)`."""
    network = keras.Model(embedder.input, embedder.get_layer("pooler").output)
    prepare = embedder.preprocessor or (lambda batch: batch)
    return np.concatenate(
        [
            network.predict_on_batch(
                prepare(np.asarray(images[start : start + 128], "float32"))
            )
            for start in range(0, len(images), 128)
        ]
    )


def summarize(results, seeds, before=()):
    """The results in brief: of each method its settings, means and differences.

    Methods of which seeds are missing are left out, or stay as they were `before`, in
    an earlier summary.

    A difference is to the method that it is compared to, seed by seed: the mean, and
    half of its 95% interval by Student's t.
    """
    runs = collections.defaultdict(dict)
    for record in results.records.values():
        if record["kind"] == "test":
            runs[_place(record)][record["number"]] = record
    summary = []
    for (*where, name), by_seed in runs.items():
        if name in METHODS and len(by_seed) < seeds:
            continue
        entry = dict(zip(("data", "photos", "classes"), where, strict=True))
        entry |= {"method": name, "seeds": len(by_seed)}
        first = next(iter(by_seed.values()))
        entry["seconds"] = _mean([each["seconds"] for each in by_seed.values()], 2)
        entry["settings"] = {k: float(f"{v:.3g}") for k, v in first["settings"].items()}
        entry["means"] = {
            metric: _mean([each["scores"][metric] for each in by_seed.values()])
            for metric in first["scores"]
            if not metric.endswith(("num_queries", "num_excluded"))
        }
        against = METHODS[name].against if name in METHODS else None
        others = runs.get((*where, against), {})
        paired = sorted(by_seed.keys() & others.keys())
        if len(paired) > 1:
            entry["against"] = against
            entry["differences"] = {
                metric: _paired(
                    [
                        by_seed[seed]["scores"][metric] - others[seed]["scores"][metric]
                        for seed in paired
                    ]
                )
                for metric in entry["means"]
            }
        summary.append(entry)
    summary += _kept(before, {_place(each): each for each in summary})
    names = ["features alone", *METHODS]
    return sorted(
        summary,
        key=lambda each: (
            DATA.index(each["data"]),
            -each["photos"],
            -each["classes"],
            names.index(each["method"]),
        ),
    )


def _place(entry, method=None):
    where = (entry["data"], entry["photos"], entry["classes"])
    return *where, method or entry["method"]


def _kept(before, anew):
    """What was not run anew, and was compared to what runs alike again.

    Raises:
        ValueError: if its base has other means now than it was compared to.
    """
    kept = [each for each in before if _place(each) not in anew]
    for each in kept:
        base = anew.get(_place(each, each.get("against")))
        for metric, (gap, _) in each.get("differences", {}).items():
            # Three numbers that are rounded to four digits.
            if base and abs(each["means"][metric] - gap - base["means"][metric]) > 2e-4:
                raise ValueError(
                    f"{each['method']} on {each['data']} was compared to a "
                    f"{each['against']} with another {metric} than it has now. Run it, "
                    f"or delete it from {SUMMARY.name}."
                )
    return kept


def _mean(values, digits=4):
    return round(float(np.mean(values)), digits)


def _paired(gaps):
    half = stats.t.ppf(0.975, len(gaps) - 1) * stats.sem(gaps)
    return [_mean(gaps), round(float(half), 4)]


def print_tables(summary):
    """Of each data set, and of each part of it, means and differences."""
    tables = collections.defaultdict(list)
    for each in summary:
        tables[each["data"], each["photos"], each["classes"]].append(each)
    for (data, photos, classes), entries in tables.items():
        print(f"\n{data}, {photos:.0%} of the photos, {classes:.0%} of the classes\n")
        print("| | less |", " | ".join(SHOWN.values()), "|")
        print("|---" * (len(SHOWN) + 2) + "|")
        for each in entries:
            cells = [each.get("against", "")]
            for metric in SHOWN:
                cells.append(f"{each['means'][metric]:.3f}")
                if "differences" in each:
                    gap, half = each["differences"][metric]
                    cells[-1] += f" ({gap:+.3f} ± {half:.3f})"
            print(f"| {each['method']} |", " | ".join(cells), "|")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root")
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--summary", action="store_true", help="train nothing")
    args = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = Results(FOLDER / "results.jsonl")
    for data in () if args.summary else args.data:
        experiment = Experiment(load(data, args.root))
        test_features(results, experiment, data)
        for name in args.methods:
            tune(results, experiment, data, name, args.trials)
            test(results, experiment, data, name, args.seeds)
        for part in PARTS if data in PARTED else ():
            for name in ON_PARTS:
                if name in args.methods:
                    test(results, experiment, data, name, args.seeds, part)
    before = json.loads(SUMMARY.read_text()) if SUMMARY.exists() else []
    summary = summarize(results, args.seeds, before)
    files.write(SUMMARY, "[\n" + ",\n".join(map(json.dumps, summary)) + "\n]\n")
    print_tables(summary)


if __name__ == "__main__":
    main()
