"""Keras models as ONNX models, by the exporters of Keras's backends.

What Keras's own exporter leaves out is put in.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx_ir as ir

from onnx_arbiter.graph import Array
from onnx_arbiter.ports import torch_modules
from vgg16_spec.errors import BadInput, require_one_of
from vgg16_spec.files.scratch import scratch_folder

# Keras's backends that can export.
BACKENDS: Final = ("tensorflow", "jax", "torch")


def exported_model(model: Any, arrays: Mapping[str, Array]) -> ir.Model:
    """Export a Keras model in memory, on any of `BACKENDS`.

    On PyTorch, a model is a module, which PyTorch's exporter takes as it is: Keras's way with it
    lets the exporter fold layers into others.

    Args:
        model: the model.
        arrays: its inputs, in order, by the names that they have in the graph.

    Raises:
        BadInput: it cannot be exported, or the backend is another.
    """
    import keras

    backend = require_one_of("KERAS_BACKEND", keras.backend.backend(), BACKENDS)
    if backend == "torch":
        # On the device of the weights, as Keras is set to.
        given = tuple(keras.ops.convert_to_tensor(values) for values in arrays.values())
        inputs = given if len(given) == 1 else (list(given),)
        return torch_modules.exported_model(model, inputs, {}, model.name)
    specs = [
        keras.InputSpec(shape=values.shape, dtype=str(values.dtype), name=name)
        for name, values in arrays.items()
    ]
    made = _exported_by_keras(model, specs)
    _restore_statistics(made, model, len(specs))
    _replace_erfc(made)
    return made


def _exported_by_keras(model: Any, specs: Sequence[Any]) -> ir.Model:
    import onnx

    signature = [specs[0] if len(specs) == 1 else list(specs)]
    with scratch_folder("onnx-arbiter") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = folder / "model.onnx"
        try:
            model.export(str(path), format="onnx", verbose=False, input_signature=signature)
        except Exception as error:  # of many kinds
            line = str(error).strip().splitlines()[0]
            raise BadInput(model.name, f"Keras cannot export it ({line})") from error
        inferred = onnx.shape_inference.infer_shapes(onnx.load(path), data_prop=True)
    return ir.from_proto(inferred)


def _restore_statistics(exported: ir.Model, model: Any, count: int) -> None:
    """Make constants of a graph what the exporter made inputs behind the model's own.

    These are the mean and the variance of layers that normalise images, ``…/Sub/y`` and
    ``…/Sqrt/x``. Raises ``BadInput`` for any other.
    """
    import keras

    inputs = exported.graph.inputs
    normalising = [each for each in model.layers if isinstance(each, keras.layers.Normalization)]
    parts = {"Sub/y": "mean", "Sqrt/x": "variance"}
    layers = dict[str, Any]()
    for value in list(inputs[count:]):
        prefix, _, end = str(value.name).partition(":")[0].rpartition("/")
        scope, _, operator = prefix.rpartition("/")
        part = parts.get(f"{operator}/{end}")
        if scope not in layers and len(layers) < len(normalising):
            layers[scope] = normalising[len(layers)]
        if part is None or scope not in layers:
            problem = f"Keras's exporter makes its constant {value.name} an input"
            raise BadInput(model.name, problem, "a model without such a constant")
        values = np.asarray(getattr(layers[scope], part), np.float32)
        value.const_value = ir.tensor(values, name=value.name)
        inputs.remove(value)
        exported.graph.register_initializer(value)


def _replace_erfc(model: ir.Model) -> None:
    """Write erfc(x), which ONNX has not, as 1 - erf(x): Keras's GELU is made of it."""
    for node in list(model.graph):
        if node.op_type != "Erfc":
            continue
        one = ir.Value(name=f"{node.name}/one", const_value=ir.tensor(np.float32(1)))
        model.graph.register_initializer(one)
        erf = ir.node("Erf", list(node.inputs), name=f"{node.name}/erf")
        erf.outputs[0].name = f"{node.name}/erf"
        difference = ir.node("Sub", [one, erf.outputs[0]], name=node.name)
        model.graph.insert_before(node, [erf, difference])
        ir.convenience.replace_nodes_and_values(
            model.graph, node, [node], [], node.outputs, difference.outputs
        )
