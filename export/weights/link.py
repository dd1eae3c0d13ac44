"""Link a graph's weights to a weights file.

ONNX's external data consist of a file, an offset and a length. A canonical checkpoint stores its
tensors as ONNX's operators read them, so no byte is copied or moved.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

import onnx_ir as ir
from safetensors.numpy import save

from onnx_arbiter.models.onnx_file import require_text
from vgg16_spec.checkpoint import Checkpoint, digest, write_checkpoint
from vgg16_spec.checkpoint.header import read_header
from vgg16_spec.checkpoint.shapes import misfits
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import sync

# Smaller constants (shapes, scales of a tensor) stay in the graph, where tools expect them.
_SMALLEST: Final = 256


def take_weights(model: ir.Model, checkpoint: Checkpoint) -> None:
    """Turn the inputs of a canonical graph that are weights into initializers, in place.

    They are in the checkpoint's order and read its values when they are written.

    Raises:
        ValueError: when the graph lacks a weight, has one of another shape, or has an input that is
            neither the images nor a weight.
    """
    graph, expected = model.graph, checkpoint.configuration.weight_shapes
    inputs = {str(value.name): value for value in graph.inputs[1:]}
    found = {
        name: tuple(size for size in value.shape or () if isinstance(size, int))
        for name, value in inputs.items()
        if value.uses() or name not in expected
    }
    if problems := misfits(expected, found):
        raise ValueError(f"the weights that the traced graph reads: {'; '.join(problems)}")
    del graph.inputs[1:]
    for name in expected:
        inputs[name].const_value = weight_tensor(checkpoint, name)
        graph.register_initializer(inputs[name])


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

    ``offsets`` are initializer's name -> first byte in the file; the others stay as they are.
    ``location`` is the file's path from the ONNX file's folder, with ``/``.
    """
    for name, offset in offsets.items():
        value = model.graph.initializers[name]
        tensor = value.const_value
        assert tensor is not None
        shape = ir.Shape(tensor.shape.numpy())
        value.const_value = ir.ExternalTensor(
            location, offset, tensor.nbytes, tensor.dtype, name=name, shape=shape
        )


def offsets_of(checkpoint: Checkpoint) -> dict[str, int]:
    """The offsets, in a checkpoint's file, of the weights that its network has."""
    return {name: checkpoint.offsets[name] for name in checkpoint}


def place_weights(checkpoint: Checkpoint, path: Path) -> tuple[dict[str, int], str]:
    """Copy the checkpoint to ``path``, since ONNX refuses links; its offsets and its sha256."""
    if checkpoint.path is None or not checkpoint.is_whole_file:
        checkpoint = write_checkpoint(checkpoint, path)
    else:
        shutil.copyfile(checkpoint.path, path)
        sync(path)
    return offsets_of(checkpoint), digest(path)


def write_weights(model: ir.Model, path: Path) -> tuple[dict[str, int], str]:
    """Write a graph's large initializers, of any type, as safetensors; their offsets and sha256."""
    large = {
        str(value.name): value.const_value.numpy()
        for value in model.graph.initializers.values()
        if value.const_value is not None and value.const_value.nbytes >= _SMALLEST
    }
    path.write_bytes(save(large))  # not save_file: its files are readable by their owner only
    _, entries = read_header(path, "the file just written")
    return {name: entry.start for name, entry in entries.items()}, digest(path)


def location_from(folder: Path, checkpoint: Checkpoint) -> str:
    """The path of a checkpoint's file from the folder of an ONNX file that links to it.

    Raises:
        BadInput: where ONNX cannot follow it: in another format, outside the folder, a symbolic
            link, a file with more than one hard link, or a name that is not UTF-8 or has two dots
            in a row.
    """
    weights = checkpoint.path
    if weights is None:
        problem = "is in a format that ONNX cannot point into"
        raise BadInput(checkpoint.label, problem, "a .safetensors file, as vgg16 port writes")
    require_text(weights)
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
