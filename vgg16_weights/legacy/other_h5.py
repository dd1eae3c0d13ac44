"""HDF5 files that are not Keras's: Caffe's snapshots and PyTorch's state dicts.

Caffe's snapshot in HDF5 (``snapshot_format: HDF5``, ``src/caffe/net.cpp``, ``ToHDF5``) has a group
``data`` with a group per layer, whose arrays ``0`` and ``1`` are the weights and the bias. PyTorch
writes no HDF5, but people save state dicts in it: one array per key, or nested groups, one for each
part of the key. Both keep convolutions as (out, in, kH, kW) and dense layers as (out, in).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import h5py

from vgg16_weights.contents import PARTS, Contents
from vgg16_weights.keras import hdf5
from vgg16_weights.keras.kernels import are_oihw
from vgg16_weights.matching.layers import natural

_CAFFE: Final = "data"


def format_of(file: h5py.File) -> str:
    """The format of an HDF5 file of another program; empty if it has none of these."""
    arrays = [path for path, _ in _arrays(file)]
    if any(len(path) == 3 and path[0] == _CAFFE and path[2] == "0" for path in arrays):
        return "caffe-h5"
    return "torch-h5" if any(".".join(path).endswith(".weight") for path in arrays) else ""


def read(path: Path) -> Contents:
    """The arrays of an HDF5 file in PyTorch's order of axes."""
    with hdf5.opened(path) as file:
        return hdf5.contents_of(file, _found(file), path)


def _found(file: h5py.File) -> hdf5.Found:
    if not are_oihw([array.shape for _, array in _arrays(file)]):
        problem = "without kernels of shape (out, in, kH, kW)"
        raise ValueError(f"it is {hdf5.kind(file)} that is not Keras's, {problem}")
    if format_of(file) == "caffe-h5":
        return hdf5.Found(_blobs(file))
    return hdf5.Found((_key(path), array) for path, array in _arrays(file))


def _blobs(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """The arrays of a snapshot, without the gradients in ``diff``."""
    for path, array in _arrays(file):
        if path[0] == _CAFFE:
            *layer, blob = path[1:]
            part = PARTS[int(blob)] if blob in ("0", "1") else blob
            yield f"{'/'.join(layer)}.{part}", array


def _key(path: tuple[str, ...]) -> str:
    """``state_dict``, ``features.0.weight`` -> ``state_dict/features.0.weight``.

    If the array's name has no dot, the groups are the parts of the key.
    """
    return ("/" if "." in path[-1] else ".").join(path)


def _arrays(file: h5py.File) -> Iterator[tuple[tuple[str, ...], h5py.Dataset]]:
    for path, group in hdf5.groups(file):
        for name in sorted(group, key=natural):
            if isinstance(hdf5.child(group, name), h5py.Dataset):
                yield (*path, name), hdf5.array(group, name)
