"""The exported graph in ncnn, in its own format: a text of layers and a file of weights.

By default ncnn keeps the weights of dense layers in float16 on x86, and more than those on
processors that compute in float16. The strict lane turns this off. 3×3 convolutions are computed by
Winograd's algorithm in both.

The format: https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import ncnn
import numpy as np
import onnx_ir as ir

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
from vgg16_parity.runtimes.lanes import LANES

_MAGIC: Final = "7767517"
# On by default where the processor allows: packing, storing and adding in float16.
_FEWER_BITS: Final = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic")
_SHOWN: Final = (*_FEWER_BITS, "use_bf16_storage", "use_winograd_convolution")


def load(job: Job) -> EngineGraph:
    """The job's graph, written in ncnn's format into the job's folder."""
    require_float32(job, "ncnn")
    strict = LANES[job.lane].deterministic

    def network() -> Any:
        made = ncnn.Net()
        made.opt.num_threads = cores()
        if strict:
            for option in _FEWER_BITS:
                setattr(made.opt, option, False)
        return made

    def open_graph(graph: Graph) -> Compute:
        net = network()
        param, weights = write(graph.model(), graph.own)
        for load_file, path in ((net.load_param, param), (net.load_model, weights)):
            if refused := load_file(str(path)):
                raise RuntimeError(f"ncnn refused the graph with status {refused}")

        def one(inputs: Sequence[Values]) -> Iterator[Values]:
            extractor = net.create_extractor()
            for name, values in zip(graph.inputs, inputs, strict=True):
                extractor.input(name, ncnn.Mat(values))
            for name in graph.outputs:
                status, found = extractor.extract(name)
                if status:
                    raise RuntimeError(f"ncnn cannot compute {name}: status {status}")
                yield np.array(found)

        def compute(inputs: Sequence[Values]) -> list[Values]:
            # It has no batches: its arrays are (C, H, W) or (units,).
            images = [list(one(image)) for image in zip(*inputs, strict=True)]
            return [np.stack(outputs) for outputs in zip(*images, strict=True)]

        return compute

    options = network().opt
    flags = {name: str(getattr(options, name)) for name in _SHOWN}
    fewer_bits = any(getattr(options, name) for name in _FEWER_BITS)
    return EngineGraph(job, open_graph, flags, "float16" if fewer_bits else "")


def write(model: ir.Model, path: Path) -> tuple[Path, Path]:
    """Write a named graph in ncnn's format; returns the file of its layers and of its weights."""
    graph = model.graph
    param, weights = path.with_suffix(".param"), path.with_suffix(".bin")
    lines = [f"Input {value.name} 0 1 {value.name}" for value in graph.inputs]
    with weights.open("wb") as file:
        for node in graph:
            kind, parameters = _layer(node, file)
            (result,) = node.outputs
            source = node.inputs[0]
            assert source is not None
            text = " ".join(f"{key}={value}" for key, value in parameters.items())
            lines.append(f"{kind} {node.name} 1 1 {source.name} {result.name} {text}".rstrip())
    # Every layer here makes one array.
    param.write_text("\n".join([_MAGIC, f"{len(lines)} {len(lines)}", *lines, ""]))
    return param, weights


def _layer(node: ir.Node, weights: BinaryIO) -> tuple[str, Mapping[int, int]]:
    """A node's type in ncnn and its parameters by number; its weights go into the file."""
    match node.op_type:
        case "Conv":
            # (out, in, kH, kW), as ncnn reads it
            values = _append(node, weights)
            (top, left, *_), (height, width) = ints(node, "pads"), ints(node, "kernel_shape")
            return "Convolution", {
                0: len(values),
                1: width,
                11: height,
                4: left,
                14: top,
                5: 1,
                6: values.size,
            }
        case "Gemm":
            # (out, in)
            values = _append(node, weights)
            return "InnerProduct", {0: len(values), 1: 1, 2: values.size}
        case "MaxPool":
            # 5=1: the last row or column is not padded.
            (size, _), (stride, _) = ints(node, "kernel_shape"), ints(node, "strides")
            return "Pooling", {0: 0, 1: size, 2: stride, 5: 1}
        case "Relu":
            return "ReLU", {}
        case "Flatten":
            return "Flatten", {}
    raise ValueError(f"{node.name} is a {node.op_type}, which has no layer of ncnn here")


def _append(node: ir.Node, weights: BinaryIO) -> Values:
    """Append the weight and the bias of a node; returns the weight."""
    weight, bias = map(constant, node.inputs[1:])
    # Four zero bytes before a weight: float32, not compressed.
    weights.write(bytes(4))
    weight.tofile(weights)
    bias.tofile(weights)
    return weight
