"""Exact nearest neighbours by cosine or hyperbolic distance, in bounded memory.

faiss or an accelerator multiplies and selects; this module adds what an evaluation
relies on: a query that never finds itself, ties by index, float64 ranks where float32
cannot tell neighbours apart, and blocks small enough that memory grows with the rows
and not with their square.
"""

import functools

import numpy as np
from rich.console import Console

from keras_hierproxy import checks
from keras_hierproxy.geometry import check_geometry
from keras_hierproxy.labels import as_array
from keras_hierproxy.progress import WorkBar
from keras_hierproxy.retrieval.exclusions import find_exclusions
from keras_hierproxy.retrieval.products import FaissProducts, inner_products

# What one block of queries may hold: rows, and neighbours (rows * k). The second
# bounds the working memory to some 100 MB however deep the ranking goes.
BLOCK_ROWS = 4096
BLOCK_NEIGHBORS = 1 << 20
# Products of one block, which bounds the time between two signs of progress.
BLOCK_PRODUCTS = 1 << 31
# Coordinates of the gallery that become search vectors at a time.
BLOCK_GALLERY = 1 << 22

# Where float64 ranks anew: candidates to begin with, per neighbour, and coordinates
# of theirs at a time, few enough to stay in the processor's cache.
CANDIDATES = 4
BLOCK_COORDINATES = 1 << 17

# Where rows are excluded, so many more are fetched to begin with, or as many as are
# wanted: those of a query's group are its nearest, but a camera's are not.
MARGIN = 32

# Up to this many neighbours, leave-one-out multiplies each pair of rows once, not
# twice, and keeps all lists at once (12 bytes a neighbour): deeper, lists would
# outgrow the data, and faiss's block search selects faster anyway.
WITHIN_NEIGHBORS = 100
# Rows and columns of its tiles. No power of two, which would transpose at a third of
# the speed: a column's elements would share a cache set.
TILE = 2000


