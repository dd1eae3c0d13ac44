"""The same data sets at URLs."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from parity_tests.support.datasets import CLASSES, LAYOUTS, labelled, picture, write
from vgg16_parity.evaluate.datasets.opening import open_dataset
from vgg16_parity.evaluate.datasets.storage import joined, parted, shown
from vgg16_spec.errors import BadInput


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[str]:
    """A storage of fsspec's in which ``upload`` has put a folder."""
    import fsspec

    filesystem = fsspec.filesystem("memory")
    yield "memory://bucket"
    for name in filesystem.ls("/", detail=False):
        filesystem.rm(name, recursive=True)


def upload(folder: Path, url: str) -> None:
    import fsspec

    filesystem = fsspec.filesystem("memory")
    for path in folder.rglob("*"):
        if path.is_file():
            target = f"{url}/{path.relative_to(folder).as_posix()}"
            filesystem.pipe_file(target, path.read_bytes())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_url_has_what_the_folder_has(tmp_path: Path, memory: str, layout: str) -> None:
    images = [(picture(seed), seed % 3) for seed in range(5)]
    path = LAYOUTS[layout](tmp_path / "set", images)
    upload(tmp_path, memory)
    url = f"{memory}/{path.relative_to(tmp_path).as_posix()}"
    table = {"labels_csv": f"{url}/labels.csv"} if layout == "table" else {}
    here = {"labels_csv": path / "labels.csv"} if layout == "table" else {}
    there = open_dataset(url, class_names=CLASSES, **table)  # type: ignore[arg-type]
    dataset = open_dataset(path, class_names=CLASSES, **here)  # type: ignore[arg-type]
    assert labelled(there) == labelled(dataset)
    assert [item.name for item in there.items] == [item.name for item in dataset.items]
    assert there.classes == dataset.classes
    items = pickle.loads(pickle.dumps(there.items))
    contents = [item.place.read() for item in dataset.items]
    assert [item.place.read() for item in items[::-1]] == contents[::-1]


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    root = write(tmp_path / "a b", {"ant/1.png": picture(0)})
    dataset = open_dataset(root.as_uri(), class_names=CLASSES)
    assert dataset.items == open_dataset(root, class_names=CLASSES).items


def test_names_of_objects_are_taken_as_they_are(tmp_path: Path, memory: str) -> None:
    name = "ant/a%20b {1}+é#.png"
    upload(write(tmp_path / "set", {f"my set%/{name}": picture(0)}), memory)
    (item,) = open_dataset(f"{memory}/my set%", class_names=CLASSES).items
    assert item.name == name
    assert item.place.read() == picture(0)


def test_hidden_and_empty_objects_are_treated_as_files_are(tmp_path: Path, memory: str) -> None:
    write(
        tmp_path, {"ant/1.png": picture(0), "ant/.2.png": b"x", ".c/3.png": b"x", "owl/4.png": b""}
    )
    upload(tmp_path, memory)
    dataset = open_dataset(memory, class_names=CLASSES)
    assert [item.name for item in dataset.items] == ["ant/1.png"]
    assert [(one.name, one.reason) for one in dataset.unreadable] == [("owl/4.png", "is empty")]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("memory://bucket/none", "no such file or folder"),
        ("memory://bucket/s-{0..1}.tar", "no such file"),
        ("nothing://user:secret@host/set", "cannot be reached"),
    ],
)
def test_what_is_not_there_is_refused(memory: str, url: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem) as refusal:
        open_dataset(url, class_names=CLASSES)
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_without_fsspec_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(BadInput, match=r"needs fsspec.*vgg16-parity\[datasets\]"):
        open_dataset("memory://elsewhere/set", class_names=CLASSES)


def test_passwords_are_not_shown() -> None:
    assert shown("s3://key:secret@bucket/a@b") == "s3://bucket/a@b"
    assert shown("s3://bucket/a?endpoint_override=localhost") == "s3://bucket/a"
    assert shown("/home/a@b") == "/home/a@b"


def test_what_a_client_is_told_stays_behind_the_place() -> None:
    url = "s3://bucket/set/s-0?.tar?region=x&scheme=http"
    root, name = parted(url)
    assert (root, name) == ("s3://bucket/set?region=x&scheme=http", "s-0?.tar")
    assert joined(root, name) == url
