"""Tensors and containers in the pickles of PyTorch, read from the calls that would build them.

The functions that build tensors are those of ``torch/_utils.py``; none of them is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import Array
from vgg16_spec.checkpoint import FLOATS, Tensor
from vgg16_weights.pickles import Record, entries, sizes

# How deep dictionaries and lists may be nested, and how much they may contain.
_MOST_LEVELS: Final = 32
_MOST_VALUES: Final = 1 << 22
_LONGEST_PATH: Final = 1024
# Storage class -> dtype; that of any other class is its name.
_DTYPES: Final = {
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Double": "float64",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}
# Keys of every state dict of an optimiser, PyTorch's or fastai's, whose tensors have the shapes of
# weights.
_OPTIMIZERS: Final = ({"state", "param_groups"}, {"state", "hypers"})
# Functions that make a tensor from another or from a storage, and those that make other kinds.
_WRAPPERS: Final = (
    "_rebuild_parameter",
    "_rebuild_parameter_with_state",
    "_rebuild_device_tensor_from_cpu_tensor",
)
_STRIDED: Final = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3")
_OTHERS: Final = {
    "_rebuild_qtensor": "quantised",
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_sparse_csr_tensor": "sparse",
    "_rebuild_nested_tensor": "nested",
    "_rebuild_meta_tensor_no_storage": "meta, which has no values",
    "_rebuild_wrapper_subclass": "a tensor subclass",
}

# Gives the mapped bytes of a storage by its key.
BytesOf: TypeAlias = Callable[[str], Array]


class Storage(NamedTuple):
    """Where a tensor's values are in the file: a storage, and where its elements begin in it."""

    key: str
    elements: int
    dtype: str = "float32"
    first: int = 0


def is_module(record: Record) -> bool:
    """Whether a record is one of an ``nn.Module``."""
    return isinstance(record.state, dict) and "_modules" in record.state


def is_optimizer(value: object) -> bool:
    """Whether a value is the state dict of an optimiser."""
    found = entries(value)
    return found is not None and any(found.keys() >= keys for keys in _OPTIMIZERS)


def walk(root: object) -> Iterator[tuple[str, Record]]:
    """The path and the record of every object in nested dictionaries and lists, in order."""
    count = 0

    def within(value: object, path: str, level: int) -> Iterator[tuple[str, Record]]:
        nonlocal count
        inside = entries(value)
        if inside is None and isinstance(value, Record):
            yield path, value
            return
        if inside is None:
            inside = dict(enumerate(value)) if isinstance(value, list | tuple) else {}
        count += len(inside)
        if count > _MOST_VALUES or level > _MOST_LEVELS:
            raise ValueError("its dictionaries and lists are too many or nested too deeply")
        if is_optimizer(value):
            return
        for key, inner in inside.items():
            if isinstance(key, str | int) and isinstance(inner, dict | list | tuple | Record):
                if len(inner_path := f"{path}/{key}" if level else str(key)) > _LONGEST_PATH:
                    raise ValueError(f"it has a key of {len(inner_path)} characters")
                yield from within(inner, inner_path, level + 1)

    return within(root, "", 0)


def persistent(reference: object) -> object:
    """The storage, or the module saved with its source, that a reference of PyTorch's means."""
    match reference:
        case ("storage", Record(name=name), str(key), _, int(elements), *view):
            kind = name.rpartition(".")[2].removesuffix("Storage")
            first = 0
            if view and isinstance(view[0], tuple):
                first = int(view[0][1])
            return Storage(key, elements, _DTYPES.get(kind, kind.lower()), first)
        case ("module", Record() as made, *_):
            return made
    raise ValueError("it has a reference that is not PyTorch's")


def storages(root: object) -> Iterator[Storage]:
    """Every storage that a pickle's records refer to, including an optimiser's."""
    waiting, seen = [root], set[int]()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        match value:
            case Storage():
                yield value
            case Record():
                waiting += [value.args, value.state, value.entries]
            case dict():
                waiting += value.values()
            case list() | tuple():
                waiting += value


def tensor(record: Record, bytes_of: BytesOf, *, is_little: bool) -> Tensor | None:
    """The tensor that a call would make; ``None`` for any other call.

    The dtype of a tensor that is not plain says what it is, such as ``sparse``.
    """
    name, args = record.name.rpartition(".")[2], record.args
    if not record.name.startswith("torch."):
        return None
    if name == "_rebuild_from_type_v2":
        match args:
            case (Record() as function, _, tuple() as inner, *_):
                return tensor(Record(function.name, inner), bytes_of, is_little=is_little)
    if name in _WRAPPERS and isinstance(args[0], Record):
        return tensor(args[0], bytes_of, is_little=is_little)
    if name in _OTHERS:
        shapes = (_shape(value) for value in _flat(args))
        return Tensor(next(filter(None, shapes), ()), _OTHERS[name], lambda: np.empty(0))
    if name not in _STRIDED:
        return None
    storage, first, size, strides, *rest = args
    shape, steps = _shape(size), _shape(strides)
    if not isinstance(storage, Storage) or not isinstance(first, int) or None in (shape, steps):
        raise ValueError("it has a tensor without a storage, a shape or strides")
    dtype = storage.dtype
    if name == "_rebuild_tensor_v3" and isinstance(rest[2], Record):
        dtype = rest[2].name.removeprefix("torch.")
    if any(isinstance(value, dict) and value for value in rest):
        dtype = f"negated or conjugated {dtype}"
    if dtype not in FLOATS:
        return Tensor(shape, dtype, lambda: np.empty(0))
    kind = FLOATS[dtype] if is_little else FLOATS[dtype].newbyteorder()
    values = bytes_of(storage.key)
    if storage.dtype in FLOATS and storage.elements * kind.itemsize > len(values):
        raise ValueError(f"storage {storage.key} is incomplete")
    view = _strided(values, kind, storage.first + first, shape, steps)
    return Tensor(shape, dtype, lambda: view)


def _flat(args: tuple[object, ...]) -> Iterator[object]:
    """Arguments, and the elements of tuples among them."""
    for value in args:
        yield value
        if isinstance(value, tuple):
            yield from value


def _shape(value: object) -> Any:
    """A shape or strides; ``None`` for anything else."""
    if isinstance(value, Record) and value.name == "torch.Size" and value.args:
        value = value.args[0]
    return sizes(value)


def _strided(values: Array, kind: np.dtype[Any], first: int, shape: Shape, steps: Shape) -> Array:
    """A view of mapped bytes. Raises ``ValueError`` if it would extend beyond them."""
    count = len(values) // kind.itemsize
    if math.prod(shape) == 0:
        return np.empty(shape, kind)
    last = first + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
    if first < 0 or last >= count:
        raise ValueError("a tensor extends beyond its storage")
    flat = values[: count * kind.itemsize].view(kind)[first:]
    return as_strided(flat, shape, [step * kind.itemsize for step in steps], writeable=False)


def itemsize(dtype: str) -> int:
    """The bytes that an element takes."""
    if dtype in _DTYPES.values():
        return int((FLOATS.get(dtype) or np.dtype(dtype)).itemsize)
    return {"qint32": 4, "quint4x2": 1}.get(dtype, 1)
