"""Where Keras's backend computes."""

from keras import ops


def computes_on_cpu():
    """Whether new tensors lie in the memory of the CPU, not of a GPU or TPU."""
    # Each backend's tensors say in their own words where they lie.
    return "cpu" in str(getattr(ops.zeros(1), "device", "cpu")).lower()
