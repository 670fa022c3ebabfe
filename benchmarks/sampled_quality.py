"""Does drawing classes cost quality? Heads on frozen features, dense and sampled.

    python benchmarks/sampled_quality.py --root FOLDER [--data glyphs fashion]
                                         [--seeds 5]

The features, the head and its training are those of `heads.py`, with the library's
defaults. Of C classes a quarter, or a sixteenth, is drawn in each step, but no fewer
than a batch has; with the correction of `SampledProxies` and without. Recall@1 and
MAP@R on validation classes, mean and standard deviation over seeds.
"""

import argparse

import keras
import numpy as np
from heads import DIMENSION, EPOCHS, STEPS, Experiment, Steps, load

import keras_hierproxy as khp

LOSSES = ("NormalizedSoftmaxLoss", "ProxyAnchorLoss")
SHARES = (1, 4, 16)


def scores(experiment, loss, share, correction, seed):
    train = experiment.train_part(1.0, 1.0)
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((train.images.shape[1],))
    x = keras.layers.Dense(DIMENSION, name="head")(inputs)
    if share == 1:
        layer = khp.layers.Proxies(train.num_classes)
    else:
        drawn = max(64, train.num_classes // share)
        layer = khp.layers.SampledProxies(
            train.num_classes, drawn, correction=correction
        )
    head = khp.models.EmbeddingModel(inputs, layer(x))
    schedule = keras.optimizers.schedules.CosineDecay(1.0, EPOCHS * STEPS)
    optimizer = khp.optimizers.grouped(head, head=1e-3, schedule=schedule)
    head.compile(optimizer, getattr(khp.losses, loss)())
    head.fit(Steps(train, seed), epochs=EPOCHS, verbose=0)
    result = experiment.tuning_scores(head)
    return result["recall@1"], result["map@r"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root")
    parser.add_argument("--data", nargs="+", default=["glyphs", "fashion"])
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=LOSSES)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    print("| data | loss | drawn | correction | Recall@1 | MAP@R |")
    print("|---|---|---|---|---|---|")
    for data in args.data:
        experiment = Experiment(load(data, args.root))
        for loss in args.losses:
            for share in SHARES:
                for correction in (True, False) if share > 1 else (None,):
                    found = [
                        scores(experiment, loss, share, correction, seed)
                        for seed in range(args.seeds)
                    ]
                    means, deviations = np.mean(found, 0), np.std(found, 0, ddof=1)
                    cells = [
                        f"{mean:.3f} +- {deviation:.3f}"
                        for mean, deviation in zip(means, deviations, strict=True)
                    ]
                    drawn = "all" if share == 1 else f"1/{share}"
                    known = "" if correction is None else correction
                    row = (data, loss, drawn, known, *cells)
                    print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
