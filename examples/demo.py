"""Trains an image embedder on the glyph set and shows what it learned.

Run it with `make demo`, or `python examples/demo.py`. Everything that it makes goes
to `runs/demo/`. Letters of the test split share no base letter with those that it
trains on.
"""

import json
import pathlib
import time

import keras
from rich.console import Console
from rich.table import Table

import keras_hierproxy as khp
from keras_hierproxy import pictures

EPOCHS = 8
OUTPUT = pathlib.Path("runs/demo")


def main():
    keras.utils.set_random_seed(0)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    console = Console()

    with console.status("Rendering the glyph set (once; cached afterwards) ..."):
        data = khp.datasets.load("glyphs")
    for split in (data.train, data.validation, data.test):
        console.print(split, highlight=False, soft_wrap=True)

    embedder = khp.models.ImageEmbedder(
        khp.models.conv4(), num_classes=data.train.num_classes
    )
    embedder.compile(loss=khp.losses.HierProxyLoss())

    before, _ = evaluate(embedder, data.test)
    start = time.time()
    console.print("Training. The loss rises when the hierarchy joins in, in epoch 3.")
    with console.status("Training ..."):
        history = embedder.fit(
            data.train.batches(128),
            epochs=EPOCHS,
            verbose=0,
            callbacks=[
                khp.callbacks.RetrievalEvaluation(data.validation),
                keras.callbacks.CSVLogger(OUTPUT / "history.csv"),
                keras.callbacks.LambdaCallback(on_epoch_end=print_epoch),
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
    (OUTPUT / "metrics.json").write_text(json.dumps(metrics, indent=2))
    pictures.plot_recall(history, OUTPUT / "recall.png", data.validation.level_names)
    pictures.plot_neighbors(data.test, points, OUTPUT / "neighbors.png")
    facts = [("trained on", f"{data.train.num_classes} other characters")]
    khp.report.write_report(
        OUTPUT / "report.html", data.test, points, after, facts=facts
    )

    console.print(recall_table(data.test, metrics["before"], metrics["after"]))
    console.print(
        f"{seconds:.0f} s of training on {keras.backend.backend()}. "
        f"Model, history, metrics and pictures: [bold]{OUTPUT}[/bold]. "
        f"To look at: [bold]{OUTPUT / 'report.html'}[/bold]"
    )


def evaluate(embedder, test):
    """Scores of letters never seen in training, and their embeddings."""
    points = embedder.embed(test.images)
    return khp.retrieval.score_queries(points, test.labels), points


def print_epoch(epoch, logs):
    print(
        f"epoch {epoch + 1}/{EPOCHS}  loss {logs['loss']:5.2f}  "
        f"Recall@1 on validation characters {logs['val_recall@1']:.3f}"
    )


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
