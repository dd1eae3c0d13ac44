"""NumPy files (``.npy``) of a pickled dictionary, such as ``vgg16.npy``.

Name -> [kernel, biases], with the authors' names ``conv1_1`` … ``fc8``; kernels as HWIO, dense
layers as (in, out) with fc6's inputs in H, W, C order. The network reads BGR and subtracts the
means 103.939, 116.779 and 123.68, as the authors' Caffe model does. caffe-tensorflow's converter
writes {name: {"weights": …, "biases": …}} instead; ``numpy.save`` of Keras's ``get_weights()``
gives an array of arrays in the network's order. Source: ``vgg16.py`` of machrisaa/tensorflow-vgg,
``kaffe/transformers.py`` of ethereon/caffe-tensorflow.
"""

from __future__ import annotations

import io
import mmap
import re
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any, Final

from numpy.lib import format as npy

from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import Tensor
from vgg16_spec.errors import BadInput
from vgg16_weights.contents import PARTS, Contents, by_name
from vgg16_weights.pickles import Record, entries
from vgg16_weights.tf.names import part_of, stored_shape
from vgg16_weights.tf.pickled_arrays import array, load, text

SIGNATURE: Final = b"\x93NUMPY"
_MOST_HEADER: Final = 10_000
# Enough for a dictionary of networks, of groups, of layers, of parts.
_DEEPEST: Final = 4
# The key of an array in a dictionary without layers: conv1_1_W.
_FLAT: Final = re.compile(r"(.+)_(weights?|kernel|W|biases|bias|b)")
_MOST_ENTRIES: Final = 1 << 12
# Characters of an error that contains a name.
_LONGEST: Final = 100


def read(path: Path) -> Contents:
    """The arrays of a pickled dictionary, views of the mapped file; nothing in it is executed.

    Raises ``BadInput`` for a plain array of numbers, which cannot be a network's.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    header = io.BytesIO(mapped[: _MOST_HEADER + len(SIGNATURE) + 8])
    version = npy.read_magic(header)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it is in version {version} of NumPy's format")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(header, _MOST_HEADER)
    if not dtype.hasobject:
        problem = f"holds a single array of {dtype}, {shape}, not a network"
        raise BadInput(path, problem, "a dictionary of arrays, saved by numpy.save")
    outer = load(memoryview(mapped)[header.tell() :])
    objects = array(outer) if isinstance(outer, Record) else None
    if objects is None or not objects.dtype.hasobject or objects.shape != shape:
        raise ValueError("it does not hold the Python objects that its header states")
    if shape != ():
        return Contents(by_name(_in_order(objects)), is_ordered=True)
    named = objects.item()
    if not isinstance(named, dict | Record):
        raise ValueError(f"it holds a {type(named).__name__}, not a dictionary of arrays")
    return Contents(by_name(_named(named)), data_format="channels_last")


def _in_order(objects: Array) -> Iterator[tuple[str, Tensor]]:
    """The arrays of a list (kernel, biases, kernel, biases, …), layers named by number."""
    layer = 0
    for value in objects.flat:
        if not isinstance(value, Record):
            raise ValueError("its list holds something other than arrays")
        values = array(value)
        is_kernel = values.ndim > 1
        layer += is_kernel
        yield _tensor(f"layer_{layer}.{PARTS[not is_kernel]}", values)


def _named(tree: object) -> Iterator[tuple[str, Tensor]]:
    """The key ``<group>/…/<layer>.<part>`` and the tensor of every array in nested dictionaries."""
    waiting: list[tuple[str, Any, int]] = [("", tree, 0)]
    for _ in range(_MOST_ENTRIES):
        if not waiting:
            return
        name, value, depth = waiting.pop()
        members = entries(value)
        if members is None and isinstance(value, Record):
            yield _tensor(_key(name), array(value))
            continue
        if members is None and not isinstance(value, list | tuple):
            raise ValueError(f"{name} is not an array")
        if depth > _DEEPEST:
            raise ValueError(f"{name} is nested too deeply, or in itself"[:_LONGEST])
        if members is None:
            members = dict(zip(_numbered(), value, strict=False))
        within = f"{name}/" if name else ""
        waiting += [(f"{within}{text(k)}", inner, depth + 1) for k, inner in members.items()][::-1]
    raise ValueError(f"it has more than {_MOST_ENTRIES} entries")


def _numbered() -> Iterator[str]:
    """The names of a layer's arrays, where these have none."""
    return chain(PARTS, (f"array {number}" for number in count(len(PARTS))))


def _key(name: str) -> str:
    """``conv1_1/weights``, ``conv1_1/weights:0`` or ``conv1_1_W`` -> ``conv1_1.weight``"""
    name = name.removesuffix(":0")
    flat = None if "/" in name else _FLAT.fullmatch(name)
    layer, part = flat.groups() if flat else name.rpartition("/")[::2]
    return f"{layer or 'array'}.{part_of(part)}"


def _tensor(key: str, values: Array) -> tuple[str, Tensor]:
    if values.dtype.hasobject:
        raise ValueError(f"{key} has Python objects in it"[:_LONGEST])
    shape = stored_shape(key, values.shape)
    return key, Tensor(shape, str(values.dtype), lambda: values.reshape(shape))
