"""`keras.models.clone_model` makes an embedder of an embedder."""

import functools

import keras


def clonable(init):
    """A constructor that also takes a graph, the layers of an embedder called anew.

    `clone_model` makes of other functional models than those with a constructor of
    `(inputs, outputs)`, or of `*args, **kwargs`, a plain `keras.Model`, whose losses
    would find no proxies.

    Args:
        init: the constructor of a class with `_init_from_graph`.
    """

    @functools.wraps(init)
    def constructor(self, *args, **kwargs):
        source = source_of(args[1]) if len(args) == 2 else None
        if source is None:
            init(self, *args, **kwargs)
        else:
            self._init_from_graph(source, *args, **kwargs)

    return constructor


def source_of(outputs):
    """The embedder of whose layers a symbolic tensor is the output, or None."""
    reference = getattr(outputs, "source", None)
    return reference() if isinstance(outputs, keras.KerasTensor) and reference else None
