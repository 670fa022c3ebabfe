"""Writes losses.npz: every loss in NumPy float64, with numerical gradients.

    python -m tests.golden.make_losses

Backends are compared with this file, and thereby with each other. Its keys are
`<case>/value`, `<case>/by_embeddings` and `<case>/by_proxies<level>`, for the cases
and the batch of `tests/losses/cases.py`.
"""

from pathlib import Path

import numpy as np

from tests.gradients import numerical_gradient
from tests.losses.cases import FLAT, HIERARCHICAL, SMALL

PATH = Path(__file__).parent / "losses.npz"


def compute(case):
    """Value and gradients of one case, by name."""
    labels, x, proxies = SMALL.labels, SMALL.embeddings, case.proxies()

    def by_embeddings(x):
        return case.reference(labels, x, proxies)

    arrays = {
        f"{case}/value": by_embeddings(x),
        f"{case}/by_embeddings": numerical_gradient(by_embeddings, x),
    }
    for level, array in enumerate(proxies):

        def by_proxies(p, level=level):
            replaced = [*proxies[:level], p, *proxies[level + 1 :]]
            return case.reference(labels, x, replaced)

        arrays[f"{case}/by_proxies{level}"] = numerical_gradient(by_proxies, array)
    return arrays


def main():
    arrays = {}
    for case in FLAT + HIERARCHICAL:
        arrays |= compute(case)
    np.savez_compressed(PATH, **arrays)
    print(f"{len(arrays)} arrays to {PATH}")


if __name__ == "__main__":
    main()
