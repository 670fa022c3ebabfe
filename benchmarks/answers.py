"""Are a gallery's answers as precise as promised, and what does its hierarchy add?

    python benchmarks/answers.py --root FOLDER [--data ...] [--methods ...]
                                 [--seeds 5] [--divisions 10] [--summary]

FOLDER, features and heads are those of `heads.py`, with the settings that it tuned,
from `benchmarks/heads.json`: features as they are, and heads trained without and with a
hierarchy. What is asked about are its test classes, which no head has seen.

A division leaves classes out of the gallery: one of the coarsest level, 15% of those of
each level between and 20% of the finest that are left. Photos of the others are
divided: up to 10 of a class, and no more than half, are in the gallery; the rest
calibrates or tests. Those of classes that were left out calibrate or test, photo by
photo ("the same"), or class by class ("others"): then no class that was left out is
among both. Nothing that is tested chose anything. Each seed trains a head, and makes
its own divisions, which all methods share.

Flat refusal, the baseline, answers with the class or not at all: it is the finest
level's threshold alone. The bits of a right answer are those of Deng et al., CVPR 2012:
log2 of the gallery's classes, less log2 of those that lie in the answer.

Every division is a line of `runs/answers/results.jsonl`. A killed script repeats none
that is there. At the end, or at once with `--summary`, tables are printed.
"""

import argparse
import collections
import functools
import json
import math
import pathlib
import warnings

import heads
import numpy as np
from scipy import stats

import keras_hierproxy as khp
from keras_hierproxy.gallery.thresholds import lower_bound

FOLDER = pathlib.Path("runs/answers")
ALONE = "features alone"
METHODS = (ALONE, "Proxy-Anchor", "HPL, taxonomy, over Proxy-Anchor")
PROMISES = (0.9, 0.95)
UNSEEN = ("the same", "others")
EACH = 10
CALIBRATE, TEST = 1000, 2000
# Shares of the classes of a level that are left out.
MIDDLE, FINEST = 0.15, 0.2
# No class that is most of the photos is left out.
LARGEST = 0.4
MISSES = ("checked", "below", "clearly below")


class Results(heads.Results):
    KEY = ("data", "method", "seed", "division", "unseen", "precision")


