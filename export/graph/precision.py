"""The canonical graph in float16, or in int8 with scales derived from pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from export.constants import INPUT
from export.graph.dense import reshaped
from export.graph.edges import NamedTape
from export.options import Options
from export.weights.link import weight_tensor
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.files.scratch import scratch_folder
from vgg16_spec.images.preprocessing import preprocess, read_image

_LARGEST_FLOAT16: Final = float(np.finfo(np.float16).max)
_SUFFIX: Final = "_fp16"


def lower(model: ir.Model, checkpoint: Checkpoint, options: Options) -> ir.Model:
    """The graph in fp16 or int8, as the options say; images and logits stay float32.

    Raises:
        BadInput: for weights that float16 cannot hold, and for pictures that cannot be read.
    """
    if options.precision == "int8":
        return _to_int8(model, checkpoint, options)
    _to_float16(model, checkpoint)
    return model


def _to_float16(model: ir.Model, checkpoint: Checkpoint) -> None:
    graph = model.graph
    too_large = [name for name in checkpoint if np.abs(checkpoint[name]).max() > _LARGEST_FLOAT16]
    if too_large:
        problem = f"beyond float16's {_LARGEST_FLOAT16:g}: {', '.join(too_large)}"
        raise BadInput(checkpoint.label, problem, "--precision fp32")
    for name in checkpoint:
        value = graph.initializers[name]
        assert value.const_value is not None
        shape = tuple(value.const_value.shape.numpy())
        value.const_value = reshaped(weight_tensor(checkpoint, name, ir.DataType.FLOAT16), shape)
        value.type = ir.TensorType(ir.DataType.FLOAT16)
    for node in graph:
        node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT16)
    (images,), (result,), tape = graph.inputs, graph.outputs, NamedTape()
    outside = ir.val(INPUT, ir.DataType.FLOAT, images.shape)
    cast = tape.node(f"{INPUT}{_SUFFIX}", "Cast", outside, to=int(ir.DataType.FLOAT16))
    tape.prepend(graph, outside, cast)
    name, result.name = str(result.name), f"{result.name}{_SUFFIX}"
    graph.outputs[0] = NamedTape(graph).node(name, "Cast", result, to=int(ir.DataType.FLOAT))
    graph.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)


def _batches(checkpoint: Checkpoint, options: Options) -> Iterator[dict[str, NDArray[np.float32]]]:
    """The calibration pictures, one after the other, as the graph's input."""
    recipe, size = checkpoint.recipe, checkpoint.configuration.input_size
    for path in options.calibrate:
        images = preprocess(read_image(path), recipe, size=size)
        yield {INPUT: np.repeat(images, options.batch or 1, axis=0)}


def _to_int8(model: ir.Model, checkpoint: Checkpoint, options: Options) -> ir.Model:
    """QuantizeLinear and DequantizeLinear around every operator, by ONNX Runtime's quantizer.

    Weights are signed with a scale for each output channel; activations are unsigned, with the
    range that they have on the pictures.
    """
    try:
        from onnxruntime import quantization
    except ImportError as error:
        remedy = 'pip install "vgg16-parity[onnx]"'
        raise BadInput("--precision int8", "needs ONNX Runtime's quantizer", remedy) from error

    batches = _batches(checkpoint, options)
    reader: Any = SimpleNamespace(get_next=partial(next, batches, None))
    log = logging.getLogger()
    with scratch_folder("vgg16-int8") as folder, ExitStack() as restored:
        # The quantizer advises to simplify a graph that is as simple as it gets.
        restored.callback(log.setLevel, log.level)
        log.setLevel(logging.ERROR)
        written = folder / "int8.onnx"
        quantization.quantize_static(
            ir.to_proto(model),
            written,
            reader,
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        return ir.from_proto(onnx.load(written))
