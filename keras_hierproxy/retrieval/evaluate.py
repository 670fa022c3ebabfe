"""Retrieval evaluation: embeddings and labels in, a dictionary of numbers out."""

from keras_hierproxy import checks
from keras_hierproxy.geometry import Sphere
from keras_hierproxy.retrieval.catalog import USUAL
from keras_hierproxy.retrieval.scores import AVERAGES, score_queries


def evaluate(
    queries,
    query_labels,
    gallery=None,
    gallery_labels=None,
    k=(1, 2, 4, 8),
    metrics=USUAL,
    geometry=Sphere(),  # noqa: B008 (immutable)
    query_ids=None,
    gallery_ids=None,
    groups=None,
    gallery_groups=None,
    average="query",
    verbose=False,
):
    """Retrieval metrics of embeddings, at every level of their labels.

    Conventions: a query never retrieves itself; ties go by index; a query
    without a positive in the gallery is left out of the means and counted in
    `num_excluded` (if no query has one, the means are NaN); every other query
    weighs the same. Each metric's definition stands at its function in
    `retrieval`.

    The label -1 is a distractor: it matches nothing, and is no query. With several
    levels a row may be -1 on its finest levels only: its class is unknown there, and
    it counts on the coarser ones. On the finer ones it is excluded.

    Rows that ids or groups leave out of a query's ranking are neither ranked nor
    counted as its positives. If fewer than K rows are left, the ranks past the last
    one count as no hit.

    One search serves all metrics and levels. R-Precision and MAP@R need as many
    neighbours as a query has positives, which on coarse levels can be thousands:
    queries are grouped by that number and searched in blocks, so memory stays
    linear in the rows. Without those two, only `max(k)` neighbours are fetched.
    MAP, MRR, NDCG, ASI and H-AP look at the whole ranking: each query sorts the whole
    gallery, in blocks of 2^22 ranks (some 150 MB). That takes minutes for 60,000 rows,
    so they must be asked for.

    Args:
        queries: float array `(n, d)` of points of `geometry`, of any precision; it may
            be memory-mapped.
        query_labels: int array `(n,)`, or `(n, levels)`, finest level first, nested;
            -1 for distractors.
        gallery: float array `(m, d)` to retrieve from. By default the queries
            themselves, leave-one-out.
        gallery_labels: int array `(m,)` or `(m, levels)`, if there is a gallery.
        k: int or ints, the K of Recall@K and Precision@K, used for nothing else. The
            default is the one papers use on CUB and Cars.
        metrics: which to compute. Of each level "recall", "precision@1",
            "r_precision" and "map@r" (the default: these four), "precision" (at each
            K), "map" and "mrr"; over all levels together "ndcg", "asi" and "h_ap"; and
            "nmi" and "ami", how well k-means clusters of the queries agree with each
            level's labels.
        geometry: where the embeddings live, by default `Sphere()`: cosine
            similarity. On a `PoincareBall` neighbours rank by hyperbolic distance,
            exactly; see `knn`.
        query_ids: int or str array `(n,)`: a query never retrieves rows of its own
            id, so that a part of a gallery can be asked of all of it. -1 or an empty
            string is no id. By default none have one, and queries that stand in the
            gallery bit for bit get a warning.
        gallery_ids: int or str array `(m,)`, if there is a gallery.
        groups: int or str array `(n,)`, what was taken together: a clip, a camera, a
            product shoot. A query never retrieves rows of its own group. -1 or an
            empty string is no group. Person re-identification, which leaves out a
            person's images by the query's camera, has a group for each pair of both.
        gallery_groups: int or str array `(m,)`, if there is a gallery.
        average: "query", the mean over the queries; or "class", the mean over the
            classes of each one's mean (macro average), in which rare classes weigh
            as much as frequent ones. See `QueryScores.means`.
        verbose: bool, whether to tell how long a search of more than 10 seconds will
            take, and how far it is.

    Returns:
        Dictionary of floats `recall@1`, `precision@1` (one per K), `r_precision`,
        `map@r`, `map`, `mrr`, `nmi`, `ami`, as asked for, and of ints `num_queries` and
        `num_excluded`, of these the ones without a score. For level l >= 1 the same
        with the prefix `level{l}_` (`level1_recall@1`, ..., `level1_num_excluded`),
        where a positive shares the
        label of that level. Over all levels `ndcg`, `asi` and `h_ap`, to which queries
        count that share any level with an item.

    Raises:
        ValueError: before the search, if embeddings hold NaN or infinity or lie
            outside the geometry, if labels are not integers, one-hot, not nested or do
            not match the embeddings, if ids or groups do not, if a K is larger than
            the gallery, or if a metric is unknown.

    Example:

    >>> embeddings = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.2, 0.9]])
    >>> khp.retrieval.evaluate(embeddings, [0, 0, 1, 1], k=1, metrics=["recall"])
    {'recall@1': 1.0, 'num_queries': 4, 'num_excluded': 0}
    >>> khp.retrieval.evaluate(
    ...     embeddings[:1], [0], embeddings, [0, 0, -1, -1], k=1, metrics=["recall"],
    ...     query_ids=["a.jpg"], gallery_ids=["a.jpg", "b.jpg", "c.jpg", "d.jpg"],
    ... )
    {'recall@1': 1.0, 'num_queries': 1, 'num_excluded': 0}
    """
    checks.one_of("average", average, AVERAGES)
    return score_queries(
        queries,
        query_labels,
        gallery,
        gallery_labels,
        k=k,
        metrics=metrics,
        geometry=geometry,
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        groups=groups,
        gallery_groups=gallery_groups,
        verbose=verbose,
    ).means(average)
