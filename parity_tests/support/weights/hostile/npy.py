"""NumPy dictionaries that mean harm: pickles that call, claim, or build what no array is."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from parity_tests.support.weights.hostile.common import Calls, Hostile, evaluated, system, touch
from parity_tests.support.weights.tensorflow_files import header, save
from vgg16_spec.checkpoint import Checkpoint

START: Final = b"\x80\x02"


def pickled(payload: Callable[[Path], object], protocol: int) -> Hostile:
    def make(path: Path, tiny: Checkpoint) -> None:
        save(path, {"conv1_1": [payload(path)]}, protocol)

    return make


def written(content: bytes) -> Hostile:
    def make(path: Path, tiny: Checkpoint) -> None:
        path.write_bytes(header() + content)

    return make


def as_a_function_of_numpys(path: Path, tiny: Checkpoint) -> None:
    """NumPy's own functions run code too."""
    call = b"cnumpy.testing._private.utils\nruncode\n" + _text(touch(path)) + b"\x85R."
    path.write_bytes(header() + START + call)


def instance(path: Path, tiny: Checkpoint) -> None:
    """The oldest form of a call."""
    path.write_bytes(header() + b"(S'" + touch(path).encode() + b"'\nios\nsystem\n.")


def on_a_class(path: Path, tiny: Checkpoint) -> None:
    """A state for a class, which would change it for the whole process."""
    path.write_bytes(header() + START + b"cnumpy\nndarray\nN}U\x01xK\x01s\x86b.")


def deep_name(path: Path, tiny: Checkpoint) -> None:
    """A name that takes more of the processor's stack to hash than there is."""
    save(path, {0xABCD: []}, 2)
    before, after = path.read_bytes().split(b"M\xcd\xab")
    path.write_bytes(before + b")" + b"\x85" * 100_000 + after)


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _array(shape: bytes, values: bytes) -> bytes:
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
    kind = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ" + b"\xff" * 4 + b"J"
    return made + shape + kind + b"\xff" * 4 + b"K\x00tb\x89" + values + b"tb."


NPY: Final[dict[str, tuple[Hostile, str]]] = {
    **{
        f"a call in an .npy of protocol {protocol}": (pickled(system, protocol), "posix.system")
        for protocol in (2, 4)
    },
    "an evaluation in an .npy": (pickled(evaluated, 4), "refers to builtins.eval"),
    "a format's own method in an .npy": (
        pickled(lambda path: Calls(os.mkdir, str(path.with_name("made"))), 4),
        "refers to posix.mkdir",
    ),
    "a function of NumPy's": (as_a_function_of_numpys, "refers to numpy.testing"),
    "an instance in an .npy": (instance, "cannot be used"),
    "a state for a class": (on_a_class, "cannot be used"),
    "an array of terabytes": (
        written(START + _array(b"(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft", b"U\x01x")),
        "is incomplete",
    ),
    "bytes of exabytes": (written(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62)), "too soon"),
    "a byte array of gigabytes": (
        written(b"\x80\x05\x96" + struct.pack("<Q", 8 << 30)),
        "ends too soon",
    ),
    "a frame of exabytes": (written(b"\x80\x04\x95" + struct.pack("<Q", 1 << 62)), "too soon"),
    "a memo of gigabytes": (
        written(START + b"Nr" + b"\xff" * 4 + b"."),
        "does not hold the Python objects",
    ),
    "a million dictionaries": (written(START + b"(" + b"}" * 1_000_000), "more instructions"),
    "tuples a hundred thousand deep": (deep_name, "a name that is not text"),
    "an endless line": (written(START + b"c" + b"x" * 1_000_000), "a name that is too long"),
}