def divide(labels, unseen, seed):
    """Rows of the gallery, of calibration and of the test.

    Args:
        labels: int array `(n, levels)`, finest first.
        unseen: one of `UNSEEN`, what of the classes that are left out is in both.
        seed: of the division.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(labels))
    out = left_out(labels, rng)
    rest = rng.random(len(labels)) < 0.5  # who calibrates
    if unseen == "others":
        by_class = rng.permutation(labels[:, 0].max() + 1) % 2 == 0
        rest[out] = by_class[labels[out, 0]]
    gallery = np.zeros(len(labels), bool)
    for label in np.unique(labels[~out, 0]):
        members = rows[labels[rows, 0] == label]
        gallery[members[: min(EACH, math.ceil(len(members) / 2))]] = True
    queries = rows[~gallery[rows]]
    return (
        rows[gallery[rows]],
        queries[rest[queries]][:CALIBRATE],
        queries[~rest[queries]][:TEST],
    )


def left_out(labels, rng):
    """Which rows are of classes that the gallery has not, bool array `(n,)`."""
    out = np.zeros(len(labels), bool)
    coarsest = labels.shape[1] - 1
    for level in reversed(range(coarsest + 1)):
        there, counts = np.unique(labels[~out, level], return_counts=True)
        may = rng.permutation(there[counts < LARGEST * len(labels)])
        share = FINEST if level == 0 else MIDDLE
        count = 1 if level == coarsest else max(1, round(share * len(there)))
        out |= np.isin(labels[:, level], may[:count])
    return out


def measure(points, geometry, data, rows, precision):
    """What a gallery answers to the queries of a test.

    Returns:
        dict: `calibration`, for each level how many queries it had and answered, and
        how many rightly; `counts`, of each kind of query (the finest level at which it
        has a right answer, or "unknown") how often which answer came ("0 right",
        "1 wrong", "unknown"); `bits`, of right answers at each level; `known_bits`,
        those of the finest right answers that there are; `items` in the gallery.
    """
    names = np.array(khp.gallery.classes.names_of(data), object)
    gallery = khp.Gallery(geometry=geometry, dimension=points.shape[1])
    in_gallery, calibrating, testing = rows
    gallery.add(points=points[in_gallery], labels=list(map(tuple, names[in_gallery])))
    levels = range(names.shape[1])
    leaves = {tuple(row) for row in names[in_gallery]}
    paths = [collections.Counter(leaf[level:] for leaf in leaves) for level in levels]

    def truth(row):
        name = tuple(names[row])
        return name if name[-1:] in paths[-1] else None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a level has no threshold is counted
        thresholds = gallery.calibrate(
            points=points[calibrating],
            labels=list(map(truth, calibrating)),
            precision=precision,
        )
    answers = gallery.identify(points=points[testing])
    counts, bits = collections.defaultdict(collections.Counter), [0.0] * len(levels)
    possible = 0.0
    for row, answer in zip(testing, answers, strict=True):
        name = tuple(names[row])
        kinds = [level for level in levels if name[level:] in paths[level]]
        kind = str(kinds[0]) if kinds else "unknown"
        if kinds:
            under = paths[kinds[0]][name[kinds[0] :]]
            possible += math.log2(len(leaves) / under)
        if answer.level is None:
            counts[kind]["unknown"] += 1
            continue
        right = answer.path == name[answer.level :]
        counts[kind][f"{answer.level} {'right' if right else 'wrong'}"] += 1
        if right:
            under = paths[answer.level][answer.path]
            bits[answer.level] += math.log2(len(leaves) / under)
    return {
        "calibration": [
            {"queries": each.queries, "answered": each.answered, "right": each.right}
            for each in thresholds
        ],
        "counts": counts,
        "bits": [round(each, 3) for each in bits],
        "known_bits": round(possible, 3),
        "items": len(in_gallery),
    }


def run(results, experiment, data, method, seed, divisions):
    """All divisions of a head, which is trained if one of them is missing."""

    @functools.cache
    def embedded():
        if method == ALONE:
            points = experiment.parts.test.images.astype("float32")
            return points, khp.geometry.Sphere()
        head = experiment.train(heads.METHODS[method], settings(data, method), seed)
        return head.embed(experiment.test.images, batch_size=1024), head.geometry

    for division in range(divisions):
        for unseen in UNSEEN:
            rows = divide(experiment.test.labels, unseen, [seed, division])
            for precision in PROMISES:
                values = (data, method, seed, division, unseen, precision)
                key = dict(zip(Results.KEY, values, strict=True))
                if not results.get(**key):
                    found = measure(*embedded(), experiment.test, rows, precision)
                    results.add({**key, **found})
    print(data, method, seed, flush=True)


def settings(data, method):
    for entry in json.loads(heads.SUMMARY.read_text()):
        if (entry["data"], entry["method"]) == (data, method):
            if (entry["photos"], entry["classes"]) == heads.WHOLE:
                return entry["settings"]
    raise ValueError(f"`heads.py` has not tuned {method!r} on {data!r}.")


def figures(record):
    """Of a division: shares of the queries of its test, and how precise answers are."""
    counts, levels = record["counts"], range(len(record["bits"]))
    outcome = collections.Counter()
    for each in counts.values():
        outcome.update(each)
    total = outcome.total()
    right = [outcome[f"{level} right"] for level in levels]
    answered = [right[level] + outcome[f"{level} wrong"] for level in levels]
    unknown = collections.Counter(counts.get("unknown"))
    # Of each level that has answered: below what was promised, and clearly so, were
    # the answers drawn at random.
    missed = [
        (r / n < record["precision"], 1 - lower_bound(n - r, n) < record["precision"])
        for r, n in zip(right, answered, strict=True)
        if n
    ]
    return {
        **{f"level {level}": answered[level] / total for level in levels},
        "unknown": outcome["unknown"] / total,
        "flat right": right[0] / total,
        "right": sum(right) / total,
        "flat bits": record["bits"][0] / total,
        "bits": sum(record["bits"]) / total,
        "possible bits": record["known_bits"] / total,
        "can be right": 1 - unknown.total() / total,
        "refused": unknown["unknown"] / unknown.total() if unknown else math.nan,
        "precision": sum(right) / sum(answered) if missed else math.nan,
        "checked": len(missed),
        "below": sum(below for below, _ in missed),
        "clearly below": sum(clearly for _, clearly in missed),
    }


def summarize(results):
    """Means of each head over its divisions.

    Returns:
        dict from `(data, unseen, precision, method)` to dicts from a figure to an array
        of a value for each seed.
    """
    groups = collections.defaultdict(lambda: collections.defaultdict(list))
    for record in results.records.values():
        key = (record[n] for n in ("data", "unseen", "precision", "method"))
        groups[tuple(key)][record["seed"]].append(figures(record))
    summary = {}
    for key, seeds in sorted(groups.items()):
        found = [seeds[seed] for seed in sorted(seeds)]
        summary[key] = {
            name: np.array([np.nanmean([each[name] for each in f]) for f in found])
            for name in found[0][0]
        }
    return summary


def interval(values):
    """A mean and half of its 95% interval by Student's t, over seeds."""
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return f"{values.mean():.3f}" if len(values) else ""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f"{values.mean():.3f} ± {half:.3f}"


def print_tables(results):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no answer in any division
        summary = summarize(results)
    present = list(dict.fromkeys(key[:3] for key in summary))
    print("\n| data | left out | promised | precision | below | clearly below |")
    print("|---" * 6 + "|")
    for case in present:
        found = [each for key, each in summary.items() if key[:3] == case]
        sums = {n: sum(each[n].sum() for each in found) for n in found[0]}
        shares = [
            f"{sums[n] / sums['checked']:.1%}" for n in ("below", "clearly below")
        ]
        precision = interval(np.nanmean([each["precision"] for each in found], axis=0))
        print("|", " | ".join(map(str, (*case, precision, *shares))), "|")
    for data in heads.DATA:
        of_data = {key: each for key, each in summary.items() if key[0] == data}
        if not of_data:
            continue
        columns = [n for n in next(iter(of_data.values())) if n not in MISSES]
        print(f"\n| {data}: left out | promised | |", " | ".join(columns), "|")
        print("|---" * (len(columns) + 3) + "|")
        for (_, *case, method), each in of_data.items():
            cells = [interval(each[name]) for name in columns]
            print("|", " | ".join(map(str, (*case, method, *cells))), "|")
            base = of_data.get((data, *case, METHODS[1]))
            if method in METHODS[2:] and base is not None:
                cells = [interval(each[name] - base[name]) for name in columns]
                print("|", " | ".join(map(str, (*case, "difference", *cells))), "|")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root")
    parser.add_argument("--data", nargs="+", choices=heads.DATA, default=heads.DATA)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--divisions", type=int, default=10)
    parser.add_argument("--summary", action="store_true", help="train nothing")
    args = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = Results(FOLDER / "results.jsonl")
    for data in () if args.summary else args.data:
        experiment = heads.Experiment(heads.load(data, args.root))
        for seed in range(1, args.seeds + 1):
            for method in args.methods:
                run(results, experiment, data, method, seed, args.divisions)
    print_tables(results)


if __name__ == "__main__":
    main()
