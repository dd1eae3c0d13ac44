"""A pickle of named arrays, read without NumPy's or anybody's code being called by it.

``pickle``'s interpreter in Python runs with the instructions that dictionaries of arrays need and
no others. What such a pickle calls are four functions; each has a stand-in here, which only notes
what it was given. So nothing is executed, and nothing is allocated because the file claims a size:
large values stay views of the mapped file. Source of the states: ``array_reduce`` and
``arraydescr_reduce`` in NumPy's ``multiarray``.
"""

from __future__ import annotations

import enum
import math
import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

import numpy as np

from vgg16_spec.architecture import Shape
from vgg16_spec.blocks import Array

# A VGG of 19 layers takes 3,000 reads; an instruction of one byte may make an object of 64.
_MOST_READS: Final = 1 << 17
# Names and instructions are copied; the values of arrays are not.
_LONGEST_COPY: Final = 1 << 12
_LONGEST_LINE: Final = 256
_DTYPE: Final = re.compile(r"[fiu][1248]|b1|O8?")


class _Callable(enum.Enum):
    """What a pickle of arrays calls or names as a class."""

    RECONSTRUCT = enum.auto()
    FROM_BUFFER = enum.auto()
    DTYPE = enum.auto()
    ENCODE = enum.auto()
    ORDERED_DICT = enum.auto()
    NDARRAY = enum.auto()


_KNOWN: Final[Mapping[tuple[str, str], _Callable]] = MappingProxyType(
    {
        # Before and after NumPy 2 moved its core.
        ("numpy.core.multiarray", "_reconstruct"): _Callable.RECONSTRUCT,
        ("numpy._core.multiarray", "_reconstruct"): _Callable.RECONSTRUCT,
        ("numpy.core.numeric", "_frombuffer"): _Callable.FROM_BUFFER,
        ("numpy._core.numeric", "_frombuffer"): _Callable.FROM_BUFFER,
        ("numpy", "dtype"): _Callable.DTYPE,
        ("numpy", "ndarray"): _Callable.NDARRAY,
        # How Python 3 writes bytes in Python 2's form.
        ("_codecs", "encode"): _Callable.ENCODE,
        ("collections", "OrderedDict"): _Callable.ORDERED_DICT,
    }
)


class PickledDtype:
    """``numpy.dtype``, with the byte order that its state gives it."""

    def __init__(self, code: object) -> None:
        text = _text(code)
        if not _DTYPE.fullmatch(text):
            raise ValueError(f"it has an array of type {text!r}")
        self.dtype = np.dtype(text)

    def set_state(self, state: object) -> None:
        """Take ``(version, byte order, …)``."""
        order = _text(state[1]) if isinstance(state, tuple) and len(state) > 1 else ""
        if order not in ("<", ">", "|", "="):
            raise ValueError("it has an array of a type that is not understood")
        self.dtype = self.dtype.newbyteorder("<" if order == "=" else order)  # type: ignore[arg-type]


class PickledArray:
    """An array: ``objects`` of one that holds Python's, else its values by `values`.

    Attributes:
        shape: of the array.
        dtype: of its values.
        objects: the flattened array of one of objects.
    """

    def __init__(self) -> None:
        self.shape: Shape = ()
        self.dtype = np.dtype(np.float32)
        self.objects: list[Any] | None = None
        self._data: Any = b""
        self._is_fortran = False

    def set_state(self, state: object) -> None:
        """Take ``(version, shape, dtype, Fortran's order, values)``; the first has no version.

        Raises ``ValueError`` where the values are not those of the shape and type.
        """
        fields = state[-4:] if isinstance(state, tuple) else ()
        match fields:
            case (tuple() as shape, PickledDtype() as stated, bool() | int() as fortran, data):
                self._fill(shape, stated.dtype, data, is_fortran=bool(fortran))
            case _:
                raise ValueError("it has an array whose state is not understood")

    def _fill(self, shape: Shape, dtype: np.dtype[Any], data: Any, *, is_fortran: bool) -> None:
        if not all(isinstance(size, int) and size >= 0 for size in shape):
            raise ValueError(f"it has an array of shape {shape}"[:100])
        count = math.prod(shape)
        if dtype.hasobject:
            if not isinstance(data, list) or len(data) != count:
                raise ValueError("it has an array of objects that are not there")
            self.objects = data
        elif not isinstance(data, bytes | memoryview) or len(data) != count * dtype.itemsize:
            raise ValueError(f"it has an array of shape {shape} whose values are not all there")
        self.shape, self.dtype, self._data, self._is_fortran = shape, dtype, data, is_fortran

    def values(self) -> Array:
        """The array, a view of the mapped file where its values lie there."""
        flat = np.frombuffer(self._data, self.dtype)
        return flat.reshape(self.shape, order="F" if self._is_fortran else "C")


