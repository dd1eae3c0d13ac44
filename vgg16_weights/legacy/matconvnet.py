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

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from vgg16_spec.architecture import IMAGE_CHANNELS
from vgg16_spec.checkpoint import Tensor
from vgg16_spec.errors import BadInput
from vgg16_spec.images.recipes import RECIPES
from vgg16_weights.contents import PARTS, Contents, by_name
from vgg16_weights.first_reading import check_readable

_SIGNATURE: Final = b"MATLAB 5.0 MAT-file"
_SIGNATURE_OF_HDF5: Final = b"MATLAB 7.3 MAT-file"
_LAYERS, _WEIGHTS, _META, _NORMALIZATION = "layers", "weights", "meta", "normalization"
# Means of the same pixels differ in their last printed digit; of other data, by whole numbers.
_CLOSE: Final = 0.01
_OLDER: Final = ("filters", "biases")


def read(path: Path) -> Contents:
    """A SimpleNN's weights, held in memory.

    Raises ``BadInput`` for the form of MATLAB 7.3, and for other means than the authors'.
    """
    with path.open("rb") as file:
        start = file.read(len(_SIGNATURE))
    if start == _SIGNATURE_OF_HDF5:
        raise BadInput(path, "is in the form of MATLAB 7.3", "one saved with -v7")
    if start != _SIGNATURE:
        raise ValueError("it does not begin as MATLAB's files do")
    check_readable(load, path)
    variables = load(str(path))
    _check_mean(path, variables)
    # Where fc6 is of 1x1, its inputs are in the order of the Caffe layer that it was made from.
    return Contents(by_name(_tensors(variables)), data_format="channels_first")


def load(path: str) -> dict[str, Any]:
    """The variables of a file that matter here, as SciPy reads them."""
    from scipy.io import loadmat

    variables: dict[str, Any] = loadmat(
        path,
        appendmat=False,
        mat_dtype=True,  # MATLAB stores whole numbers as integers, whatever their class
        struct_as_record=False,
        variable_names=[_LAYERS, _META, _NORMALIZATION],
    )
    return variables


def _check_mean(path: Path, variables: Mapping[str, Any]) -> None:
    """Raise ``BadInput`` for a network whose image, where it has one, has other means.

    MatConvNet trained some itself, with means of its own: no recipe has them.
    """
    meta = variables.get(_META)
    holder = variables.get(_NORMALIZATION) if meta is None else _fields(meta).get(_NORMALIZATION)
    image = None if holder is None else _fields(holder).get("averageImage")
    if image is None or np.ndim(image) != 3 or image.shape[2] != IMAGE_CHANNELS:
        return
    found = image.mean(axis=(0, 1), dtype=np.float64)  # RGB
    expected = np.array(RECIPES["caffe"].mean[::-1])
    if not (np.abs(found - expected) < _CLOSE).all():
        problem = f"subtracts the means {tuple(found.round(3).tolist())}, which no recipe has"
        raise BadInput(path, problem, f"the authors', {tuple(expected.tolist())}")


def _tensors(variables: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Canonical name and tensor, of every layer that has arrays."""
    if _LAYERS not in variables:
        raise ValueError(f"it has no variable {_LAYERS!r}")
    for layer in _cells(variables[_LAYERS]):
        fields = _fields(layer)
        if _WEIGHTS in fields:
            arrays = _cells(fields[_WEIGHTS]) if fields[_WEIGHTS].size else []
        else:
            arrays = [fields[name] for name in _OLDER if name in fields]
        label = _text(fields.get("name")) if arrays else ""
        for number, array in enumerate(arrays):
            part = PARTS[number] if number < len(PARTS) else f"array {number}"
            yield f"{label}.{part}", _tensor(f"{label}.{part}", array)


def _tensor(name: str, array: Any) -> Tensor:
    """Filters as (height, width, in, out), biases without their axes of one."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fciu":
        raise ValueError(f"{name} is not an array of numbers")
    if name.endswith(".weight"):
        # MATLAB leaves out the last axes of one.
        shape = (*array.shape, 1, 1)[: max(4, array.ndim)]
    else:
        shape = tuple(size for size in array.shape if size != 1) or (1,)
    return Tensor(shape, str(array.dtype), partial(array.reshape, shape, order="F"))


def _cells(value: Any) -> list[Any]:
    """The arrays in a cell. Raises ``ValueError`` for anything else."""
    cells = value.ravel().tolist() if isinstance(value, np.ndarray) else [None]
    if value.dtype != object or any(hasattr(cell, "_fieldnames") for cell in cells):
        raise ValueError(f"its {_LAYERS!r} or their weights are not a cell, as a SimpleNN's are")
    return cells


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a single structure. Raises ``ValueError`` for anything else."""
    single = isinstance(value, np.ndarray) and value.size == 1
    structure: Any = value.item() if single else None
    if not hasattr(structure, "_fieldnames"):
        raise ValueError("an array is not a single structure")
    return {name: getattr(structure, name) for name in structure._fieldnames}


def _text(value: Any) -> str:
    if not isinstance(value, np.ndarray) or value.dtype.kind != "U" or value.size != 1:
        raise ValueError("a layer's name is not text")
    return str(value.item())
