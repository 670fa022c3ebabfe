"""Which classes are taken for which others, and how far apart these are."""

import dataclasses

import numpy as np

NUM_PAIRS = 100
# Of these an example is shown.
NUM_EXAMPLES = 12


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs of a query's class and the class of its wrong first neighbour.

    All are arrays `(pairs,)`, the most frequent pair first.

    Attributes:
        classes: int, class of the query.
        others: int, class of its first neighbour, -1 if it has none.
        counts: int, queries that took one for the other.
        examples: int, of these the query most similar to its neighbour, as index of
            `Search.queries`.
    """

    classes: np.ndarray
    others: np.ndarray
    counts: np.ndarray
    examples: np.ndarray


@dataclasses.dataclass(frozen=True)
class Confusion:
    """A pair as the page shows it; `crossed` has an entry for each coarser level,
    the names of both super-classes."""

    name: str
    other: str
    count: int
    queries: int
    crossed: list
    example: tuple | None

    @property
    def share(self):
        return self.count / self.queries


def count_pairs(search):
    """The `Pairs` of a `Search`, of all queries that could be right and are not."""
    queries = search.wrong.nonzero()[0]
    # By similarity, so that the first of each pair is its clearest example.
    queries = queries[np.argsort(-search.similarities[queries, 0], kind="stable")]
    num_others = search.data.num_classes + 1
    codes = search.classes[queries].astype("int64") * num_others
    codes += search.first_classes[queries] + 1
    codes, first, counts = np.unique(codes, return_index=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    classes, others = np.divmod(codes[order], num_others)
    return Pairs(classes, others - 1, counts[order], queries[first[order]])


def show_confusions(search, pairs, picture):
    """The most frequent pairs as a list of `Confusion`, the first with examples."""
    # A last row, of what has no class, is in none of the coarser ones.
    taxonomy = np.pad(search.data.taxonomy, ((0, 1), (0, 0)), constant_values=-1)
    queries = np.bincount(
        search.classes[search.counted], minlength=search.data.num_classes
    )
    confusions = []
    for i, (a, b, count, example) in enumerate(
        zip(
            pairs.classes[:NUM_PAIRS], pairs.others[:NUM_PAIRS],
            pairs.counts[:NUM_PAIRS], pairs.examples[:NUM_PAIRS], strict=True,
        )
    ):  # fmt: skip
        images = None
        if i < NUM_EXAMPLES:
            rows = search.queries[example], search.neighbors[example, 0]
            images = tuple(picture(row) for row in rows)
        crossed = [
            (names[parents[a]], names[parents[b]], parents[a] != parents[b])
            for names, parents in zip(search.names[1:], taxonomy.T, strict=True)
        ]
        confusions.append(
            Confusion(
                search.names[0][a], search.names[0][b], int(count), int(queries[a]),
                crossed, images,
            )
        )  # fmt: skip
    return confusions


def shares_within(search):
    """Of each coarser level, how many of the wrong first neighbours stay within it.

    Returns:
        List of `(level name, share, expected share)`; the last is that of a neighbour
        drawn at random from the other classes of the gallery. A level is left out in
        which no error could stay, as every class has a coarser one for itself.
    """
    data = search.data
    own = data.labels[search.queries[search.wrong]]
    first = data.labels[search.neighbors[search.wrong, 0]]
    gallery = data.labels[search.gallery]
    sizes = [
        np.bincount(level[level >= 0], minlength=len(names))
        for level, names in zip(gallery.T, data.class_names, strict=True)
    ]
    in_class = sizes[0][own[:, 0]]
    shares = []
    for level in range(1, data.num_levels):
        others = sizes[level][own[:, level]] - in_class
        expected = (others / (len(gallery) - in_class)).mean()
        if not others.any():
            continue
        within = (own[:, level] == first[:, level]).mean()
        shares.append((data.level_names[level], float(within), float(expected)))
    return shares
