"""The exported graph in LiteRT (TensorFlow Lite) with XNNPACK, written as a ``.tflite`` file.

TensorFlow's converter reads no ONNX. The file is written from the exported graph by LiteRT's own
schema: float32, images (N, H, W, C), one operator per node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import flatbuffers
import numpy as np
import onnx_ir as ir
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from vgg16_parity.runtimes.adapters.engines.graph import (
    Compute,
    EngineGraph,
    Graph,
    constant,
    ints,
    require_float32,
)
from vgg16_parity.runtimes.adapters.framework import Values, cores
from vgg16_parity.runtimes.job import Job
from vgg16_spec import layouts

_IDENTIFIER: Final = b"TFL3"
_VERSION: Final = 3
# (N, H, W, C) -> (N, C, H, W)
_CHANNELS_FIRST: Final = (0, 3, 1, 2)
_Operators: Final = schema.BuiltinOperator


def load(job: Job) -> EngineGraph:
    """The job's graph, written as a ``.tflite`` file into the job's folder."""
    require_float32(job, "LiteRT")

    def open_graph(graph: Graph) -> Compute:
        path = graph.own.with_suffix(".tflite")
        path.write_bytes(Writer(graph.model()).file())
        # Float32 models run in XNNPACK by default.
        interpreter = Interpreter(str(path), num_threads=cores())
        places, results = interpreter.get_input_details(), interpreter.get_output_details()

        def compute(inputs: Sequence[Values]) -> list[Values]:
            given = [_channels_last(values) for values in inputs]
            for place, values in zip(places, given, strict=True):
                interpreter.resize_tensor_input(place["index"], values.shape, strict=False)
            interpreter.allocate_tensors()
            for place, values in zip(places, given, strict=True):
                interpreter.set_tensor(place["index"], values)
            interpreter.invoke()
            found = (interpreter.get_tensor(place["index"]) for place in results)
            return [layouts.nhwc_to_nchw(each) if each.ndim == 4 else each for each in found]

        return compute

    return EngineGraph(job, open_graph, {"delegate": "XNNPACK"})


def _channels_last(values: Values) -> Values:
    if values.ndim != 4:
        return values
    return layouts.contiguous(layouts.nchw_to_nhwc(values))  # (N, C, H, W) -> (N, H, W, C)


class Writer:
    """A named graph as a ``.tflite`` file."""

    def __init__(self, model: ir.Model) -> None:
        self._model = schema.ModelT()
        self._model.version = _VERSION
        # Buffer 0 is that of tensors without values.
        self._model.buffers = [schema.BufferT()]
        self._model.operatorCodes = []
        self._graph = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._model.subgraphs = [self._graph]
        self._tensors: dict[str, int] = {}
        graph = model.graph
        self._graph.inputs = [self._value(value) for value in graph.inputs]
        for node in graph:
            self._node(node)
        self._graph.outputs = [self._tensors[str(value.name)] for value in graph.outputs]

    def file(self) -> bytearray:
        """The file's bytes."""
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), file_identifier=_IDENTIFIER)
        output: bytearray = builder.Output()
        return output

    def _node(self, node: ir.Node) -> None:
        source, *parameters = (each for each in node.inputs if each is not None)
        read, (result,) = self._tensors[str(source.name)], node.outputs
        match node.op_type:
            case "Conv":
                weight, bias = (constant(each) for each in parameters)
                # (out, in, kH, kW) -> (out, kH, kW, in)
                kernel = self._parameter(f"{node.name}.weight", weight.transpose(0, 2, 3, 1))
                options = schema.Conv2DOptionsT()
                options.strideH = options.strideW = 1
                options.padding = schema.Padding.SAME
                inputs = [read, kernel, self._parameter(f"{node.name}.bias", bias)]
                self._operator(_Operators.CONV_2D, inputs, self._value(result), options)
            case "Gemm":
                # (out, in), as it is
                found = [self._parameter(str(e.name), constant(e)) for e in parameters]
                options = schema.FullyConnectedOptionsT()
                made = self._value(result)
                self._operator(_Operators.FULLY_CONNECTED, [read, *found], made, options)
            case "MaxPool":
                options = schema.Pool2DOptionsT()
                options.filterHeight, options.filterWidth = ints(node, "kernel_shape")
                options.strideH, options.strideW = ints(node, "strides")
                options.padding = schema.Padding.VALID
                self._operator(_Operators.MAX_POOL_2D, [read], self._value(result), options)
            case "Relu":
                self._operator(_Operators.RELU, [read], self._value(result), None)
            case "Flatten":
                self._flatten(node, source, read)
            case other:
                raise ValueError(f"{node.name} is a {other}, which is not written here")

    def _flatten(self, node: ir.Node, source: ir.Value, read: int) -> None:
        """Maps flattened in the order of the graph's own, (C, H, W)."""
        (result,), shape = node.outputs, _shape(source)
        order = self._parameter(f"{node.name}.order", np.array(_CHANNELS_FIRST, np.int32))
        maps = self._tensor(f"{node.name}.maps", [shape[axis] for axis in _CHANNELS_FIRST])
        self._operator(_Operators.TRANSPOSE, [read, order], maps, schema.TransposeOptionsT())
        size = [-1, int(np.prod(shape[1:]))]
        target = self._parameter(f"{node.name}.shape", np.array(size, np.int32))
        options = schema.ReshapeOptionsT()
        options.newShape = size
        units = self._tensor(str(result.name), [1, size[1]])
        self._operator(_Operators.RESHAPE, [maps, target], units, options)

    def _operator(self, code: int, inputs: list[int], output: int, options: Any) -> None:
        codes = [each.builtinCode for each in self._model.operatorCodes]
        if code not in codes:
            known = schema.OperatorCodeT()
            # The old field, of a byte, for readers that know no other.
            known.builtinCode = known.deprecatedBuiltinCode = code
            known.version = 1
            self._model.operatorCodes.append(known)
            codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = codes.index(code)
        operator.inputs, operator.outputs = inputs, [output]
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = options
        self._graph.operators.append(operator)

    def _value(self, value: ir.Value) -> int:
        return self._tensor(str(value.name), _shape(value))

    def _parameter(self, name: str, values: Values) -> int:
        buffer = schema.BufferT()
        buffer.data = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
        self._model.buffers.append(buffer)
        kind = schema.TensorType.INT32 if values.dtype == np.int32 else schema.TensorType.FLOAT32
        return self._tensor(name, list(values.shape), kind, len(self._model.buffers) - 1)

    def _tensor(
        self, name: str, shape: list[int], kind: int = schema.TensorType.FLOAT32, buffer: int = 0
    ) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, kind, buffer
        self._graph.tensors.append(tensor)
        self._tensors[name] = len(self._graph.tensors) - 1
        return self._tensors[name]


def _shape(value: ir.Value) -> list[int]:
    """A value's shape for one image, channels last: (1, H, W, C) or (1, units)."""
    assert value.shape is not None
    _, *sizes = value.shape
    numbers = [int(str(size)) for size in sizes]
    return [1, *numbers[1:], *numbers[:1]]
