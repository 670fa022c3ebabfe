"""What a gallery finds and answers, as what JSON can hold."""

import numpy as np

from keras_hierproxy.gallery.levels import answers_at


def plain_hits(hits):
    """The items that one query finds, nearest first.

    Args:
        hits: `Hits` of one query, arrays `(k,)`.

    Returns:
        list of dicts: `id`, `similarity`, `label` (a list of names, finest first, None
        for a level without one; empty without a label) and `path`.
    """
    return [
        {
            "id": int(i),
            "similarity": float(similarity),
            "label": list(as_tuple(label)),
            "path": path,
        }
        for i, similarity, label, path in zip(
            hits.ids, hits.similarities, hits.labels, hits.paths, strict=True
        )
        if i >= 0
    ]


def plain_answer(answer, gallery):
    """An answer, and how it came about at each level.

    Args:
        answer: `Answer`.
        gallery: the `khp.Gallery` that gave it.

    Returns:
        dict: `label`, `level`, `path` and `confidence` as of `Answer`; `level_name`;
        `hits` as of `plain_hits`; and `levels`, a dict for each, finest first: `name`,
        `label` of the nearest item there, its `score`, the `threshold` that it must
        reach (None where the level never answers), and whether it is `answered`.
    """
    hits, names = answer.hits, gallery.level_names
    labels = np.fromiter(map(_tuple_or_none, hits.labels), object, len(hits.labels))
    paths, scores = answers_at((hits.similarities[None], labels[None]), len(names))
    levels = [
        {
            "name": name,
            "label": path[0][0] if path[0] else None,
            "score": float(score[0]) if path[0] else None,
            "threshold": threshold.score,
            "answered": level == answer.level,
        }
        for level, (name, path, score, threshold) in enumerate(
            zip(names, paths, scores, gallery.thresholds, strict=True)
        )
    ]
    return {
        "label": answer.label,
        "level": answer.level,
        "level_name": None if answer.level is None else names[answer.level],
        "path": list(answer.path),
        "confidence": answer.confidence,
        "levels": levels,
        "hits": plain_hits(hits),
    }


def as_tuple(label):
    """A label of `Hits` as a tuple of names, finest first; empty without one."""
    return (label,) if isinstance(label, str) else label or ()


def _tuple_or_none(label):
    return as_tuple(label) or None
