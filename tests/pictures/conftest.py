import pytest
from matplotlib.figure import Figure


@pytest.fixture
def figures(monkeypatch):
    """The figures that are written, for a look at what is drawn in them."""
    written = []
    savefig = Figure.savefig

    def record(figure, *args, **kwargs):
        written.append(figure)
        return savefig(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", record)
    return written
