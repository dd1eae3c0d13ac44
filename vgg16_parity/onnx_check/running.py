"""ONNX Runtime's outputs, in a process of its own: a graph may never end, or take all memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from export.session import open_session, require_onnxruntime
from vgg16_parity.onnx_check.walk import TracedGraph
from vgg16_spec.architecture import CONFIGURATIONS
from vgg16_spec.files.apart import run_apart
from vgg16_spec.files.scratch import scratch_folder

_MOST_IMAGES: Final = 256
# Importing the library and opening the graph, and each image: VGG16 takes 0.3 s on two cores.
_SECONDS, _SECONDS_PER_IMAGE = 45, 3
# The library itself with its largest temporary arrays. Of each weight it has the file's bytes, a
# float32 copy, and a second one in the order in which it multiplies.
_MEMORY: Final = 500_000_000
_BYTES_PER_WEIGHT: Final = 12
# Three maps of an image at a time: a layer's input, its output, and what it pads or reorders.
_BYTES_PER_IMAGE: Final = 3 * 4 * math.prod(CONFIGURATIONS["D"].output_shapes()["block1_conv1"])
_BYTES_PER_THREAD: Final = 16 << 20


def has_subgraph(node: ir.Node) -> bool:
    """Whether a node runs graphs of its own: a loop, a scan or a branch."""
    kinds = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    return any(attribute.type in kinds for attribute in node.attributes.values())


def run(
    path: Path, model: ir.Model, found: TracedGraph, inputs: Sequence[NDArray[Any]]
) -> NDArray[Any]:
    """The output for each image, (images, classes); a fixed batch repeats the image.

    Raises ``BadInput`` where ONNX Runtime is not installed, and ``ValueError`` that says why the
    file does not run.
    """
    require_onnxruntime()
    batch = next(iter(found.front.shape), None) or 1
    if batch > _MOST_IMAGES:
        raise ValueError(f"it takes {batch:,} images at a time, more than {_MOST_IMAGES}")
    images = batch * len(inputs)
    weights = sum(tensor.size for tensor in _tensors(model.graph))
    memory = _MEMORY + _BYTES_PER_WEIGHT * weights + _BYTES_PER_IMAGE * batch
    with scratch_folder("vgg16-check") as folder:
        for number, image in enumerate(inputs):
            np.save(folder / f"{number}.npy", image)
        run_apart(
            run_here,
            *(str(path), str(folder), str(found.front.images.name), found.output),
            *(batch, len(inputs)),
            doing="running it",
            seconds=_SECONDS + _SECONDS_PER_IMAGE * images,
            memory=memory + _BYTES_PER_THREAD * (os.cpu_count() or 1),
        )
        outputs = [np.load(folder / f"{number}.out.npy") for number in range(len(inputs))]
    return np.concatenate(outputs)


def _tensors(graph: ir.Graph) -> Iterator[ir.TensorProtocol]:
    """What a graph stores: its initializers, and the values of ``Constant`` nodes."""
    for value in graph.initializers.values():
        if value.const_value is not None:
            yield value.const_value
    for node in graph:
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.TENSOR:
                yield attribute.as_tensor()


def run_here(path: str, folder: str, image: str, output: str, batch: int, count: int) -> None:
    """Run a graph on the images of a folder, ``0.npy`` and so on, and leave its outputs there."""
    session = open_session(Path(path))
    from onnxruntime import RunOptions

    options = RunOptions()
    options.log_severity_level = 4  # the report shows a failure
    for number in range(count):
        given = {image: np.repeat(np.load(Path(folder) / f"{number}.npy"), batch, axis=0)}
        (values,) = session.run([output], given, options)
        np.save(Path(folder) / f"{number}.out.npy", np.asarray(values)[:1])
