"""What the hits of a query say at each level: an answer, and how clear it is."""

import numpy as np

# More tell little: classes have few items among the nearest.
NEAREST = 20


def answers_at(hits, num_levels):
    """Of each level, what the nearest item says of each query.

    The score of an answer is `s + (s - o)`: how near the nearest item is, and how much
    nearer than the nearest one of another class, with s and o their similarities. Where
    all hits are of one class, o is that of the last. On coarser levels fewer items are
    of another class, so that scores grow.

    Args:
        hits: similarities `(n, k)`, and labels `(n, k)` of tuples of names or None.
        num_levels: int.

    Returns:
        `(paths, scores)`: for each level a list of `n` tuples of names from that level
        upwards, or None; and a float array `(n,)`, minus infinity for None.
    """
    similarities, labels = hits
    paths = [[None] * len(labels) for _ in range(num_levels)]
    scores = np.full((num_levels, len(labels)), -np.inf)
    for query, (near, names) in enumerate(zip(similarities, labels, strict=True)):
        found = np.isfinite(near)
        if not found.any() or names[0] is None:
            continue
        for level in range(num_levels):
            path = names[0][level:]
            if path[0] is None:
                continue
            others = [
                s
                for s, label in zip(near[found], names[found], strict=True)
                if label is None or label[level:] != path
            ]
            other = others[0] if others else near[found][-1]
            paths[level][query] = path
            scores[level, query] = 2.0 * near[0] - other
    return paths, scores