class PreparedGallery:
    """Points as they are searched, for any number of searches.

    Args:
        points: float array `(m, d)` of points, finite; may be a memory-mapped file.
        geometry: where they live.

    Attributes:
        vectors: float32 array `(groups, v)`, the search vectors of rows that differ.
        members, starts, counts: which rows are equal; see `_group_identical`.
        group_of: int64 array `(m,)`, in which group each row is.
    """

    def __init__(self, points, geometry):
        self.points, self.geometry = points, geometry
        ranks_anew = geometry.exact_distance is not None
        vectors = self._search_vectors()
        # Identical rows are searched once and fanned out afterwards: a collapsed
        # embedding stays fast, and rounding cannot order its rows at random.
        self.members, self.starts, self.counts = _group_identical(
            np.ascontiguousarray(points) if ranks_anew else vectors
        )
        if len(self.starts) < len(vectors):
            vectors = vectors[self.members[self.starts]]
        self.vectors = vectors
        self.group_of = np.empty(len(points), dtype="int64")
        self.group_of[self.members] = np.repeat(
            np.arange(len(self.starts)), self.counts
        )

    @functools.cached_property
    def products(self):
        # What ranks anew relies on the bounds of float32 products.
        ranks_anew = self.geometry.exact_distance is not None
        return (FaissProducts if ranks_anew else inner_products)(self.vectors)

    def _search_vectors(self):
        none = self.points[:0]
        _, first = self.geometry.search_vectors(none, self.points[:1])
        vectors = np.empty((len(self.points), first.shape[1]), "float32")
        step = max(1, BLOCK_GALLERY // vectors.shape[1])
        for start in range(0, len(vectors), step):
            rows = slice(start, start + step)
            _, vectors[rows] = self.geometry.search_vectors(none, self.points[rows])
        return vectors


class NeighborSearch:
    """Nearest neighbours of `queries` in `gallery`, as many as each query needs.

    Input is checked here, before any search; see `knn` for the arguments and the
    conventions. `gallery` may be a `PreparedGallery`, with its geometry. `keys` are the
    ids and groups.
    """

    def __init__(self, queries, gallery, geometry, verbose=False, **keys):
        self.queries = check_embeddings(queries, "queries")
        self.leave_one_out = gallery is None
        given, prepared = gallery, isinstance(gallery, PreparedGallery)
        if self.leave_one_out:
            gallery = self.queries
        elif prepared:
            geometry, gallery = gallery.geometry, gallery.points
        else:
            gallery = check_embeddings(gallery, "gallery")
        if gallery.shape[1] != self.queries.shape[1]:
            raise ValueError(
                "queries and gallery must have the same number of dimensions. "
                f"Received: queries of shape {self.queries.shape}, gallery of "
                f"shape {gallery.shape}. Embed both with the same model."
            )
        self.gallery = gallery
        size = None if self.leave_one_out else len(gallery)
        self.exclusions = find_exclusions(len(self.queries), size, **keys)
        self.geometry = geometry = check_geometry(geometry)
        self.num_available = len(gallery) - int(self.leave_one_out)
        self.ranks_anew = geometry.exact_distance is not None
        self.candidates = CANDIDATES if self.ranks_anew else 1
        if self.ranks_anew:
            geometry.check_points(self.queries, "queries")
        self.prepared = given if prepared else PreparedGallery(gallery, geometry)
        self.vectors, self.group_of = self.prepared.vectors, self.prepared.group_of
        self.members, self.starts = self.prepared.members, self.prepared.starts
        self.counts = self.prepared.counts
        self.found_within = None
        self.verbose = verbose

    @property
    def products(self):
        return self.prepared.products

    def check_k(self, k):
        """Raises unless `k` neighbours can be had, before any time is spent."""
        checks.integer("k", k, least=1)
        if k > self.num_available:
            scope = (
                f"leave-one-out over {len(self.queries)} rows offers each query"
                if self.leave_one_out
                else "the gallery has"
            )
            raise ValueError(
                f"k={k} is larger than the gallery: {scope} {self.num_available} "
                "row(s). Pass a smaller k or a larger gallery."
            )

    def __call__(self, depths):
        """Searches queries, each at least `depths` (n,) neighbours deep, 0 for none.

        Yields:
            `(rows, indices, similarities)`: a block of queries, and `(len(rows), k)`
            of their neighbours, as in `knn`.
        """
        deep = depths if self.exclusions is None else self._deep_enough(depths)
        fetch = self._first_fetch(deep.max() + 1)
        within = self.leave_one_out and fetch <= WITHIN_NEIGHBORS
        with self.progress("Searching") as progress:
            if within and self.products.on_host:
                self.found_within = self._search_within(
                    int(min(fetch, len(self.vectors))), progress
                )
            for rows, candidates in self._blocks(self.candidates * deep):
                k = candidates // self.candidates
                if self.exclusions is not None:
                    yield rows, *self._allowed(rows, depths[rows].max(), k)
                elif self.leave_one_out:
                    yield rows, *self._others(rows, k)
                else:
                    yield rows, *self._nearest(rows, k, self._first_fetch(k))
                if self.found_within is None:
                    progress.advance(len(rows))

    def similarities(self, rows, indices):
        """Those of queries `rows` to gallery rows `indices`, `(len(rows), k)`.

        As the search finds them: float32, minus infinity at the index -1.
        """
        if self.ranks_anew:
            queries = self.queries[rows][:, None]
            found = -self.geometry.exact_distance(queries, self.gallery[indices])
        else:
            vectors = self.vectors[self.group_of[indices]]
            found = np.einsum("qd,qkd->qk", self.query_vectors(rows), vectors)
        return np.where(indices < 0, -np.inf, found).astype("float32")

    def progress(self, doing):
        """A `WorkBar` of the queries."""
        what = f"{len(self.queries):,} queries among {self.num_available:,} rows"
        console = Console(stderr=True, quiet=not self.verbose)
        return WorkBar(console, len(self.queries), f"{doing} {what}")

    def _blocks(self, depths):
        return query_blocks(depths, max(1, BLOCK_PRODUCTS // len(self.gallery)))

    def _first_fetch(self, k):
        return self.candidates * k + 1

    def _deep_enough(self, depths):
        """How many neighbours to fetch, so that `depths` are left as a rule."""
        excluded = len(self.gallery) - self.exclusions.num_left
        margin = np.minimum(excluded, np.maximum(depths, MARGIN))
        return np.where(depths > 0, np.minimum(depths + margin, len(self.gallery)), 0)

    def _allowed(self, rows, k, deep):
        """The `k` best that are not excluded, out of the `deep` best of all.

        If these are too few, out of twice as many.
        """
        found = self._nearest(rows, deep, self._first_fetch(deep))
        excluded = self.exclusions.among(rows, found[0])
        order = np.argsort(excluded, axis=1, kind="stable")[:, :k]
        indices, similarities = (np.take_along_axis(x, order, axis=1) for x in found)
        num_found = (~excluded).sum(axis=1)
        past = np.arange(k) >= num_found[:, None]
        indices[past], similarities[past] = -1, -np.inf
        wanted = np.minimum(k, self.exclusions.num_left[rows])
        short = np.flatnonzero(num_found < wanted)
        deeper = min(2 * deep, len(self.gallery))
        for block, _ in self._blocks(np.full(len(short), self.candidates * deeper)):
            again = short[block]
            indices[again], similarities[again] = self._allowed(rows[again], k, deeper)
        return indices, similarities

    def _others(self, rows, k):
        indices, similarities = self._nearest(rows, k + 1, self._first_fetch(k + 1))
        others = indices != rows[:, None]
        # A query that more than k identical rows precede is not in its own list.
        others[others.all(axis=1), -1] = False
        shape = len(rows), k
        return indices[others].reshape(shape), similarities[others].reshape(shape)

    def _nearest(self, rows, k, fetch):
        """The `k` best by (similarity, index), from `fetch` distinct gallery rows.

        faiss picks any of those that tie at the last place, so more places than
        needed are fetched, and where the tie reaches the last of them too, twice as
        many. Where float64 ranks anew, all that float32 may have confused are tied.
        """
        fetch = min(fetch, len(self.vectors))
        indices, similarities, cut_off = self._best_fetched(rows, k, fetch)
        for block, deeper in self._blocks(np.full(len(cut_off), 2 * fetch)):
            tied = cut_off[block]
            indices[tied], similarities[tied] = self._nearest(rows[tied], k, deeper)
        return indices, similarities

    def _best_fetched(self, rows, k, fetch):
        """The `k` best of those fetched, and which queries need more fetched."""
        similarities, groups = self._fetch(rows, fetch)
        counts, floor = self._first_k(similarities, groups, k)
        if self.ranks_anew:
            vectors = self.query_vectors(rows), self.vectors
            floor = self.geometry.search_floor(*vectors, floor)
        cut_off = (similarities[:, -1] >= floor) & (fetch < len(self.vectors))
        if self.ranks_anew:
            needed = similarities >= floor[:, None]
            needed[cut_off, k:] = False  # these come again: here any k will do
            similarities, groups = self._rank_anew(rows, groups, needed)
            counts, _ = self._first_k(similarities, groups, k)
        indices, similarities = self._fan_out(groups, similarities, counts, k)
        return indices, similarities, np.flatnonzero(cut_off)

    def _first_k(self, similarities, groups, k):
        """How many rows of each group may be among the first `k`, and the `k`-th's
        similarity."""
        counts = np.minimum(self.counts[groups], k)
        rank_k = (counts.cumsum(axis=1) >= k).argmax(axis=1)
        similarity_k = similarities[np.arange(len(groups)), rank_k]
        counts[similarities < similarity_k[:, None]] = 0
        return counts, similarity_k

    def _rank_anew(self, rows, groups, needed):
        """Similarities, as negative float64 distances, and groups, nearest first.

        Those of groups that are not `needed` are minus infinity.
        """
        query, place = np.nonzero(needed)
        member = self.members[self.starts[groups[query, place]]]
        similarities = np.full(groups.shape, -np.inf)
        step = max(1, BLOCK_COORDINATES // self.gallery.shape[1])
        for start in range(0, len(query), step):
            pairs = slice(start, start + step)
            similarities[query[pairs], place[pairs]] = -self.geometry.exact_distance(
                self.queries[rows[query[pairs]]], self.gallery[member[pairs]]
            )
        order = np.argsort(-similarities, axis=1)
        similarities = np.take_along_axis(similarities, order, axis=1)
        return similarities, np.take_along_axis(groups, order, axis=1)

    def _fetch(self, rows, fetch):
        """Similarities and groups of the `fetch` best groups, in any order of ties."""
        if self.found_within is not None and fetch <= self.found_within[0].shape[1]:
            group = self.group_of[rows]
            return tuple(found[group, :fetch] for found in self.found_within)
        return self.products.best(self.query_vectors(rows), fetch)

    def _search_within(self, k, progress):
        """The `k` best groups of every group, from each product taken once.

        The similarity of two points is the same the other way round, whatever the
        geometry: the tiles on one side of the diagonal say it all.
        """
        import faiss

        n, dim = self.vectors.shape
        best = faiss.ResultHeap(n, k, keep_max=True)

        def add(similarities, row, column):
            rows, columns = similarities.shape
            best.heaps.addn(columns, faiss.swig_ptr(similarities), column, row, rows)

        for column in range(0, n, TILE):
            groups = slice(column, column + TILE)
            queries = self.query_vectors(self.members[self.starts[groups]])
            # The product by faiss too: its threads and NumPy's would keep each other
            # waiting at every change, some 15 ms a tile.
            product = faiss.LinearTransform(dim, len(queries))
            faiss.copy_array_to_vector(queries.ravel(), product.A)
            product.is_trained = True
            for row in range(0, column + 1, TILE):
                similarities = product.apply(self.vectors[row : row + TILE])
                add(similarities, row, column)
                if row < column:
                    add(np.ascontiguousarray(similarities.T), column, row)
            # Of a triangle, after so many columns.
            done = min(column + TILE, n)
            progress.set(len(self.queries) * (done / n) ** 2)
        best.finalize()
        return best.D, best.I

    def query_vectors(self, rows):
        vectors, _ = self.geometry.search_vectors(self.queries[rows], self.queries[:0])
        return np.ascontiguousarray(vectors)

    def _fan_out(self, groups, similarities, counts, k):
        """The first `counts` rows of every group, ties by index, cut at `k`."""
        lengths = counts.ravel()
        ends = lengths.cumsum()
        within = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
        indices = self.members[np.repeat(self.starts[groups], lengths) + within]
        similarities = np.repeat(similarities, lengths)
        per_query = counts.sum(axis=1)
        query = np.repeat(np.arange(len(groups)), per_query)

        same = (similarities[1:] == similarities[:-1]) & (query[1:] == query[:-1])
        tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
        by_index = np.lexsort((indices[tied], -similarities[tied], query[tied]))
        indices[tied] = indices[tied[by_index]]

        best = (per_query.cumsum() - per_query)[:, None] + np.arange(k)
        return indices[best], similarities[best]


def query_blocks(depths, most_rows):
    """Cuts queries that want `depths` (n,) neighbours into blocks of bounded size.

    Deep queries come first and share blocks: those of one giant class cost the
    others nothing. Those that want none are left out.

    Yields:
        `(rows, k)`: indices of queries, and the greatest depth among them.
    """
    order = np.argsort(-depths, kind="stable")
    start = 0
    while start < np.count_nonzero(depths):
        k = int(depths[order[start]])
        size = min(BLOCK_ROWS, most_rows, max(1, BLOCK_NEIGHBORS // k))
        rows = order[start : start + size]
        yield rows, k
        start += len(rows)


def _group_identical(vectors):
    """Groups rows that are equal bit for bit.

    Returns:
        `(members, starts, counts)`: row indices, group after group and ascending
        within each; where each group starts in `members`; and its size.
    """
    num_bytes = vectors.shape[1] * vectors.itemsize
    order = np.argsort(vectors.view(f"V{num_bytes}").ravel(), kind="stable")
    # Comparing whole rows only where the first component agrees saves copies.
    same = vectors[order[1:], 0] == vectors[order[:-1], 0]
    pairs = np.flatnonzero(same)
    same[pairs] = (vectors[order[pairs + 1]] == vectors[order[pairs]]).all(axis=1)
    if not same.any():
        rows = np.arange(len(vectors))
        return rows, rows, np.ones_like(rows)
    starts = np.flatnonzero(np.append(True, ~same))
    return order, starts, np.diff(starts, append=len(vectors))


def check_embeddings(x, name):
    """Points or vectors as an array `(n, d)` of finite numbers, or a `ValueError`."""
    masked = np.ma.is_masked(x)
    x = as_array(x, name)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(
            f"{name} must be a non-empty array of shape (rows, dimensions). "
            f"Received: an array of shape {x.shape}."
        )
    # Casting tells right of bfloat16 too, which is none of NumPy's own kinds.
    real = np.can_cast(x.dtype, "longdouble") and x.dtype.kind != "m"
    if masked or not real:
        raise ValueError(
            f"{name} must be real numbers, none of them masked. Received: "
            f"{'a masked' if masked else 'an'} array of dtype {x.dtype}."
        )
    # Extremes propagate NaN and infinity, and take no (rows, dimensions) mask.
    finite = np.isfinite(x.max(axis=1)) & np.isfinite(x.min(axis=1))
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise ValueError(
            f"{name} must be finite. Received: NaN or infinity in {len(bad)} of "
            f"{len(x)} rows, the first of them row {bad[0]}. Did training diverge? "
            "Lower the learning rate, or drop these rows and their labels."
        )
    return x
