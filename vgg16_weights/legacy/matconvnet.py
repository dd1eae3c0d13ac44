"""MatConvNet's ``imagenet-vgg-verydeep-16.mat``, and any VGG in the form of its SimpleNN.

A cell ``layers`` of structures with ``name``, ``type`` and ``weights``, a cell of filters and
biases; before its version 1.0-beta17 two fields, ``filters`` and ``biases``. Filters are single
(height, width, in, out) in MATLAB's order, dense layers too: fc6 is 7x7. Its importer took the
authors' Caffe model, reversed the input channels of the first kernel, so that it reads RGB, and
subtracts the means 123.68, 116.779 and 103.939. A checkpoint of these weights has the authors'
order, BGR, and recipe: the channels are reversed again, a pure move of values. Source:
``utils/import-caffe.py`` and ``utils/import-ref-models.sh`` of vlfeat/matconvnet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from vgg16_spec.architecture import IMAGE_CHANNELS, Configuration, Shape
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import Checkpoint, Tensor
from vgg16_spec.errors import BadInput, require_file
from vgg16_spec.images.preprocessing import RECIPES
from vgg16_weights.formats import Format, stated_or_default
from vgg16_weights.layer_names import (
    FIRST_KERNEL,
    canonical_name,
    configuration_named,
    swap_rgb_bgr,
)
from vgg16_weights.legacy import matlab
from vgg16_weights.legacy.matlab import Matrix

FORMAT: Final = Format(
    name="matconvnet",
    ending=".mat",
    title="a SimpleNN of MatConvNet's (.mat of MATLAB's version 5 to 7)",
    writable=False,
)

_LAYERS, _WEIGHTS, _NORMALIZATION = "layers", "weights", "normalization"
# Means of the same pixels differ in their last printed digit; of other data, by whole numbers.
_CLOSE: Final = 0.01
_OLDER: Final = ("filters", "biases")
_PARTS: Final = ("weight", "bias")


def recognises(path: Path, start: bytes, members: frozenset[str]) -> bool:  # noqa: ARG001
    """Whether the file begins as MATLAB's do, of any version since 5."""
    return start.startswith((matlab.SIGNATURE, matlab.SIGNATURE_OF_HDF5))


def read(path: Path) -> Checkpoint:
    """A SimpleNN's weights as a checkpoint; tensors are views of the mapped file.

    Where MATLAB has compressed them, of a temporary file that they are inflated into.

    Raises ``BadInput`` for a file that is missing, truncated, damaged or of another kind, in the
    form of MATLAB 7.3, or a DagNN, for means that are not the authors', and that lists every tensor
    that does not fit.
    """
    require_file(path, FORMAT.title)
    try:
        with path.open("rb") as file:
            start = file.read(len(matlab.SIGNATURE))
        if start == matlab.SIGNATURE_OF_HDF5:
            raise BadInput(path, "is in the form of MATLAB 7.3", "one saved with -v7")
        if start != matlab.SIGNATURE:
            raise ValueError("it does not begin as MATLAB's files do")
        variables = {variable.name: variable for variable in matlab.variables(path)}
        stored = dict(_arrays(variables))
        _check_mean(path, variables)
        axes = {name: _axes(name, matrix.shape) for name, matrix in stored.items()}
        configuration = configuration_named(axes, str(path))
    except BadInput:
        raise
    except Exception as error:  # whatever a damaged file leads to
        raise BadInput(path, f"cannot be used ({error})", FORMAT.title) from error
    tensors = {
        name: _tensor(name, matrix, axes[name], configuration) for name, matrix in stored.items()
    }
    metadata = stated_or_default(None, path, FORMAT, "caffe")
    return Checkpoint(configuration, metadata, tensors, label=str(path))


def _check_mean(path: Path, variables: Mapping[str, Matrix]) -> None:
    """Raise ``BadInput`` for a network whose image, where it has one, has other means.

    MatConvNet trained some by itself, with means of its own: no recipe is theirs.
    """
    meta = variables.get("meta")
    holder = meta.fields().get(_NORMALIZATION) if meta else variables.get(_NORMALIZATION)
    image = holder.fields().get("averageImage") if holder else None
    if image is None or len(image.shape) != 3 or image.shape[2] != IMAGE_CHANNELS:
        return
    found = image.reversed().mean(axis=(1, 2), dtype=np.float64)  # (RGB, width, height)
    expected = np.array(RECIPES["caffe"].mean[::-1])
    if not (np.abs(found - expected) < _CLOSE).all():
        problem = f"subtracts the means {tuple(found.round(3).tolist())}, which no recipe has"
        raise BadInput(path, problem, f"the authors', {tuple(expected.tolist())}")


def _arrays(variables: Mapping[str, Matrix]) -> Iterator[tuple[str, Matrix]]:
    """Canonical tensor name and array, of every layer that has some."""
    network = variables.get(_LAYERS)
    if network is None:
        raise ValueError(f"it has no variable {_LAYERS!r}")
    if network.kind != matlab.CELL:
        raise ValueError(f"its {_LAYERS!r} is no cell, as that of a SimpleNN is")
    found: set[str] = set()
    for layer in network.cells():
        fields = layer.fields()
        if _WEIGHTS in fields:
            arrays = fields[_WEIGHTS].cells() if math.prod(fields[_WEIGHTS].shape) else []
        else:
            arrays = [fields[name] for name in _OLDER if name in fields]
        label = canonical_name(fields["name"].text()) if arrays else ""
        for number, array in enumerate(arrays):
            part = _PARTS[number] if number < len(_PARTS) else f"array {number}"
            name = f"{label}.{part}"
            if name in found:
                raise ValueError(f"{name} is there twice")
            found.add(name)
            array.check()
            yield name, array


def _axes(name: str, shape: Shape) -> Shape:
    """(height, width, in, out) -> (out, in, height, width); biases without their axes of one."""
    if not name.endswith(".weight"):
        longer = tuple(size for size in shape if size != 1)
        return longer or (1,)
    height, width, inputs, outputs, *more = (*shape, 1, 1)[: max(4, len(shape))]
    return (outputs, inputs, height, width, *more)


def _tensor(name: str, matrix: Matrix, axes: Shape, configuration: Configuration) -> Tensor:
    expected = configuration.weight_shapes.get(name, axes)
    shape = axes
    if len(axes) == 4 and len(expected) == 2:
        outputs, *inputs = axes
        # A dense layer is a convolution over the whole map, fc1, or over one pixel.
        if tuple(inputs) in (configuration.feature_shape, (expected[1], 1, 1)):
            shape = (outputs, math.prod(inputs))

    def view() -> Array:
        values = matrix.reversed()  # (out, in, width, height)
        if len(axes) != 4:
            return values.reshape(axes)
        values = values.reshape(axes[0], axes[1], axes[3], axes[2]).transpose(0, 1, 3, 2)
        return swap_rgb_bgr(values) if name == FIRST_KERNEL else values

    return Tensor(shape, matrix.dtype(), view)
