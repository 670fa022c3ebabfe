"""Queries of many clients, embedded and searched together."""

import collections
import concurrent.futures
import dataclasses
import threading
import warnings

import numpy as np

# Seconds between looks whether another process has changed the gallery.
_EVERY = 1


@dataclasses.dataclass(frozen=True, eq=False)
class _Job:
    """What one client asks: images, and what to make of their points.

    Attributes:
        images: array `(n, height, width, channels)`.
        what: `"points"`, `"hits"` or `"answers"`.
        k: int, of `"hits"`.
        future: of a list of `n` results.
    """

    images: np.ndarray
    what: str
    k: int
    future: concurrent.futures.Future


class Batcher:
    """A thread that takes what is waiting, as much as makes a batch, and answers it.

    Another one takes in what other processes do to the gallery meanwhile.

    Batches come in few sizes, powers of two: a network that is compiled for each shape
    is compiled for these at the start, and never again.

    Args:
        gallery: `khp.Gallery` with an embedder.
        batch_size: int, images that pass the network at a time, at most.
    """

    def __init__(self, gallery, batch_size=32):
        self.gallery, self.batch_size = gallery, batch_size
        self._jobs, self._closed = collections.deque(), False
        self._changed, self._stopping = threading.Condition(), threading.Event()
        sizes = [1]
        while sizes[-1] < batch_size:
            sizes.append(min(2 * sizes[-1], batch_size))
        self._sizes = sizes
        for size in sizes:
            self._embed(np.zeros((size, *gallery.image_shape), "uint8"))
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        threading.Thread(target=self._follow, daemon=True).start()

    def ask(self, images, what, k=1):
        """Hands over a client's images.

        Args:
            images: uint8 array `(n, height, width, channels)`.
            what: `"points"`, `"hits"` or `"answers"`.
            k: int, of `"hits"`.

        Returns:
            `concurrent.futures.Future` of a list of `n`: points, the `Hits` of each, or
            `Answer`s.
        """
        job = _Job(images, what, k, concurrent.futures.Future())
        with self._changed:
            if self._closed:
                raise RuntimeError("The service is stopping.")
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    def close(self):
        """Answers all that was asked, then ends the threads."""
        self._stopping.set()
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self):
        while jobs := self._next():
            self._answer([j for j in jobs if j.future.set_running_or_notify_cancel()])

    def _follow(self):
        told = None
        while not self._stopping.wait(_EVERY):
            try:
                self.gallery.refresh()
            except Exception as error:
                if str(error) != told:
                    told = str(error)
                    warnings.warn(
                        f"The gallery is served as it was: {error}", stacklevel=1
                    )

    def _next(self):
        """As many jobs as make a batch; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            jobs, count = [], 0
            while self._jobs and count < self.batch_size:
                jobs.append(self._jobs.popleft())
                count += len(jobs[-1].images)
            return jobs

    def _answer(self, jobs):
        if not jobs:
            return
        try:
            points = self._embed(np.concatenate([job.images for job in jobs]))
            ends = np.cumsum([len(job.images) for job in jobs])
            of_jobs = np.split(points, ends[:-1])
            for what, find in (
                ("points", lambda points, _: list(points)),
                ("hits", self._search),
                ("answers", lambda points, _: self.gallery.identify(points=points)),
            ):
                chosen = [i for i, job in enumerate(jobs) if job.what == what]
                if not chosen:
                    continue
                k = max(jobs[i].k for i in chosen)
                found = find(np.concatenate([of_jobs[i] for i in chosen]), k)
                for i in chosen:
                    count = len(of_jobs[i])
                    jobs[i].future.set_result(found[:count])
                    found = found[count:]
        except Exception as error:
            jobs = [job for job in jobs if not job.future.done()]
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
            else:  # One client's mistake is not that of the others.
                for job in jobs:
                    self._answer([job])

    def _search(self, points, k):
        hits = self.gallery.search(points=points, k=k)
        return [hits[row] for row in range(len(points))]

    def _embed(self, images):
        points = []
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            size = next(size for size in self._sizes if size >= len(batch))
            padded = np.zeros((size, *batch.shape[1:]), batch.dtype)
            padded[: len(batch)] = batch
            points.append(self.gallery.embedder.embed_on_batch(padded)[: len(batch)])
        return np.concatenate(points)
