"""Tar shards, whoever wrote them."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest

from parity_tests.support.datasets import CLASSES, picture, tar, write
from vgg16_parity.evaluate.datasets import places
from vgg16_parity.evaluate.datasets.items import Dataset
from vgg16_parity.evaluate.datasets.opening import open_dataset
from vgg16_spec.errors import BadInput


def labels(dataset: Dataset) -> dict[str, int | None]:
    return {item.name: item.label for item in dataset.items}


def skipped(dataset: Dataset) -> dict[str, str]:
    return {one.name: one.reason for one in dataset.unreadable}


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> Any:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


def test_a_sample_is_what_shares_all_before_the_first_dot(tmp_path: Path) -> None:
    path = tar(
        tmp_path / "s.tar",
        [
            (member("d", kind=tarfile.DIRTYPE), b""),
            ("d/a.cls", b"2\n"),
            ("d/a.jpg", picture(0, "JPEG")),
            ("d/a.mask.png", picture(1)),
            ("d/a.txt", b"a caption"),
            ("d/a.text.json", b'{"label": 0}'),
            ("e/a.PNG", picture(2)),
            ("e/a.json", b'{"width": 5, "label": "Great_White_Shark"}'),
            ("b.v2.webp", picture(3, "WEBP")),
            ("b.json", b'{"class_id": -1}'),
            ("._b.png", b"macOS"),
        ],
    )
    with pytest.raises(BadInput, match=r"2 different labels, .* and none is called 2;"):
        open_dataset(path, class_names=CLASSES)
    dataset = open_dataset(path, class_names=("Great White Shark", "x", "2"))
    assert labels(dataset) == {"s.tar/d/a.jpg": 2, "s.tar/e/a.PNG": 0, "s.tar/b.v2.webp": None}
    assert not dataset.unreadable
    assert dataset.ignored == 2


@pytest.mark.parametrize(
    ("document", "label"),
    [
        ({"label": 1}, 1),
        ({"class_id": "1"}, 1),
        ({"cls": "OWL", "other": 0}, 2),
        ({"synset": None}, None),
        ({"label": True}, None),
        ({"label": [1]}, None),
        (1, 1),
        ([], None),
    ],
)
def test_labels_in_json(tmp_path: Path, document: Any, label: int | None) -> None:
    members = [("a.png", picture(0)), ("a.json", json.dumps(document).encode())]
    dataset = open_dataset(tar(tmp_path / "s.tar", members), class_names=CLASSES)
    assert [item.label for item in dataset.items] == [label]


def test_a_label_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    members = [("a.png", picture(0)), ("a.json", b"[" * 60_000), ("b.png", picture(1))]
    members += [("b.cls", b"\xff"), ("c.png", picture(2)), ("c.cls", b"0")]
    members += [("d.png", picture(3)), ("d.cls", b"1" * 70_000)]
    dataset = open_dataset(tar(tmp_path / "s.tar", members), class_names=CLASSES)
    expected = {"s.tar/a.png": None, "s.tar/b.png": None, "s.tar/c.png": 0, "s.tar/d.png": None}
    assert labels(dataset) == expected
    assert skipped(dataset) == {
        "s.tar/a": "has a label (json) that cannot be read",
        "s.tar/b": "has a label (cls) that cannot be read",
        "s.tar/d": "has a label (cls) that cannot be read",
    }


def test_samples_of_one_name_are_two_images(tmp_path: Path) -> None:
    members = [("a.png", picture(0)), ("b.png", picture(1)), ("a.png", picture(2))]
    dataset = open_dataset(tar(tmp_path / "s.tar", members), class_names=None)
    assert [i.name for i in dataset.items] == ["s.tar/a.png", "s.tar/b.png", "s.tar/a (2).png"]


def test_a_sample_of_two_images_is_told(tmp_path: Path) -> None:
    members = [("a.png", picture(0)), ("a.jpg", picture(1, "JPEG")), ("b.png", picture(2))]
    dataset = open_dataset(tar(tmp_path / "s.tar", members), class_names=None)
    assert [item.name for item in dataset.items] == ["s.tar/b.png"]
    assert skipped(dataset) == {"s.tar/a": "has 2 images: png, jpg"}


def test_a_folder_and_a_pattern_have_the_shards_in_order(tmp_path: Path) -> None:
    for number in (10, 8, 9):
        tar(tmp_path / f"s-{number:03}.tar", [("a.png", picture(number))])
    write(tmp_path, {"sizes.json": b"{}"})
    names = [f"s-{number:03}.tar/a.png" for number in (8, 9, 10)]
    folder = open_dataset(tmp_path, class_names=None)
    assert [item.name for item in folder.items] == names
    assert folder.ignored == 1
    down = open_dataset(f"{tmp_path}/s-{{010..008}}.tar", class_names=None)
    assert [item.name for item in down.items] == names[::-1]
    for pattern in ("s-{008..010}.tar", "s-*.tar", "s-{008,009,010}.tar", "s-0{08,1*,0?}.tar"):
        items = open_dataset(f"{tmp_path}/{pattern}", class_names=None).items
        assert {item.name for item in items} == set(names)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("s-{0..3}.tar", "s-1.tar: no such file"),
        ("t-*.tar", "matches no file"),
        ("none/t-*.tar", "no such folder"),
        ("s-{0..999999999}.tar", "means more than 100,000 files"),
        ("s-{0..9999}{0..9999}.tar", "means more than 100,000 files"),
    ],
)
def test_patterns_that_mean_no_files_are_refused(
    tmp_path: Path, pattern: str, problem: str
) -> None:
    tar(tmp_path / "s-0.tar", [("a.png", picture(0))])
    with pytest.raises(BadInput, match=problem):
        open_dataset(f"{tmp_path}/{pattern}", class_names=None)


def test_shards_beside_images_are_not_passed_over(tmp_path: Path) -> None:
    tar(write(tmp_path, {"preview.png": picture(0)}) / "s.tar", [("a.png", picture(1))])
    with pytest.raises(
        BadInput, match=r"has images \(preview\.png\) and data sets in files \(s\.tar"
    ):
        open_dataset(tmp_path, class_names=None)
    # The archive that class folders come from.
    write(tmp_path, {"ant/1.png": picture(2)})
    dataset = open_dataset(tmp_path, class_names=CLASSES)
    assert (len(dataset.items), dataset.ignored) == (2, 1)


@pytest.mark.parametrize("compressed", [False, True])
def test_members_that_lead_elsewhere_are_never_followed(tmp_path: Path, compressed: bool) -> None:
    write(tmp_path, {"secret.png": picture(9)})
    secret = str(tmp_path / "secret.png")
    members: list[tuple[Any, bytes]] = [
        ("../../secret.png", picture(0)),
        (secret, picture(1)),
        (member("link.png", kind=tarfile.SYMTYPE, link=secret), b""),
        (member("hard.png", kind=tarfile.LNKTYPE, link="../secret.png"), b""),
        (member("device.png", kind=tarfile.CHRTYPE), b""),
        (member("pipe.png", kind=tarfile.FIFOTYPE), b""),
        (member("empty.png"), b""),
        (member("sparse.png", 512, tarfile.GNUTYPE_SPARSE), bytes(512)),
        ("last.png", picture(2)),
        (member("labelled.cls", kind=tarfile.SYMTYPE, link=secret), b""),
        ("labelled.png", picture(3)),
    ]
    path = tar(tmp_path / "s.tar", members, "w:gz" if compressed else "w")
    dataset = open_dataset(path, class_names=CLASSES)
    own = ["../../secret", secret, "last", "labelled"]
    assert [item.place.read() for item in dataset.items] == [picture(n) for n in range(4)]
    assert [i.name for i in dataset.items] == [f"s.tar/{n.removesuffix('.png')}.png" for n in own]
    told = skipped(dataset)
    assert told.pop("s.tar/empty.png") == "is empty"
    assert told.pop("s.tar/labelled") == "has a label (cls) that cannot be read"
    link = "is a link, a device or a sparse member of the tar file"
    names = ("link", "hard", "device", "pipe", "sparse")
    assert told == {f"s.tar/{name}": link for name in names}


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
