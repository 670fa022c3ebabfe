"""Embedders as files that run without Keras."""

import contextlib
import importlib.util
from pathlib import Path

import keras

from keras_hierproxy.files import replacing_folder
from keras_hierproxy.keras_internals import all_layers
from keras_hierproxy.layers import LatentHierarchy, ProjectToGeometry, Proxies
from keras_hierproxy.layers.project import projection_of
from keras_hierproxy.models import hub
from keras_hierproxy.models.onnx_gaps import check_onnx, mended_tf2onnx

FORMATS = ("tf_saved_model", "onnx", "litert")

# What Keras 3.15 does not export, or only for batches of one size, and why.
_REFUSED = {
    ("onnx", "jax"): "jax2onnx fails on max pooling and on transformers",
    ("litert", "jax"): "the converter takes no graphs of JAX",
    ("litert", "torch"): "litert-torch fixes the batch size",
    ("tf_saved_model", "torch"): "it needs torch_xla, which lags behind PyTorch",
}

# What Keras converts with, and our extra that installs it.
_NEEDED = {
    ("onnx", "tensorflow"): {"onnx": "onnx", "tf2onnx": "onnx"},
    ("onnx", "torch"): {"onnx": "onnx"},
    ("tf_saved_model", "jax"): {"tensorflow": "tensorflow"},
}

_ELSEWHERE = (
    "Save the embedder (`embedder.save(path)`, `embedder.save_to_preset(folder)`), and "
    "load and export it in a process with KERAS_BACKEND=tensorflow: what is saved "
    "loads on every backend."
)


def export(embedder, filepath, format, preprocess, verbose, input_signature, options):
    """Writes what `embed` computes into a file; arguments as of `Embedder.export`."""
    backend = keras.config.backend()
    _check(embedder, format, backend)
    if preprocess:
        _check_preprocessor(embedder._preprocess(), format, backend)
    network = served_network(embedder, preprocess, input_signature)
    if isinstance(network.input, keras.KerasTensor):
        _check_sizes(network.input, format, backend)
        input_signature = [_spec(network.input)]
    filepath = Path(filepath)
    # A large ONNX model has files beside it, whose names stand in it.
    name = "" if format == "tf_saved_model" else filepath.name
    folder = filepath.parent if name else filepath
    with replacing_folder(folder, last=name or "saved_model.pb") as unfinished:
        _export(network, unfinished / name, format, verbose, input_signature, options)
        if format == "onnx":
            check_onnx(unfinished / name, network)


def _export(network, filepath, format, verbose, input_signature, options):
    backend = keras.config.backend()
    by_tf2onnx = (format, backend) == ("onnx", "tensorflow")
    try:
        with mended_tf2onnx(network) if by_tf2onnx else contextlib.nullcontext():
            network.export(
                str(filepath),
                format=format,
                verbose=verbose,
                input_signature=input_signature or [network.input],
                **options,
            )
    except Exception as error:
        if backend == "tensorflow":
            raise
        raise RuntimeError(
            f"Keras failed to export this network as {format!r} from the backend "
            f"{backend!r}, which takes fewer layers than TensorFlow. {_ELSEWHERE} It "
            f"failed with {type(error).__name__}: {error}"
        ) from error


def served_network(embedder, preprocess=True, input_signature=None):
    """The network from raw inputs to points: without proxies, with the projection.

    Args:
        embedder: `EmbeddingModel` or `ImageEmbedder`. Layers and weights are shared
            with it.
        preprocess: bool, whether the embedder's preprocessor is part of the network.
        input_signature: list of one `keras.InputSpec`, where a network of a single
            input is to take another shape or dtype than the embedder's.

    Returns:
        A functional `keras.Model` that is not compiled.
    """
    # An embedder's own class would look for the proxies that its loss reads.
    plain = keras.Model(embedder.input, embedder.output)
    network = keras.models.clone_model(
        plain, clone_function=lambda layer: layer, call_function=_without_proxies
    )
    outputs = network.output
    if projection_of(embedder) is None:
        project = ProjectToGeometry(embedder.geometry)
        outputs = keras.tree.map_structure(project, outputs)
    network = InferenceModel(network.input, outputs, name=embedder.name)
    if not isinstance(network.input, keras.KerasTensor):
        return network
    spec = network.input if input_signature is None else input_signature[0]
    inputs = keras.Input(batch_shape=spec.shape, dtype=spec.dtype, name="inputs")
    prepared = _prepared(embedder, inputs) if preprocess else inputs
    return InferenceModel(inputs, network(prepared), name=embedder.name)


