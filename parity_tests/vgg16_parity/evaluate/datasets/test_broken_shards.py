"""Tar shards that are broken, hostile, or change while they are read."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from pathlib import Path

import pytest

from parity_tests.support.datasets import member, picture, skipped, tar, write
from vgg16_parity.evaluate.datasets import places
from vgg16_parity.evaluate.datasets.opening import open_dataset
from vgg16_spec.errors import BadInput


def pax(name: bytes, size: int, content: bytes = b"") -> bytes:
    """An extended header that claims a size."""
    info = tarfile.TarInfo("x")
    info.type, info.size = name, size
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def negative() -> bytes:
    """A header whose size is below zero, as base 256 writes it; its checksum is right."""
    header = bytearray(tarfile.TarInfo("neg.txt").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"\xff" * 10 + struct.pack(">h", -1024)
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header)


def good(seed: int = 0) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(member("good.png", len(picture(seed))), io.BytesIO(picture(seed)))
        return stream.getvalue()[: archive.offset]


END = bytes(1024)


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (pax(tarfile.XHDTYPE, 1 << 31), "a header has"),
        (pax(tarfile.GNUTYPE_LONGNAME, 1 << 31), "a header has"),
        (pax(tarfile.XHDTYPE, 9, b"\xff\xff garbage"), "damaged|without the mark"),
        (pax(tarfile.XHDTYPE, 600) * 3000, "damaged"),
        (negative() + END, "negative size|damaged"),
        (negative() * 3 + END, "negative size|damaged"),
        (b"\xff" * 700, "damaged|without the mark"),
        (good(1)[:300], "damaged|without the mark"),
        (b"", "without the mark"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_a_broken_shard_is_told_and_what_came_before_is_there(
    tmp_path: Path, bad: bytes, problem: str, compressed: bool
) -> None:
    content = good() + bad
    path = write(tmp_path, {"s.tar": gzip.compress(content) if compressed else content}) / "s.tar"
    dataset = open_dataset(path, class_names=None)
    assert [item.name for item in dataset.items] == ["s.tar/good.png"]
    (told,) = dataset.unreadable
    assert told.name == "s.tar"
    assert any(part in told.reason for part in problem.split("|"))
    assert len(told.reason) < 300


def test_images_beyond_the_end_are_told(tmp_path: Path) -> None:
    claims = [member("cut.png", 4000), member("huge.png", 1 << 40)]
    for info in claims:
        header = info.tobuf(tarfile.GNU_FORMAT)
        path = write(tmp_path, {"s.tar": good() + header + b"some bytes"}) / "s.tar"
        told = skipped(open_dataset(path, class_names=None))
        reason = told[f"s.tar/{info.name.removesuffix('.png')}"]
        assert reason in ("is cut off at the end of the tar file", f"has {1 << 40:,} bytes")
        assert "s.tar" in told


def test_long_names_are_read_and_endless_ones_told(tmp_path: Path) -> None:
    names = ["x" * 300 + ".png", "y" * 5000 + ".png"]
    path = tar(tmp_path / "s.tar", [(n, picture(i)) for i, n in enumerate(names)])
    dataset = open_dataset(path, class_names=None)
    assert [item.name for item in dataset.items] == [f"s.tar/{names[0]}"]
    assert skipped(dataset) == {f"s.tar/{'y' * 99}": "has a name of 5,004 characters"}


def test_a_compressed_shard_that_grows_without_end_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "s.tar.gz", "wb", compresslevel=1) as file:
        file.write(good() + member("bomb.bin", 1 << 40).tobuf(tarfile.GNU_FORMAT))
        for _ in range(16):
            file.write(bytes(1 << 24))
    dataset = open_dataset(tmp_path / "s.tar.gz", class_names=None)
    assert [item.name for item in dataset.items] == ["s.tar.gz/good.png"]
    assert "it expands to more than" in skipped(dataset)["s.tar.gz"]


@pytest.mark.parametrize("content", [b"", b"no tar" * 200, b"\x1f\x8bbroken" * 99, bytes(10240)])
def test_what_is_no_tar_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, {"s.tar": content}) / "s.tar"
    with pytest.raises(BadInput, match=r"s\.tar: (is no tar file|has no images)") as refusal:
        open_dataset(path, class_names=None)
    assert "\n" not in str(refusal.value)


def test_one_broken_shard_does_not_hide_the_others(tmp_path: Path) -> None:
    write(tmp_path, {"s-0.tar": b"no tar" * 200})
    tar(tmp_path / "s-1.tar", [("a.png", picture(0))])
    dataset = open_dataset(tmp_path, class_names=None)
    assert [item.name for item in dataset.items] == ["s-1.tar/a.png"]
    assert list(skipped(dataset)) == ["s-0.tar"]


def test_a_shard_that_has_changed_is_refused(tmp_path: Path) -> None:
    path = tar(tmp_path / "s.tar", [("a.png", picture(0)), ("b.png", picture(1))])
    items = open_dataset(path, class_names=None).items
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(BadInput, match=r"s\.tar: is cut off"):
        items[1].place.read()


def test_a_compressed_shard_is_read_anew_once_it_has_changed(tmp_path: Path) -> None:
    first = tar(tmp_path / "s.tar.gz", [("a.png", picture(0))], "w:gz")
    (item,) = open_dataset(first, class_names=None).items
    assert item.place.read() == picture(0)
    other = tar(tmp_path / "other", [("a.png", picture(1))], "w:gz")
    other.replace(first)
    assert len(picture(0)) == len(picture(1))
    assert item.place.read() == picture(1)


def test_a_member_larger_than_any_picture_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MOST_BYTES", 100)
    path = tar(tmp_path / "s.tar", [("a.png", picture(0)), ("b.png", b"x" * 99)])
    dataset = open_dataset(path, class_names=None)
    assert [item.name for item in dataset.items] == ["s.tar/b.png"]
    assert skipped(dataset) == {"s.tar/a.png": f"has {len(picture(0))} bytes"}
