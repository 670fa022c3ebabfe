"""Fine-tunes a preset on the glyph set and shows what it knows of other letters.

    python examples/demo.py                  # as `make demo`
    python examples/demo.py --from-scratch   # make demo ARGS=--from-scratch

The preset is a network that this project trained on the same characters, with its
proxies and their hierarchy. Two more epochs show what training looks like, in a third
of the time of training from scratch. Everything that it makes goes to `runs/demo/`.
Letters of the test split share no base letter with those that were trained on.
"""

import argparse
import pathlib
import time

import keras
from rich.console import Console
from rich.table import Table

import keras_hierproxy as khp
from keras_hierproxy import files, pictures

PRESET = "hierproxy_cnn_glyphs"
OUTPUT = pathlib.Path("runs/demo")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--from-scratch",
        action="store_true",
        help="train a new network for 8 epochs instead",
    )
    from_scratch = parser.parse_args().from_scratch
    keras.utils.set_random_seed(0)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    console = Console()

    with console.status("Rendering the glyph set (once; cached afterwards) ..."):
        data = khp.datasets.load("glyphs")
    for split in (data.train, data.validation, data.test):
        console.print(split, highlight=False, soft_wrap=True)

    if from_scratch:
        embedder, epochs, augment = new_network(data.train.num_classes), 8, None
        console.print(
            "Training. In epoch 3 the hierarchy joins in, and the loss rises."
        )
    else:
        # As the preset was trained: with letters that are turned and stretched.
        embedder, epochs, augment = pretrained_network(), 2, khp.datasets.RandomAffine()
        console.print(f"Fine-tuning the preset {PRESET}.", highlight=False)
    before, _ = evaluate(embedder, data.test)
    start = time.time()
    with console.status("Training ..."):
        history = embedder.fit(
            data.train.batches(128, augment=augment),
            epochs=epochs,
            verbose=0,
            callbacks=[
                khp.callbacks.RetrievalEvaluation(data.validation),
                keras.callbacks.CSVLogger(OUTPUT / "history.csv"),
                keras.callbacks.LambdaCallback(
                    on_epoch_end=lambda epoch, logs: print(
                        f"epoch {epoch + 1}/{epochs}  loss {logs['loss']:5.2f}  "
                        "Recall@1 on validation characters "
                        f"{logs['val_recall@1']:.3f}"
                    )
                ),
            ],
        ).history
    seconds = time.time() - start
    after, points = evaluate(embedder, data.test)

    embedder.save(OUTPUT / "model.keras")
    metrics = {
        "before": before.means(),
        "after": after.means(),
        "training_seconds": round(seconds, 1),
    }
    files.write_json(OUTPUT / "metrics.json", metrics)
    pictures.plot_recall(history, OUTPUT / "recall.png", data.validation.level_names)
    pictures.plot_neighbors(data.test, points, OUTPUT / "neighbors.png", scores=after)
    facts = [
        ("network", "Conv-4 from scratch" if from_scratch else f"{PRESET}, fine-tuned"),
        ("trained on", f"{data.train.num_classes} other characters"),
    ]
    khp.report.write_report(
        OUTPUT / "report.html", data.test, points, after, facts=facts
    )

    console.print(recall_table(data.test, metrics["before"], metrics["after"]))
    console.print(
        f"{seconds:.0f} s of training on {keras.backend.backend()}. "
        f"Model, history, metrics and pictures: [bold]{OUTPUT}[/bold]. "
        f"To look at: [bold]{OUTPUT / 'report.html'}[/bold]"
    )


def new_network(num_classes):
    """A Conv-4 with random weights."""
    embedder = khp.models.ImageEmbedder(khp.models.conv4(), num_classes=num_classes)
    embedder.compile(loss=khp.losses.HierProxyLoss())
    return embedder


def pretrained_network():
    """The preset, at a tenth of the rates that train from scratch."""
    embedder = khp.models.ImageEmbedder.from_preset(PRESET)
    optimizer = khp.optimizers.grouped(embedder, backbone=1e-4, head=1e-4, proxies=1e-3)
    embedder.compile(optimizer, loss=khp.losses.HierProxyLoss())
    return embedder


def evaluate(embedder, test):
    """Scores of letters never seen in training, and their embeddings."""
    points = embedder.embed(test.images)
    return khp.retrieval.score_queries(points, test.labels), points


def recall_table(test, before, after):
    title = f"Letters never seen in training ({len(test):,} queries)"
    table = Table("level", "", "Recall@1", "@2", "@4", "@8", title=title)
    for level, name in enumerate(test.level_names):
        prefix = f"level{level}_" if level else ""
        for moment, recall in (("before", before), ("after", after)):
            values = [f"{recall[f'{prefix}recall@{k}']:.3f}" for k in (1, 2, 4, 8)]
            table.add_row(name if recall is before else "", moment, *values)
        table.add_section()
    return table


if __name__ == "__main__":
    main()
