"""Whatever metadata are written are read back equal; what has no room is refused before a file."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import vgg16_weights
from export import export_onnx
from parity_tests.support.helpers import Command, same
from parity_tests.support.weights.tiny_files import state_dict
from vgg16_parity.onnx_check.source import checkpoint_of_onnx
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, Metadata, write_checkpoint
from vgg16_spec.checkpoint.header import float32_header
from vgg16_spec.checkpoint.metadata import MOST_BYTES
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput

pytestmark = pytest.mark.usefixtures("no_first_reading")

WRITTEN = vgg16_weights.writable()
# Each kind of character that a format may store in a way of its own, and how archives begin.
AWKWARD = (
    "\"quotes\" \\ \\u0041 'é' 鶴 👩‍👩‍👧 \ud7ff\ue000\uffff "
    "\n\r\t\x00\x1b\x7f\x85\u2028\u202e PK\x05\x06 "
)


def size(metadata: Metadata) -> int:
    """What metadata take in the header of a safetensors file, as JSON within JSON."""
    return len(json.dumps(json.dumps(metadata.stated())))


def filled(start: Metadata, character: str, room: int = MOST_BYTES) -> Metadata:
    """Metadata with a source that leaves no room for one more of the character."""
    empty = replace(start, source="")
    each = size(replace(empty, source=character)) - size(empty)
    return replace(empty, source=character * ((room - size(empty)) // each))


@pytest.fixture(scope="module")
def plain() -> Checkpoint:
    return generate(configuration("tiny", classes=3), 5)


def stating(checkpoint: Checkpoint, case: str) -> Checkpoint:
    """The checkpoint with other metadata."""
    metadata = checkpoint.metadata
    match case:
        case "awkward":
            labels = json.dumps(["grüne Mamba", 'a "b" \\ c \'', "鶴 👩‍👩‍👧"], ensure_ascii=False)
            metadata = Metadata(
                "torchvision", AWKWARD, "\n" + AWKWARD, AWKWARD[::-1], " ", labels=labels
            )
        case "nothing":
            metadata = Metadata("torchvision", "", "", "", "")
        # About as much as the header of an HDF5 group and an archive's comment have room for.
        case "59 KiB" | "64 KiB" | "65 KiB":
            metadata = filled(metadata, "x", int(case[:2]) << 10)
        case _:
            metadata = filled(metadata, case)
    return checkpoint.replaced(metadata=metadata)


@pytest.mark.parametrize(
    "case", ["awkward", "nothing", "59 KiB", "64 KiB", "65 KiB", "x", '"', "é", "👩"]
)
@pytest.mark.parametrize("name", WRITTEN)
def test_accepted_metadata_are_read_back_equal(
    plain: Checkpoint, tmp_path: Path, name: str, case: str
) -> None:
    checkpoint = stating(plain, case)
    vgg16_weights.write(checkpoint, tmp_path / "w", name)
    read = vgg16_weights.read(tmp_path / "w")
    assert read.metadata == checkpoint.metadata
    assert same(read, checkpoint)


@pytest.mark.parametrize("case", ["awkward", "nothing", "x"])
def test_an_onnx_file_gives_them_back_too(plain: Checkpoint, tmp_path: Path, case: str) -> None:
    checkpoint = stating(plain, case)
    path = export_onnx("torch", checkpoint, tmp_path / "m.onnx")
    assert checkpoint_of_onnx(path).metadata == checkpoint.metadata


FULL = filled(Metadata("torchvision"), "x")
REFUSED = {
    "one byte too many": (
        replace(FULL, source=f"{FULL.source}x"),
        rf"its metadata take {MOST_BYTES + 1:,} bytes, most of them its source; "
        rf"expected {MOST_BYTES:,} bytes at most",
    ),
    "half of a pair": (
        Metadata("torchvision", licence="a\udcff"),
        r"its licence has U\+DCFF in it, half of a pair; expected metadata that UTF-8 can write",
    ),
    # Which formats of JSON would join.
    "both halves": (
        Metadata("torchvision", source_format="\ud83d\ude00"),
        r"its source_format has U\+D83D in it",
    ),
}


@pytest.mark.parametrize("name", [*WRITTEN, "write_checkpoint", "onnx", "a bundle"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_room_is_refused_before_any_file_is_made(
    plain: Checkpoint, tmp_path: Path, name: str, case: str
) -> None:
    metadata, message = REFUSED[case]
    checkpoint = plain.replaced(metadata=metadata)
    with pytest.raises(BadInput, match=message):
        if name in WRITTEN:
            vgg16_weights.write(checkpoint, tmp_path / "none" / "w", name)
        elif name == "write_checkpoint":
            write_checkpoint(checkpoint, tmp_path / "none" / "w")
        else:
            export_onnx("torch", checkpoint, tmp_path / ("w.onnx" if name == "onnx" else "w"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("port", "{weights}", "{out}.pth"),
        ("export", "--framework", "torch", "--weights", "{weights}", "--out", "{out}"),
    ],
)
def test_a_file_that_states_more_than_is_written_is_one_line(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    stated = {"format": "vgg16-checkpoint/1", "configuration": "tiny"}
    stated |= replace(tiny.metadata, source="x" * MOST_BYTES).stated()
    header = float32_header(tiny.configuration.weight_shapes, stated)
    values = b"".join(tiny[name].tobytes() for name in tiny)
    (tmp_path / "w.safetensors").write_bytes(header + values)
    names = {"weights": tmp_path / "w.safetensors", "out": tmp_path / "out"}
    done = vgg16(*(argument.format(**names) for argument in arguments))
    assert done.status == 2
    last = done.err.splitlines()[-1]
    assert last.startswith(f"vgg16: {names['weights']}: its metadata take 983,")
    assert (done.out, [path.name for path in tmp_path.iterdir()]) == ("", ["w.safetensors"])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names of text alone")
def test_a_name_that_is_no_text_is_a_source_of_text(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    bare = tmp_path / "w\udcff.pth"
    torch.save(state_dict(tiny), bare)
    assert vgg16("port", bare, tmp_path / "w.safetensors").status == 0
    read = vgg16_weights.read(tmp_path / "w.safetensors")
    assert read.metadata.source == r"w\udcff.pth"
    assert same(read, tiny)
