"""Do clusters of embeddings find the classes? NMI and AMI of k-means."""

import warnings

import numpy as np


def cluster_agreement(embeddings, labels, geometry, seed=0):
    """NMI and AMI between labels and k-means clusters, as many as there are classes.

    k-means (scikit-learn, k-means++, one start) runs on directions on the sphere, and
    on the coordinates as they are in the ball. NMI is normalised by the arithmetic
    mean of the entropies; it grows with the number of clusters even by chance, for
    which AMI is adjusted.

    Args:
        embeddings: float array `(n, d)`, points of `geometry`.
        labels: int array `(n,)`.
        geometry: where the embeddings live.
        seed: int, of k-means.

    Returns:
        Dictionary of floats `nmi` and `ami`.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import (
        adjusted_mutual_info_score,
        normalized_mutual_info_score,
    )

    if geometry.exact_distance is None:
        _, embeddings = geometry.search_vectors(embeddings[:0], embeddings)
    num_classes = len(np.unique(labels))
    with warnings.catch_warnings():
        # Fewer distinct points than clusters: then there are fewer clusters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = KMeans(num_classes, n_init=1, random_state=seed).fit_predict(
            np.asarray(embeddings, "float32")
        )
    return {
        "nmi": float(normalized_mutual_info_score(labels, clusters)),
        "ami": float(adjusted_mutual_info_score(labels, clusters)),
    }
