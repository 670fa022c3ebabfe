"""The largest inner products: faiss on the CPU, `keras.ops` on an accelerator."""

import numpy as np
from keras import ops

from keras_hierproxy.ops.device import computes_on_cpu

# Similarities that an accelerator holds at a time: 1 GB.
BLOCK_ON_DEVICE = 1 << 28
# The bits of a float32 that products in TF32 keep: sign, exponent, first 10 of 23.
TF32_BITS = np.uint32(0xFFFFE000)


def inner_products(gallery):
    """What multiplies fastest here.

    Args:
        gallery: float32 array `(m, d)`.

    Returns:
        `DeviceProducts` where Keras's backend computes on an accelerator, else
        `FaissProducts`.
    """
    return (FaissProducts if computes_on_cpu() else DeviceProducts)(gallery)


class FaissProducts:
    """By faiss, on the CPU."""

    on_host = True

    def __init__(self, gallery):
        self.gallery = gallery

    def best(self, queries, k):
        """The `k` rows of the gallery with the largest products.

        Args:
            queries: float32 array `(n, d)`.
            k: int.

        Returns:
            Float32 products and int64 rows, both `(n, k)`, the largest first.
        """
        import faiss  # here: training alone does without

        return faiss.knn(queries, self.gallery, k, faiss.METRIC_INNER_PRODUCT)


class DeviceProducts:
    """By `keras.ops`, on the backend's device.

    Accelerators may round the factors of a product to TF32, an error of 1e-3. So each
    factor is split into what TF32 keeps and the rest, `x = a + b`, and the product
    computed as `a a' + a b' + b a'`: what is left out is less than 1e-6.
    """

    on_host = False

    def __init__(self, gallery):
        kept, rest = _split(gallery)
        self.gallery = ops.convert_to_tensor(np.concatenate([kept, rest, kept], 1).T)
        self.size = len(gallery)

    def best(self, queries, k):
        """As `FaissProducts.best`."""
        # Few different k: some backends compile for each.
        fetched = min(self.size, 1 << (k - 1).bit_length())
        step = max(1, BLOCK_ON_DEVICE // self.size)
        found = [
            self._best(queries[start : start + step], fetched)
            for start in range(0, len(queries), step)
        ]
        products, rows = (
            np.concatenate(part)[:, :k] for part in zip(*found, strict=True)
        )
        return products, rows.astype("int64")

    def _best(self, queries, k):
        kept, rest = _split(queries)
        factors = ops.convert_to_tensor(np.concatenate([kept, kept, rest], 1))
        products, rows = ops.top_k(ops.matmul(factors, self.gallery), k)
        return ops.convert_to_numpy(products), ops.convert_to_numpy(rows)


def _split(vectors):
    """`vectors` as the sum of two, of which the first fits into TF32."""
    kept = (vectors.view("uint32") & TF32_BITS).view("float32")
    return kept, vectors - kept
