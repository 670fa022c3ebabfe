"""P classes a batch, K images of each."""

from keras_hierproxy import checks
from keras_hierproxy.datasets.samplers.deal import (
    check_dense,
    deal,
    deal_members,
    members_of,
)


class BalancedSampler:
    """Batches of P classes with K images of each.

    Classes come up equally often, whatever their size, and none again before all
    have; so do the images of a class. A class of fewer than K images repeats some.
    An epoch has about as many images as there are.

    Args:
        labels: integer array `(N,)` of dense class ids.
        batch_size: images a batch; P is `batch_size // images_per_class`.
        images_per_class: K.

    Raises:
        ValueError: P is 0, or more than the number of classes; labels are not dense
            ids; or a number is none.

    Example:

    >>> sampler = khp.datasets.samplers.BalancedSampler(
    ...     np.arange(20) // 4, batch_size=6, images_per_class=2
    ... )
    >>> sampler.draw(np.random.default_rng(0))[0]
    array([10, 11, 16, 18, 14, 13])
    """

    def __init__(self, labels, batch_size, images_per_class):
        labels = self.labels = check_dense(labels, "labels")
        batch_size = checks.integer("batch_size", batch_size, least=1)
        images_per_class = checks.integer("images_per_class", images_per_class, least=1)
        self.images_per_class = images_per_class
        self.classes_per_batch = batch_size // images_per_class
        num_classes = labels.max() + 1
        if not 1 <= self.classes_per_batch <= num_classes:
            raise ValueError(
                f"sampler='balanced' puts batch_size // images_per_class = "
                f"{batch_size} // {images_per_class} = {self.classes_per_batch} "
                f"classes in a batch, of {num_classes}. Pass a batch_size between "
                f"{images_per_class} and {num_classes * images_per_class}, "
                "or other images_per_class."
            )
        self.batch_size = self.classes_per_batch * images_per_class
        self.num_batches = max(1, round(len(labels) / self.batch_size))

    def draw(self, rng):
        """Positions of the images in each batch of an epoch."""
        members = members_of(self.labels)
        classes = deal(rng, len(members), self.num_batches, self.classes_per_batch)
        return list(deal_members(rng, members, classes, self.images_per_class))
