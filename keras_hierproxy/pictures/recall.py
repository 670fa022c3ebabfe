"""Recall over the epochs of a run."""

import math

import numpy as np

from keras_hierproxy.pictures.save import save
from keras_hierproxy.retrieval.result_names import ResultName

_COLOR = "#1b7837"


def plot_recall(history, path, level_names=("class",), prefix="val_", before=None):
    """Draws Recall@K after each epoch, a panel for each level of the labels.

    Args:
        history: dict of lists, as `fit(...).history`, with the names that
            `khp.callbacks.RetrievalEvaluation` logs.
        path: where to write the picture; its ending gives the format.
        level_names: names of the levels, finest first.
        prefix: that of the callback.
        before: dict, one number for each of these names, those before training, drawn
            as epoch 0; None where nobody measured them.

    Raises:
        ValueError: if the history holds no recall under these names.
    """
    from matplotlib.figure import Figure

    if before is not None:
        history = {name: [before[name], *history[name]] for name in before}
    levels = [
        (title, _recalls(history, prefix, level))
        for level, title in enumerate(level_names)
    ]
    levels = [(title, recalls) for title, recalls in levels if recalls]
    if not levels:
        raise ValueError(
            f"The history must hold {prefix}recall@K, which "
            f"`khp.callbacks.RetrievalEvaluation(..., prefix={prefix!r})` logs. "
            f"Received: {', '.join(history) or 'nothing'}."
        )
    # A good network's recall would else be a line at the top.
    lowest = min(min(values) for _, recalls in levels for values in recalls.values())
    bottom = max(0.0, math.floor(10 * lowest - 0.5) / 10)
    limits = (bottom, 1 + (1 - bottom) / 50)
    figure = Figure(figsize=(1 + 4 * len(levels), 3.4), layout="constrained")
    for axes, (title, recalls) in zip(
        figure.subplots(1, len(levels), sharey=True, squeeze=False)[0],
        levels,
        strict=True,
    ):
        for shade, (k, values) in zip(
            np.linspace(1.0, 0.35, len(recalls)), recalls.items(), strict=True
        ):
            epochs = np.arange(len(values)) + (before is None)
            label = f"K = {k}"
            axes.plot(epochs, values, "o-", ms=3, c=_COLOR, alpha=shade, label=label)
        axes.set_title(title, parse_math=False)
        axes.set(xlabel="epoch", ylabel=f"{prefix}recall@K", ylim=limits)
        axes.label_outer()
        # Whole epochs, also of a run of one.
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, reverse=True)
    save(figure, path, dpi=130)


def _recalls(history, prefix, level):
    """The lists of one level's Recall@K by K, ascending."""
    found = {}
    for name, values in history.items():
        result = ResultName.read(name.removeprefix(prefix))
        of_level = name.startswith(prefix) and result.level == level
        if of_level and result.metric == "recall" and result.k is not None:
            found[result.k] = values
    return dict(sorted(found.items()))
