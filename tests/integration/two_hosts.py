"""Training on batches that several processes share out, on JAX.

    python -m tests.integration.two_hosts FILE

The environment says which process of how many this is, as Keras reads it
(KERAS_DISTRIBUTION_PROCESS_ID and so on). Writes losses and weights to FILE.
"""

import os
import sys

import keras
import numpy as np

NUM_HOSTS = int(os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES", 1))


def distribute():
    """Joins the other processes, and returns this one's `host`."""
    if NUM_HOSTS == 1:
        return 0, 1
    keras.distribution.initialize()
    distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
    keras.distribution.set_distribution(distribution)
    return distribution.data_shard_id, distribution.num_processes


def main(path):
    host = distribute()

    import keras_hierproxy as khp
    from tests.integration import runs

    keras.utils.set_random_seed(0)
    x, y = runs.vectors()
    # The last of 8 batches has 7 rows: one too few for two hosts.
    data = khp.datasets.RetrievalDataset(x, y)
    batches = data.batches(12, seed=1, host=host)
    model = runs.compiled(runs.embedding_model())
    history = model.fit(batches, epochs=3, verbose=0)
    weights = {
        str(i): np.asarray(variable.value.addressable_data(0))
        for i, variable in enumerate(model.trainable_variables)
    }
    np.savez(path, loss=history.history["loss"], **weights)


if __name__ == "__main__":
    main(sys.argv[1])
