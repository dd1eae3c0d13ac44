"""Link a graph's weights to a weights file.

ONNX's external data consist of a file, an offset and a length. A canonical checkpoint stores its
tensors as ONNX's operators read them, so no byte is copied or moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

import onnx_ir as ir
from safetensors.numpy import save

from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.header import read_header
from vgg16_spec.errors import BadInput

# Smaller constants (shapes, scales of a tensor) stay in the graph, where tools expect them.
_SMALLEST: Final = 256


def take_weights(model: ir.Model, checkpoint: Checkpoint) -> None:
    """Turn the inputs of a canonical graph that are weights into initializers, in place.

    They are in the checkpoint's order and read its values when they are written.

    Raises:
        ValueError: when the graph lacks a weight, has one of another shape, or has an input that is
            neither the images nor a weight.
    """
    graph = model.graph
    inputs = {str(value.name): value for value in graph.inputs[1:]}
    if unknown := [name for name in inputs if name not in checkpoint]:
        raise ValueError(f"the traced graph has inputs that are no weights: {', '.join(unknown)}")
    del graph.inputs[1:]
    for name, shape in checkpoint.configuration.weight_shapes.items():
        value = inputs.get(name)
        if value is None or not value.uses():
            raise ValueError(f"the traced graph has no use for the weight {name}")
        if value.shape != shape:
            raise ValueError(f"the traced graph has {name} as {value.shape}, expected {shape}")
        value.const_value = weight_tensor(checkpoint, name)
        graph.register_initializer(value)


def weight_tensor(
    checkpoint: Checkpoint, name: str, dtype: ir.DataType = ir.DataType.FLOAT
) -> ir.TensorProtocol:
    """A checkpoint's tensor in another type of number, read when its values are asked for."""

    def read() -> ir.TensorProtocol:
        return ir.Tensor(checkpoint[name].astype(dtype.numpy(), copy=False), name=name)

    shape = ir.Shape(checkpoint.configuration.weight_shapes[name])
    return ir.LazyTensor(read, dtype, shape, name=name)


def link_weights(model: ir.Model, offsets: Mapping[str, int], location: str) -> None:
    """Point a graph's weights to their bytes in a file, in place.

    Args:
        model: its initializers know their types and shapes.
        offsets: initializer's name -> first byte in the file; the others stay as they are.
        location: the file's path from the ONNX file's folder, with ``/``.
    """
    for name, offset in offsets.items():
        value = model.graph.initializers[name]
        tensor = value.const_value
        if tensor is None:
            raise ValueError(f"the weight {name} has no type")
        value.const_value = ir.ExternalTensor(
            location,
            offset,
            tensor.nbytes,
            tensor.dtype,
            name=name,
            shape=ir.Shape(tensor.shape.numpy()),
        )


def offsets_of(checkpoint: Checkpoint) -> dict[str, int]:
    """The offsets, in a checkpoint's file, of the weights that its network has."""
    return {name: checkpoint.offsets[name] for name in checkpoint}


def write_weights(model: ir.Model, path: Path) -> dict[str, int]:
    """Write a graph's large initializers, of any type, as safetensors; return their offsets."""
    large = {
        str(value.name): value.const_value.numpy()
        for value in model.graph.initializers.values()
        if value.const_value is not None and value.const_value.nbytes >= _SMALLEST
    }
    path.write_bytes(save(large))  # not save_file: its files are readable by their owner only
    _, entries = read_header(path, "the file just written")
    return {name: entry.start for name, entry in entries.items()}


def location_from(folder: Path, weights: Path) -> str:
    """A weights file's path from the folder of an ONNX file that links to it.

    Raises:
        BadInput: where ONNX would not follow it: outside the folder, a symbolic link, a file with
            more than one hard link, or a name with two dots in a row.
    """
    folder, real = folder.resolve(), weights.resolve()
    if not real.is_relative_to(folder):
        raise BadInput(weights, f"is outside {folder}", "the ONNX file beside its weights file")
    if weights.is_symlink():
        raise BadInput(weights, "is a symbolic link", "the file itself, as ONNX demands")
    if (links := real.stat().st_nlink) > 1:
        raise BadInput(weights, f"has {links} hard links", "one, as ONNX demands")
    location = str(PurePosixPath(real.relative_to(folder)))
    if ".." in location:
        raise BadInput(weights, "has two dots in a row in its name", "one that ONNX takes for safe")
    return location
