"""`keras.models.clone_model` makes an embedder of an embedder."""

import functools
import weakref

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


def remember_source(outputs, embedder):
    """Notes of which embedder's layers a symbolic tensor is the output."""
    if isinstance(outputs, keras.KerasTensor):
        outputs.embedder = weakref.ref(embedder)


def source_of(outputs):
    """The embedder that `remember_source` was given, or None."""
    reference = getattr(outputs, "embedder", None)
    return reference() if isinstance(outputs, keras.KerasTensor) and reference else None
