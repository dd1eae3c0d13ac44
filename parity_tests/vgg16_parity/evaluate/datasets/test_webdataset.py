"""Tar shards, whoever wrote them."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from parity_tests.support.datasets import CLASSES, member, picture, skipped, tar, write
from vgg16_parity.evaluate.datasets.items import Dataset
from vgg16_parity.evaluate.datasets.opening import open_dataset
from vgg16_spec.errors import BadInput


def labels(dataset: Dataset) -> dict[str, int | None]:
    return {item.name: item.label for item in dataset.items}


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