def load(mapped: memoryview) -> Any:
    """What is pickled: dictionaries, lists, tuples, texts, numbers and `PickledArray`.

    Raises whatever ``pickle`` does for a damaged file, and ``ValueError`` for one that has anything
    else in it. Texts that Python 2 wrote are bytes.
    """
    return _Unpickler(_Reader(mapped), encoding="bytes").load()


class _Reader:
    """A mapped file as ``pickle`` reads it; long pieces are views."""

    def __init__(self, mapped: memoryview) -> None:
        self._mapped, self._position, self._reads = mapped, 0, 0

    def read(self, size: int) -> Any:
        self._reads += 1
        if self._reads > _MOST_READS:
            raise ValueError("it has more instructions than the weights of a VGG take")
        end = self._position + size
        if end > len(self._mapped):
            raise ValueError("it ends too soon")
        piece, self._position = self._mapped[self._position : end], end
        return bytes(piece) if size <= _LONGEST_COPY else piece

    def readline(self) -> bytes:
        line = bytes(self._mapped[self._position : self._position + _LONGEST_LINE])
        end = line.find(b"\n") + 1
        if not end:
            raise ValueError("it has a name that is too long")
        return bytes(self.read(end))


# The instructions that arrays, dictionaries, lists, tuples, texts and numbers take.
_INSTRUCTIONS: Final = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.STACK_GLOBAL),
    *(pickle.EMPTY_DICT, pickle.EMPTY_LIST, pickle.EMPTY_TUPLE, pickle.APPEND, pickle.APPENDS),
    *(pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BINFLOAT),
    *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1),
    *(pickle.BINSTRING, pickle.SHORT_BINSTRING),
    *(pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.BINUNICODE8),
    *(pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINBYTES8),
    *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE, pickle.BINGET, pickle.LONG_BINGET),
)


class _Unpickler(pickle._Unpickler):  # type: ignore[name-defined,misc,unused-ignore]
    """Python's own interpreter, with few instructions.

    Its memo is a dictionary: in the one in C, a number in the file decides how large a table is.
    """

    stack: list[Any]
    read: Callable[[int], Any]
    pop_mark: Callable[[], list[Any]]

    def find_class(self, module: str, name: str) -> _Callable:
        """What stands in for a function or a class."""
        if (found := _KNOWN.get((module, name))) is None:
            raise ValueError(f"it refers to {module}.{name}"[:100])
        return found

    def _skip_frame(self) -> None:
        # Frames only say how far to read ahead.
        self.read(8)

    def _reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(arguments, tuple):
            raise ValueError("it calls something without arguments")
        self.stack.append(_called(function, arguments))

    def _build(self) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        if not isinstance(made, PickledArray | PickledDtype):
            raise ValueError("it gives a state to something that is no array")
        made.set_state(state)

    def _set_items(self) -> None:
        items = self.pop_mark()
        self._update(zip(map(_text, items[::2]), items[1::2], strict=True))

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([(_text(key), value)])

    def _update(self, items: Iterable[tuple[str, Any]]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise ValueError("it sets an item of something that is no dictionary")
        for key, value in items:
            if key in target:
                raise ValueError(f"it holds {key} twice")
            target[key] = value

    def _bytearray(self) -> None:
        self.stack.append(self.read(int.from_bytes(self.read(8), "little")))

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **{code[0]: pickle._Unpickler.dispatch[code[0]] for code in _INSTRUCTIONS},  # type: ignore[attr-defined,unused-ignore]
        pickle.FRAME[0]: _skip_frame,
        pickle.REDUCE[0]: _reduce,
        pickle.BUILD[0]: _build,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.BYTEARRAY8[0]: _bytearray,
    }


def _called(function: object, arguments: tuple[Any, ...]) -> Any:
    """What a call makes. Raises ``ValueError`` for any other than those of arrays."""
    match function, arguments:
        case _Callable.RECONSTRUCT, (_Callable.NDARRAY, *_):
            return PickledArray()
        case _Callable.FROM_BUFFER, (data, PickledDtype() as stated, shape, order):
            array = PickledArray()
            array.set_state((1, shape, stated, order == "F", data))
            return array
        case _Callable.DTYPE, (code, *_):
            return PickledDtype(code)
        case _Callable.ENCODE, (str() as text, "latin1"):
            return text.encode("latin1")
        case _Callable.ORDERED_DICT, ():
            return {}
    raise ValueError("it calls something as no pickle of arrays does")


def _text(value: object) -> str:
    """A name, which Python 2 wrote as bytes."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    if not isinstance(text, str) or not text.isprintable():
        raise ValueError("it has a name that is no text")
    return text
