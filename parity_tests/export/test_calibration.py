"""The pictures of int8's scales: any arrangement of folders, a bounded and repeatable choice."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from export.calibration import MOST, choose
from vgg16_spec.errors import BadInput


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)
    return path


def test_a_flat_folder_gives_all_its_files_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg"):
        picture(tmp_path / name)
    (tmp_path / ".hidden").write_text("no picture")
    found = choose([tmp_path])
    assert [path.name for path in found.pictures] == ["a.jpg", "b.png"]
    assert (found.found, found.folders) == (2, 1)


def test_class_folders_are_read_at_any_depth(tmp_path: Path) -> None:
    for name in ("train/n02/x.png", "train/n01/z.png", "train/n01/y.png", "val/.thumbs/no.png"):
        picture(tmp_path / name)
    found = choose([tmp_path])
    names = [path.relative_to(tmp_path).as_posix() for path in found.pictures]
    assert names == ["train/n01/y.png", "train/n01/z.png", "train/n02/x.png"]
    assert (found.found, found.folders) == (3, 2)


def test_files_stand_beside_folders(tmp_path: Path) -> None:
    file, other = picture(tmp_path / "cat.png"), picture(tmp_path / "dogs" / "dog.png")
    assert choose([tmp_path / "dogs", file]).pictures == (file, other)


@pytest.mark.parametrize("classes", [1, 3, 250])
def test_a_large_set_gives_a_like_number_of_every_class(tmp_path: Path, classes: int) -> None:
    first = picture(tmp_path / "000" / "000.png")
    for index in range(1, 600):
        folder = tmp_path / f"{index % classes:03}"
        folder.mkdir(exist_ok=True)
        (folder / f"{index:03}.png").hardlink_to(first)
    found = choose([tmp_path])
    assert found == choose([tmp_path])
    assert len(set(found.pictures)) == MOST
    assert (found.found, found.folders) == (600, classes)
    used = [path.parent.name for path in found.pictures]
    counts = [used.count(name) for name in set(used)]
    assert max(counts) - min(counts) <= 1
    # Spread over all classes and names, not the first of them.
    assert max(used) >= f"{int(0.95 * classes) - 1:03}"
    if classes < MOST:
        assert max(path.name for path in found.pictures) >= "550.png"


def test_what_is_no_picture_is_named_in_one_line(tmp_path: Path) -> None:
    picture(tmp_path / "cat.png")
    for index in range(6):
        (tmp_path / f"{index}.csv").write_text("no picture")
    with pytest.raises(BadInput) as refused:
        choose([tmp_path])
    assert str(refused.value) == (
        f"{tmp_path / '0.csv'}: not a picture, nor 1.csv, 2.csv and 3 more; "
        "expected a picture (JPEG, PNG, WebP, …)"
    )


def with_chunk(path: Path, kind: bytes, content: bytes) -> None:
    """Put a chunk behind a PNG file's header."""
    whole, end = path.read_bytes(), 33
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    chunk = struct.pack(">I", len(content)) + kind + content + checksum
    path.write_bytes(whole[:end] + chunk + whole[end:])


def test_a_picture_that_a_decoder_refuses_is_named(tmp_path: Path) -> None:
    path = picture(tmp_path / "cat.png")
    with_chunk(path, b"zTXt", b"about\0\0" + zlib.compress(b"a short text"))
    assert choose([path]).pictures == (path,)
    with_chunk(path, b"zTXt", b"about\0\0" + zlib.compress(bytes(2 << 20)))
    said = rf"^{path}: cannot be read \(Decompressed data too large.*\); expected a picture "
    with pytest.raises(BadInput, match=said):
        choose([path])


def test_a_picture_of_too_many_pixels_is_named(tmp_path: Path) -> None:
    path = picture(tmp_path / "cat.png")
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 100_000, 100_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(BadInput, match=rf"^{path}: is 100000×100000 pixels; expected at most 64,"):
        choose([path])


def test_folders_that_are_missing_or_empty_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere: is not a folder; expected a folder of pictures"):
        choose([tmp_path / "nowhere"])
    (tmp_path / "class").mkdir()
    with pytest.raises(BadInput, match="holds no file; expected a folder of pictures"):
        choose([tmp_path])
