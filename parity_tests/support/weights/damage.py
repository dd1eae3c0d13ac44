"""Changes of whole containers, each of one thing: bytes in, bytes out."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable

import h5py
import numpy as np

# What changes a whole file.
Damage = Callable[[bytes], bytes]


def replaced(old: bytes, new: bytes, *, last: bool = False) -> Damage:
    def change(data: bytes) -> bytes:
        at = data.rfind(old) if last else data.find(old)
        assert at >= 0
        return data[:at] + new + data[at + len(old) :]

    return change


def members(change: Callable[[dict[str, bytes]], object]) -> Damage:
    """A zip archive with other members, which are stored."""

    def damage(data: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as old:
            found = {name: old.read(name) for name in old.namelist()}
        change(found)
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as new:
            for name, content in found.items():
                new.writestr(name, content)
        return target.getvalue()

    return damage


def edited(suffix: str, old: bytes, new: bytes) -> Damage:
    """A zip archive with other bytes in the member whose name ends so."""

    def change(found: dict[str, bytes]) -> None:
        (name,) = (each for each in found if each.endswith(suffix))
        found[name] = replaced(old, new)(found[name])

    return members(change)


def h5(change: Callable[[h5py.File], object]) -> Damage:
    """An HDF5 file that was opened and changed."""

    def damage(data: bytes) -> bytes:
        target = io.BytesIO(data)
        with h5py.File(target, "r+") as file:
            change(file)
        return target.getvalue()

    return damage


def commented(data: bytes) -> bytes:
    """A zip archive with a comment of somebody's."""
    target = io.BytesIO(data)
    with zipfile.ZipFile(target, "a") as archive:
        archive.comment = b"my weights"
    return target.getvalue()


def ending_early(data: bytes) -> bytes:
    """A compressed archive whose last member inflates to a value less than it claims."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w") as new:
        *whole, last = old.namelist()
        for name in whole:
            new.writestr(name, old.read(name), zipfile.ZIP_DEFLATED)
        new.writestr(last, old.read(last)[:-4], zipfile.ZIP_DEFLATED)
        new.getinfo(last).file_size += 4
    return target.getvalue()


def variables(count: int) -> Damage:
    """A layer of Keras's with so many variables."""

    def add(file: h5py.File) -> None:
        for number in range(2, count):
            file[f"layers/conv2d/vars/{number}"] = 1.0

    return h5(add)


def twice(data: bytes) -> bytes:
    target = io.BytesIO(data)
    with zipfile.ZipFile(target, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the name is there already, which is the point
        archive.writestr(archive.namelist()[-1], b"")
    return target.getvalue()


def long_list(data: bytes) -> bytes:
    at = data.rfind(b"PK\x05\x06") + 12
    return data[:at] + struct.pack("<I", (1 << 20) + 1) + data[at + 4 :]


def elsewhere(data: bytes) -> bytes:
    """No member where the list says that the last one is."""
    at = data.rfind(b"PK\x03\x04")
    return data[:at] + b"PK\x03\x05" + data[at + 4 :]


def renamed(found: dict[str, bytes], suffix: str, content: bytes | None) -> None:
    (name,) = (each for each in found if each.endswith(suffix))
    del found[name]
    if content is not None:
        found[name] = content


class Foreign(pickle.Pickler):
    """Refers to everything that is not text as to something outside."""

    def persistent_id(self, obj: object) -> object:
        return None if isinstance(obj, str) else ("elsewhere",)


def referring() -> bytes:
    stream = io.BytesIO()
    Foreign(stream, protocol=2).dump(b"")
    return stream.getvalue()


def last_key(data: bytes) -> bytes:
    """The list of storages, which comes last of the pickles, with another name in it."""
    at = data.rfind(b"q\x01X")
    return data[: at + 7] + b"#" + data[at + 8 :]


def header_of_one(data: bytes) -> bytes:
    return replaced(b"'shape': (), }  ", b"'shape': (1,), }")(data)


def many_entries(data: bytes) -> bytes:
    stream = io.BytesIO()
    named = np.load(io.BytesIO(data), allow_pickle=True).item()
    np.save(stream, named | {f"x{number}": [] for number in range(1 << 12)})
    return stream.getvalue()


def mixed_list(data: bytes) -> bytes:
    stream, objects = io.BytesIO(), np.empty(2, object)
    objects[:] = [np.ones((3, 3, 3, 4), np.float32), "biases"]
    np.save(stream, objects, allow_pickle=True)
    return stream.getvalue()