class InferenceModel(keras.Model):
    """A functional model that is never in training mode.

    Keras exports what a call without `training` computes, and there image layers such
    as `Resizing` switch all that follows, batch normalisation too, to training.
    """

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=False, mask=mask)


def _without_proxies(layer, *args, **kwargs):
    if isinstance(layer, (Proxies, LatentHierarchy)):
        return args[0]
    return layer(*args, **kwargs)


def _prepared(embedder, inputs):
    preprocessor = embedder._preprocess()
    if preprocessor is None:
        return inputs
    try:
        return preprocessor(inputs)
    except Exception as error:
        raise ValueError(
            f"The preprocessor {preprocessor!r} cannot be exported, since it does not "
            f"work in a graph with images of shape {inputs.shape}. It must be a Keras "
            "layer, or a function that uses `keras.ops` only; where it needs images "
            "of one size, name it by `input_signature`. Or export the network alone "
            "by `preprocess=False`, and do before it what the preprocessor does. It "
            f"failed with: {error}"
        ) from error


def _spec(inputs):
    # Of a Keras tensor Keras would free the batch size, even where it was given.
    return keras.InputSpec(shape=inputs.shape, dtype=inputs.dtype, name=inputs.name)


def _check(embedder, format, backend):
    """Raises unless the embedder's network can be exported from this backend."""
    if format not in FORMATS:
        raise ValueError(
            f"`format` must be one of {FORMATS}. Received: format={format!r}. "
            "OpenVINO and TensorRT read ONNX files."
        )
    layers = all_layers(embedder)
    reason = _REFUSED.get((format, backend)) or _refused_layers(layers, format, backend)
    if reason is not None:
        raise ValueError(
            f"Keras does not export this network as {format!r} from the backend "
            f"{backend!r}: {reason}. {_ELSEWHERE}"
        )
    _check_precision(layers, format)
    for module, extra in _NEEDED.get((format, backend), {}).items():
        if importlib.util.find_spec(module) is None:
            raise ImportError(
                f"To export {format!r} from the backend {backend!r}, Keras needs "
                f"{module}: pip install 'keras-hierproxy[{extra}]'."
            )


def _check_preprocessor(preprocessor, format, backend):
    if backend != "jax":
        return
    layers = all_layers(preprocessor) if isinstance(preprocessor, keras.Layer) else []
    if any(hub.is_a(each, "ImageConverter") for each in layers):
        raise ValueError(
            f"Keras does not export this preprocessor as {format!r} from the backend "
            "'jax': in a graph, keras-hub's image converters compute with TensorFlow "
            f"alone. {_ELSEWHERE} Or export the network alone by `preprocess=False`, "
            "and do before it what the preprocessor does."
        )


def _refused_layers(layers, format, backend):
    if (format, backend) != ("onnx", "torch"):
        return None
    if any(isinstance(each, keras.layers.LayerNormalization) for each in layers):
        return (
            "PyTorch exports LayerNormalization, which transformers such as DeiT "
            "have, for batches of one size only"
        )
    if _quantized(layers):
        return "PyTorch does not export what `quantize` makes of layers"
    return None


def _check_precision(layers, format):
    if format == "tf_saved_model":
        return
    half = {each.compute_dtype for each in layers} & {"float16", "bfloat16"}
    if half:
        raise ValueError(
            f"{format!r} is exported in float32. Received: an embedder that computes "
            f"in {half.pop()}. Its weights are float32: build the same embedder under "
            "the policy 'float32', and give it `embedder.get_weights()` by "
            "`set_weights`."
        )
    if format == "litert" and _quantized(layers):
        raise ValueError(
            "LiteRT does not take what `quantize` makes of layers, but quantizes by "
            "itself: export the embedder as it was before, with "
            "`optimizations=[tf.lite.Optimize.DEFAULT]`."
        )


def _quantized(layers):
    return any(getattr(each, "quantization_mode", None) for each in layers)


def _check_sizes(inputs, format, backend):
    # The others trace a network with images of one pixel where sizes are free.
    if backend != "tensorflow" and None in inputs.shape[1:]:
        raise ValueError(
            f"Keras exports {format!r} from the backend {backend!r} for inputs of one "
            f"size. Received: a network that takes any, {inputs.shape}. Name one: "
            "`input_signature=[keras.InputSpec(shape=(None, 224, 224, 3), "
            "dtype='float32')]`, or export in a process with KERAS_BACKEND=tensorflow."
        )
