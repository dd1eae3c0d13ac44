"""Damaged copies of a valid file whose container stays whole: its structure is changed instead.

A changed byte of a zip archive fails its checksum, and one of HDF5 or of a protobuf message mostly
ends the parsing. Here a pickle's opcodes, the tree of an HDF5 file and the fields of a message are
changed, and all around them fits again.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from itertools import pairwise
from typing import Any, Final

import h5py
import numpy as np
from google.protobuf.message import Message

_NUMBERS: Final = (0, 1, -1, 2, 255, 1 << 31, (1 << 62) - 1)
_TEXTS: Final = ("", "x", "é\x1b[2J", "features.0.weight", "/", "..", "x" * 5000)
_OPCODES: Final = [opcode.code.encode("latin1") for opcode in pickletools.opcodes]
_MOST_CHANGES: Final = 3


def random_of(seed: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, number]))


def structured(name: str, whole: bytes, seed: int, number: int) -> bytes | None:
    """A file with up to three changes of its structure; none for formats without such changes."""
    random = random_of(seed, number)
    if name == "torchvision" and zipfile.is_zipfile(io.BytesIO(whole)):
        return _archive(whole, random)
    if name.endswith("h5") and whole.startswith(b"\x89HDF"):
        return _hdf5(whole, random)
    return None


def _archive(whole: bytes, random: np.random.Generator) -> bytes:
    """A PyTorch file with another pickle, or other names of members."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(changed, "w") as new:
        for member in old.infolist():
            content, name = old.read(member), member.filename
            if name.endswith("data.pkl"):
                content = _pickle(content, random)
            elif random.integers(200) == 0:
                name = name.replace("data/", str(random.choice(("data/1", "data//", "x/"))))
            new.writestr(name, content)
    return changed.getvalue()


def _pickle(content: bytes, random: np.random.Generator) -> bytes:
    """The same opcodes, but for a few that are left out, doubled, exchanged or changed."""
    starts = [position for *_, position in pickletools.genops(content)] + [len(content)]
    pieces = [content[a:b] for a, b in pairwise(starts)]
    for _ in range(int(random.integers(1, _MOST_CHANGES + 1))):
        at = int(random.integers(len(pieces)))
        match int(random.integers(6)):
            case 0:
                del pieces[at]
            case 1:
                pieces.insert(at, pieces[at])
            case 2:
                pieces[at] = pieces[int(random.integers(len(pieces)))]
            case 3:
                pieces[at] = _OPCODES[int(random.integers(len(_OPCODES)))] + pieces[at][1:]
            case 4:
                pieces[at] = b"J" + int(random.integers(-(1 << 31), 1 << 31)).to_bytes(
                    4, "little", signed=True
                )
            case _:
                byte = int(random.integers(256))
                pieces[at] = pieces[at][:1] + bytes([byte]) * (len(pieces[at]) - 1)
        if not pieces:
            break
    return b"".join(pieces)


def _hdf5(whole: bytes, random: np.random.Generator) -> bytes:
    """The same tree, but for a few things that are left out, moved or made anew."""
    changed = io.BytesIO(whole)
    with h5py.File(changed, "r+") as file:
        for _ in range(int(random.integers(1, _MOST_CHANGES + 1))):
            names: list[str] = [""]
            file.visit(names.append)
            name, other = (names[int(i)] for i in random.integers(len(names), size=2))
            item = file[name] if name else file
            match int(random.integers(6)):
                case 0 if name:
                    del file[name]
                case 1 if name and f"{other}/moved" not in file and not other.startswith(name):
                    if isinstance(file[other or "/"], h5py.Group):
                        file.move(name, f"{other}/moved")
                case 2 if isinstance(item, h5py.Dataset):
                    values = item[()]
                    del file[name]
                    kind = str(random.choice(("f2", "f8", "i4", "S3", ">f4")))
                    file[name] = values.reshape(-1).astype(kind) if random.integers(2) else values.T
                case 3:
                    text = _TEXTS[int(random.integers(len(_TEXTS)))].replace("\0", "")
                    known = [*item.attrs] or ["name"]
                    item.attrs[known[int(random.integers(len(known)))]] = text
                case 4 if item.attrs:
                    del item.attrs[next(iter(item.attrs))]
                case 5 if name and other and not other.startswith(name):
                    del file[name]
                    file[name] = file[other] if random.integers(2) else h5py.SoftLink(f"/{other}")
    return changed.getvalue()


def message(valid: Message, seed: int, number: int) -> Message:
    """A copy of a message with up to three of its fields changed, however deep they are."""
    random = random_of(seed, number)
    changed = type(valid)()
    changed.CopyFrom(valid)
    for _ in range(int(random.integers(1, _MOST_CHANGES + 1))):
        target: Any = changed
        # Half of the changes are in the fields of what is reached, the others deeper.
        while inner := [
            field for field, _ in target.ListFields() if field.message_type is not None
        ]:
            field = inner[int(random.integers(len(inner)))]
            value = getattr(target, field.name)
            deeper = value[int(random.integers(len(value)))] if field.is_repeated else value
            if random.integers(6) == 0:
                break
            target = deeper
        _change_field(target, random)
    return changed


def _change_field(target: Any, random: np.random.Generator) -> None:
    fields = [field for field, _ in target.ListFields()]
    if not fields:
        return
    field = fields[int(random.integers(len(fields)))]
    value = getattr(target, field.name)
    if not field.is_repeated:
        if field.message_type is not None or random.integers(3) == 0:
            target.ClearField(field.name)
        elif field.enum_type is not None:
            numbers = [known.number for known in field.enum_type.values]
            setattr(target, field.name, numbers[int(random.integers(len(numbers)))])
        else:
            setattr(target, field.name, _other(value, random))
        return
    at = int(random.integers(len(value)))
    match int(random.integers(3)):
        case 0:
            del value[at]
        case 1 if field.message_type is not None:
            value.add().CopyFrom(value[at])
        case _ if field.message_type is None:
            value[at] = _other(value[at], random)
        case _:
            first, second = type(value[0])(), type(value[0])()
            first.CopyFrom(value[at])
            second.CopyFrom(value[0])
            value[0].CopyFrom(first)
            value[at].CopyFrom(second)


def _other(value: Any, random: np.random.Generator) -> Any:
    """Another value that fits the field."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        number = _NUMBERS[int(random.integers(len(_NUMBERS)))]
        return number if abs(number) < 1 << 31 and random.integers(2) else value + 1
    if isinstance(value, float):
        return float(random.choice((0.0, -value, np.inf, value * 1.01)))
    if isinstance(value, bytes):
        return value[: len(value) // 2]
    return _TEXTS[int(random.integers(len(_TEXTS)))]
