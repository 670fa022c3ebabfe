"""What stands between Keras and an ONNX file that runs."""

import contextlib

import keras
import numpy as np

from keras_hierproxy.keras_internals import all_layers


@contextlib.contextmanager
def mended_tf2onnx(network):
    """Closes two gaps of tf2onnx 1.17, which writes files that do not run.

    It does not know Erfc, of which TensorFlow 2.21 makes GELU. And constants that
    layers keep as tensors, such as the positions of keras-hub's ViT, become inputs
    of the file: in this context they are arrays, which become constants.

    Args:
        network: `keras.Model` that is to be exported.
    """
    _register_erfc()
    tensors = [
        (layer, name, value)
        for layer in all_layers(network)
        for name, value in vars(layer).items()
        if keras.ops.is_tensor(value) and not isinstance(value, keras.Variable)
    ]
    for layer, name, value in tensors:
        vars(layer)[name] = keras.ops.convert_to_numpy(value)
    try:
        yield
    finally:
        for layer, name, value in tensors:
            vars(layer)[name] = value


def check_onnx(filepath, network):
    """Raises unless a file is a valid ONNX model with the network's inputs.

    tf2onnx only logs operations that it does not know, and writes them.
    """
    import onnx

    onnx.checker.check_model(str(filepath))
    model = onnx.load(str(filepath), load_external_data=False)
    received, expected = len(model.graph.input), len(keras.tree.flatten(network.input))
    if received != expected:
        names = [each.name for each in model.graph.input]
        raise RuntimeError(
            f"The ONNX file {filepath.name!r} does not run: a layer's constants were "
            f"taken for inputs, of which the network has {expected} and the file "
            f"{received}, {names}. Export another format."
        )


def _register_erfc():
    from tf2onnx.handler import tf_op
    from tf2onnx.utils import make_name, map_onnx_to_numpy_type

    @tf_op("Erfc")
    class Erfc:
        """erfc(x) = 1 - erf(x), in ONNX's operations since version 9."""

        @classmethod
        def version_9(cls, graph, node, **kwargs):
            node.type = "Erf"
            output = node.output[0]
            dtype = map_onnx_to_numpy_type(graph.get_dtype(output))
            one = graph.make_const(make_name("one"), np.array(1, dtype)).output[0]
            graph.insert_new_node_on_output(
                "Sub", output, make_name(node.name), inputs=[one, output]
            )
