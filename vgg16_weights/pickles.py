"""A pickle read as data: what it would import and call is recorded, and nothing of it happens.

Python's own unpickler imports and calls whatever a file names. This one is a stack of values and a
dictionary: a class or function is a `Record` of its name, a call a record of name and arguments.
So a file may hold any object of any program, and tells which without harm. The opcodes are those of
the standard library's ``pickletools``, whose table also decodes their arguments. Long values stay
what the file gives, such as views of a mapped one.
"""

from __future__ import annotations

import pickletools
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from vgg16_spec.architecture import Shape
from vgg16_spec.errors import unique

_OPCODES: Final = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
# What pickletools would copy -> the bytes that its length takes.
_COUNTED: Final = {"SHORT_BINSTRING": 1, "BINSTRING": 4, "BYTEARRAY8": 8}
# What Python 2 wrote is names or values: these give back the bytes of either.
_PYTHON_2: Final = ("utf-8", "surrogateescape")
_TUPLES: Final = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_EMPTY: Final[dict[str, Callable[[], Any]]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
}
_CONSTANTS: Final[dict[str, Any]] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_DICTIONARIES: Final = ("collections.OrderedDict", "collections.defaultdict")
# NumPy's and PyTorch's limit, and more elements than files have.
_MOST_AXES: Final = 64
_MOST_ELEMENTS: Final = 1 << 48


class Source(Protocol):
    """A file or what reads like one."""

    def read(self, size: int, /) -> Any:
        """So many bytes, or a view of them; fewer at the end."""

    def readline(self) -> bytes:
        """A line with its end."""


@dataclass(eq=False)
class Record:
    """A class, a function, or what a call of one would give.

    Attributes:
        name: the class's or function's full name.
        args: what it is called with.
        state: what the object is told to restore.
        entries: what would be set in it by key.
    """

    name: str
    args: tuple[object, ...] = ()
    state: object = None
    entries: dict[Any, object] = field(default_factory=dict)


def load(file: Source, persistent: Callable[[object], object]) -> Any:
    """The value of the pickle at a file's position, which is then behind it.

    Args:
        file: what to read.
        persistent: makes a value of a reference to what lies outside of the pickle.

    Raises ``ValueError`` for one that is damaged.
    """
    machine = _Machine(persistent)
    try:
        while (opcode := _OPCODES[bytes(file.read(1))]).name != "STOP":
            machine.step(opcode.name, _argument(opcode, file))
        return machine.stack.pop()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"its pickle is damaged ({str(error)[:99]})") from error


def entries(value: object) -> dict[Any, object] | None:
    """The content of a dictionary of the standard library's; ``None`` for anything else."""
    if not isinstance(value, Record):
        return value if isinstance(value, dict) else None
    if value.name not in _DICTIONARIES:
        return None
    pairs = value.args[0] if value.args and isinstance(value.args[0], list) else []
    return unique(value.entries.items(), _filled({}, pairs))


def sizes(value: object) -> Shape | None:
    """A shape or strides; ``None`` for anything else."""
    if not isinstance(value, tuple | list) or len(value) > _MOST_AXES:
        return None
    is_shape = all(type(size) is int and 0 <= size < _MOST_ELEMENTS for size in value)
    return tuple(value) if is_shape else None


def raw(value: object) -> Any:
    """The bytes that a value is, or a view of them; ``None`` for anything else."""
    if isinstance(value, str):
        return value.encode(*_PYTHON_2)
    return value if isinstance(value, bytes | memoryview) else None


def _argument(opcode: pickletools.OpcodeInfo, file: Any) -> Any:
    """What follows an opcode in the file; ``None`` for nothing."""
    if width := _COUNTED.get(opcode.name):
        size = int.from_bytes(file.read(width), "little")
        value = file.read(size)
        if len(value) < size:
            raise ValueError("it ends too soon")
        is_text = isinstance(value, bytes) and opcode.name != "BYTEARRAY8"
        return value.decode(*_PYTHON_2) if is_text else value
    return opcode.arg.reader(file) if opcode.arg else None


