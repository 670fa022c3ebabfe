import faiss
import pytest


@pytest.fixture
def searches(monkeypatch):
    """Sizes (queries, gallery, k) of the searches that faiss is asked for."""
    sizes = []
    search = faiss.knn

    def record(queries, gallery, k, metric):
        sizes.append((len(queries), len(gallery), k))
        return search(queries, gallery, k, metric)

    monkeypatch.setattr(faiss, "knn", record)
    return sizes
