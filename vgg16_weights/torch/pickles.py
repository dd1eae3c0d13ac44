"""A pickle read as data: what it would import and call is recorded, and nothing of it happens.

Python's own unpickler imports and calls whatever a file names. This one is a stack of values and a
dictionary: a class or function is a `Record` of its name, a call a record of name and arguments.
So a file may hold any object of any program, and tells which without harm. The opcodes are those of
the standard library's ``pickletools``, whose table also decodes their arguments.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, Final

_TUPLES: Final = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_EMPTY: Final[dict[str, Callable[[], Any]]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
}
_CONSTANTS: Final[dict[str, Any]] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_DICTIONARIES: Final = ("collections.OrderedDict", "collections.defaultdict")


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

    @property
    def mapping(self) -> dict[Any, object] | None:
        """The content of a dictionary of the standard library's; ``None`` for any other object."""
        if self.name not in _DICTIONARIES:
            return None
        pairs = self.args[0] if self.args and isinstance(self.args[0], list) else []
        return _entries([part for pair in pairs for part in pair]) | self.entries


def load(file: IO[bytes], persistent: Callable[[object], object]) -> Any:
    """The value of the pickle at a file's position, which is then behind it.

    Args:
        file: what to read.
        persistent: makes a value of a reference to what lies outside of the pickle.

    Raises ``ValueError`` for one that is damaged.
    """
    machine = _Machine(persistent)
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.step(opcode.name, argument)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"its pickle is damaged ({str(error)[:99]})") from error
    raise ValueError("its pickle has no end")


class _Machine:
    """The values so far, where marks stand between them, and what is remembered by number."""

    def __init__(self, persistent: Callable[[object], object]) -> None:
        self.stack: list[Any] = []
        self._persistent = persistent
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

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
            self._memo[len(self._memo) if argument is None else argument] = stack[-1]
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
        elif name in ("TUPLE", "LIST", "FROZENSET", "DICT"):
            values = self._since_mark()
            stack.append(
                tuple(values) if name == "TUPLE" else _entries(values) if name == "DICT" else values
            )
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
        else:
            raise ValueError(f"a pickle with the opcode {name}")

    def _fill(self, name: str) -> None:
        """Put values into the list, dictionary or object below them."""
        one = {"APPEND": 1, "SETITEM": 2}.get(name)
        values = list(self._popped(one)) if one else self._since_mark()
        target = self.stack[-1]
        if "SETITEM" in name:
            (target.entries if isinstance(target, Record) else target).update(_entries(values))
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


def _entries(values: list[Any]) -> dict[Any, object]:
    """Keys and values in turn. Only texts and numbers are keys: others could take hours to hash."""
    pairs = zip(values[::2], values[1::2], strict=True)
    return {key: value for key, value in pairs if isinstance(key, str | int)}