class _Machine:
    """The values so far, where marks stand between them, and what is remembered by number."""

    def __init__(self, persistent: Callable[[object], object]) -> None:
        self.stack: list[Any] = []
        self._persistent = persistent
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        # Characters that may still be encoded: each text of the file once.
        self._encodable = 0

    def step(self, name: str, argument: Any) -> None:
        """Do what one opcode says."""
        stack = self.stack
        if name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            stack.append(self._popped(_TUPLES[name]))
        elif "PUT" in name or name == "MEMOIZE":
            number = len(self._memo) if argument is None else argument
            if not _is_number(number):
                raise ValueError("a memo of too large a number")
            self._memo[number] = stack[-1]
        elif "GET" in name:
            stack.append(self._memo[argument])
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "MARK":
            self._marks.append(len(stack))
        elif name == "POP_MARK" or (name == "POP" and self._marks[-1:] == [len(stack)]):
            self._since_mark()
        elif name == "POP":
            stack.pop()
        elif name == "DICT":
            stack.append(_filled({}, _pairs(self._since_mark())))
        elif name in ("TUPLE", "LIST", "FROZENSET"):
            values = self._since_mark()
            stack.append(tuple(values) if name == "TUPLE" else values)
        elif name in ("APPEND", "APPENDS", "ADDITEMS", "SETITEM", "SETITEMS"):
            self._fill(name)
        elif name in ("GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "REDUCE", "NEWOBJ", "NEWOBJ_EX"):
            self._record(name, argument)
        elif name == "BUILD":
            state = stack.pop()
            if isinstance(stack[-1], Record):
                stack[-1].state = state
        elif name == "BINPERSID":
            stack.append(self._persistent(stack.pop()))
        elif argument is not None and not name.startswith(("EXT", "PERSID")):
            if name not in ("PROTO", "FRAME"):
                stack.append(argument)
                self._encodable += len(argument) if isinstance(argument, str) else 0
        else:
            raise ValueError(f"a pickle with the opcode {name}")

    def _fill(self, name: str) -> None:
        """Put values into the list, dictionary or object below them."""
        one = {"APPEND": 1, "SETITEM": 2}.get(name)
        values = list(self._popped(one)) if one else self._since_mark()
        target = self.stack[-1]
        if "SETITEM" in name:
            _filled(target.entries if isinstance(target, Record) else target, _pairs(values))
        elif not isinstance(target, Record):
            target.extend(values)

    def _record(self, name: str, argument: Any) -> None:
        """A class or function, or a call of one."""
        if name in ("GLOBAL", "STACK_GLOBAL"):
            parts = argument.split(" ") if argument else self._popped(2)
            self.stack.append(Record(".".join(parts)))
            return
        if name in ("INST", "OBJ"):
            args = self._since_mark()
            made = Record(argument.replace(" ", ".")) if argument else args.pop(0)
        else:
            if name == "NEWOBJ_EX":
                self.stack.pop()  # arguments by keyword
            args, made = self.stack.pop(), self.stack.pop()
            if not isinstance(args, tuple):
                raise ValueError("a call whose arguments are no tuple")
        match made.name, args:
            case "_codecs.encode", (str() as text, "latin1"):  # Python 3's bytes in Python 2's form
                self._encodable -= len(text)
                if self._encodable < 0:
                    raise ValueError("a text that is encoded again and again")
                self.stack.append(text.encode("latin1"))
            case _:
                self.stack.append(Record(made.name, tuple(args)))

    def _popped(self, count: int) -> tuple[Any, ...]:
        begin = len(self.stack) - count
        if begin < 0:
            raise ValueError("a pickle that takes more than it has")
        values = tuple(self.stack[begin:])
        del self.stack[begin:]
        return values

    def _since_mark(self) -> list[Any]:
        begin = self._marks.pop()
        values = self.stack[begin:]
        del self.stack[begin:]
        return values


def _pairs(values: list[Any]) -> Iterable[tuple[Any, object]]:
    """Keys and values in turn -> both together."""
    return zip(values[::2], values[1::2], strict=True)


def _filled(target: dict[Any, object], pairs: Iterable[tuple[Any, object]]) -> dict[Any, object]:
    """A dictionary with more in it.

    A key that is no name or number becomes a record of its type: others could take hours to hash.
    """
    known = (str, bytes)
    hashed = (
        (k if isinstance(k, known) or _is_number(k) else Record(type(k).__name__), v)
        for k, v in pairs
    )
    return unique(hashed, target)


def _is_number(value: object) -> bool:
    """Whether a value is an integer with a hash of its own: many that share one take hours."""
    return isinstance(value, int) and abs(value) < sys.hash_info.modulus
