"""Threads that make the next batches of an epoch ahead of time."""

import concurrent.futures
import threading


class Prefetcher:
    """Calls `make(epoch, index)` on threads for the batches that come next.

    Batches are asked for by name, so one that was made for another epoch is
    never served, in whatever order Keras asks.

    Args:
        make: function of `(epoch, index)`, safe to call from threads.
        length: number of batches in an epoch.
        threads: number of threads; twice as many batches are kept ahead.
    """

    def __init__(self, make, length, threads):
        self._make = make
        self._length = length
        self._ahead = 2 * threads
        self._pool = concurrent.futures.ThreadPoolExecutor(threads)
        self._lock = threading.Lock()
        self._pending = {}
        self._previous = None

    def get(self, epoch, index):
        """The batch `index` of `epoch`; the ones after it are begun."""
        with self._lock:
            # Looking ahead is a waste where Keras shuffles the indices.
            in_order = index == 0 or self._previous == (epoch, index - 1)
            stop = min(index + self._ahead + 1, self._length) if in_order else index + 1
            self._previous = (epoch, index)
            wanted = {
                (epoch, i): self._pending.pop((epoch, i), None)
                or self._pool.submit(self._make, epoch, i)
                for i in range(index, stop)
            }
            for stale in self._pending.values():
                stale.cancel()
            future = wanted.pop((epoch, index))
            self._pending = wanted
        return future.result()
