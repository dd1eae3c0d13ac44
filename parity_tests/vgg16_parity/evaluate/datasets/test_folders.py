"""Folders of images, whatever else is in them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from parity_tests.support.datasets import CLASSES, picture, skipped, write
from vgg16_parity.evaluate.datasets import places
from vgg16_parity.evaluate.datasets.items import Dataset
from vgg16_parity.evaluate.datasets.opening import open_dataset
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import read_image
from vgg16_spec.labels import imagenet_classes


def names(dataset: Dataset) -> list[str]:
    return [item.name for item in dataset.items]


def labels(dataset: Dataset) -> dict[str, int | None]:
    return {item.name: item.label for item in dataset.items}


@pytest.mark.slow
def test_classes_and_order_are_torchvisions(tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    files = [f"{c}/{n}" for c in "bca" for n in ("z.png", "a/q.png", "B.PNG", "b.jpeg")]
    root = write(tmp_path / "set", {n: picture(i) for i, n in enumerate(files)})
    theirs = ImageFolder(root)
    ours = open_dataset(root, class_names=("0", "1", "2"))
    relative = {Path(path).relative_to(root).as_posix(): c for path, c in theirs.samples}
    assert labels(ours) == relative
    assert list(ours.classes) == theirs.classes


def test_files_that_are_no_images_are_counted_and_hidden_ones_are_not(tmp_path: Path) -> None:
    images = {"ant/1.png": picture(0), "owl/2.JPEG": picture(1, "JPEG")}
    other = {"README.txt": b"x", "ant/notes.md": b"x", "ant/1.png.bak": b"x", "owl/2.mp4": b"x"}
    hidden = {"ant/.1.png": picture(2), ".cache/3.png": picture(3), "__MACOSX/ant/4.png": b"x"}
    dataset = open_dataset(write(tmp_path, images | other | hidden), class_names=CLASSES)
    assert labels(dataset) == {"ant/1.png": 0, "owl/2.JPEG": 2}
    assert dataset.ignored == len(other)
    assert not dataset.unreadable


def test_a_folder_without_folders_has_no_labels(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path, {"1.png": picture(0)}), class_names=CLASSES)
    assert labels(dataset) == {"1.png": None}
    assert dataset.classes == ()


def test_images_beside_class_folders_are_kept_and_told(tmp_path: Path) -> None:
    root = write(tmp_path, {"ant/1.png": picture(0), "2.png": picture(1)})
    dataset = open_dataset(root, class_names=CLASSES)
    assert labels(dataset) == {"2.png": None, "ant/1.png": 0}
    assert dataset.mapping.endswith("1 image outside of them without a label")


def test_an_empty_class_folder_counts_as_a_class(tmp_path: Path) -> None:
    (write(tmp_path, {"x/1.png": picture(0), "z/1.png": picture(1)}) / "y").mkdir()
    assert labels(open_dataset(tmp_path, class_names=("p", "q", "r"))) == {
        "x/1.png": 0,
        "z/1.png": 2,
    }


def test_a_part_of_imagenets_folders_maps_by_synset(tmp_path: Path) -> None:
    root = write(tmp_path, {"n03888257/1.JPEG": picture(0), "n01440764/1.JPEG": picture(1)})
    dataset = open_dataset(root, class_names=imagenet_classes())
    assert labels(dataset) == {"n01440764/1.JPEG": 0, "n03888257/1.JPEG": 701}


def test_classes_that_do_not_fit_are_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path, {"a/1.png": picture(0), "b/1.png": picture(1)})
    monkeypatch.setattr(places, "opened", None)
    with pytest.raises(BadInput, match="2 class folders, where the checkpoint has 3 classes"):
        open_dataset(root, class_names=CLASSES)


def test_circles_of_links_end(tmp_path: Path) -> None:
    root = write(tmp_path / "set", {"ant/1.png": picture(0), "owl/2.png": picture(1)})
    (root / "ant" / "up").symlink_to(root)
    (root / "ant" / "self").symlink_to("self")
    (root / "owl" / "self.png").symlink_to("self.png")
    (root / "owl" / "other").symlink_to(root / "ant")
    dataset = open_dataset(root, class_names=CLASSES)
    assert labels(dataset) == {"ant/1.png": 0, "owl/2.png": 2}
    told = skipped(dataset)
    assert told.pop("owl/self.png").startswith("no such file")
    assert told == dict.fromkeys(
        ["ant/up", "owl/other"], "is a link to a folder that is read already"
    )


def test_folders_that_are_links_are_classes(tmp_path: Path) -> None:
    # A link sorts before what it leads to; the folder's own name counts.
    root = write(tmp_path / "set", {"owl/2.png": picture(1)})
    write(tmp_path / "elsewhere", {"sub/1.png": picture(0)})
    (root / "ant").symlink_to(tmp_path / "elsewhere")
    (root / "great white shark").symlink_to(root / "owl")
    dataset = open_dataset(root, class_names=CLASSES)
    assert labels(dataset) == {"ant/sub/1.png": 0, "owl/2.png": 2}
    assert list(skipped(dataset)) == ["great white shark"]


def test_what_cannot_be_opened_is_told_and_the_rest_is_there(tmp_path: Path) -> None:
    root = write(tmp_path, {"ant/1.png": picture(0), "ant/empty.png": b"", "ant/bad.png": b"no"})
    os.mkfifo(root / "ant/pipe.png")
    (root / "ant/device.png").symlink_to("/dev/zero")
    (root / "ant/gone.png").symlink_to("nowhere.png")
    with (root / "ant/huge.png").open("wb") as file:
        file.truncate(places.MOST_BYTES + 1)
    dataset = open_dataset(root, class_names=CLASSES)
    # That a file is no picture is for whoever decodes it.
    assert names(dataset) == ["ant/1.png", "ant/bad.png"]
    assert skipped(dataset) == {
        "ant/device.png": "is not a regular file",
        "ant/empty.png": "is empty",
        "ant/gone.png": "no such file",
        "ant/huge.png": f"has {places.MOST_BYTES + 1:,} bytes",
        "ant/pipe.png": "is not a regular file",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_told(tmp_path: Path) -> None:
    root = write(tmp_path, {"ant/1.png": picture(0), "ant/2.png": picture(1), "owl/3.png": b"x"})
    (root / "ant/2.png").chmod(0)
    (root / "owl").chmod(0)
    try:
        told = skipped(open_dataset(root, class_names=CLASSES))
    finally:
        (root / "owl").chmod(0o700)
    assert told == {
        "ant/2.png": "cannot be opened (Permission denied)",
        "owl": "cannot be read (Permission denied)",
    }


def test_a_folder_that_the_system_refuses_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path, {"ant/1.png": picture(0), "owl/2.png": picture(1)})
    scan = os.scandir

    def refusing(path: str) -> object:
        if str(path).rstrip("/").endswith(refused):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    refused = "owl"
    dataset = open_dataset(root, class_names=CLASSES)
    assert names(dataset) == ["ant/1.png"]
    assert skipped(dataset) == {"owl": "cannot be read (Permission denied)"}
    refused = root.name
    with pytest.raises(BadInput, match=r"cannot be read \(Permission denied\)"):
        open_dataset(root, class_names=CLASSES)


def test_names_that_are_no_utf8_are_read(tmp_path: Path) -> None:
    root = write(tmp_path, {"ant/1.png": picture(0)})
    name = os.fsdecode(b"ant/\xff\x1b[31m.png")
    try:
        (root / name).write_bytes(picture(1))
    except OSError:
        pytest.skip(reason="this file system takes UTF-8 only")
    dataset = open_dataset(root, class_names=CLASSES)
    assert sorted(names(dataset)) == sorted(["ant/1.png", name])


def test_an_item_is_a_picture_that_can_be_read(tmp_path: Path) -> None:
    root = write(tmp_path, {"ant/1.png": picture(0), "ant/half.png": picture(1)[:60]})
    good, half = open_dataset(root, class_names=CLASSES).items
    assert read_image(good.place.read(), label=good.name).size == (7, 5)
    with pytest.raises(BadInput, match=r"^ant/half\.png: "):
        read_image(half.place.read(), label=half.name)


def test_a_file_that_has_gone_since_is_refused_in_one_line(tmp_path: Path) -> None:
    root = write(tmp_path, {"ant/1.png": picture(0)})
    (item,) = open_dataset(root, class_names=CLASSES).items
    (root / "ant/1.png").unlink()
    with pytest.raises(BadInput, match=r"ant/1\.png: no such file"):
        item.place.read()


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "is empty"),
        ({"a/.keep": b""}, "has only empty folders"),
        ({"notes.txt": b"x", "b.mp4": b"x"}, "has no images, but 2 files of other kinds"),
        ({"1.png": b"", "2.png": b""}, "2 images, none of which can be read (1.png: is empty)"),
    ],
)
def test_folders_without_images_are_refused(
    tmp_path: Path, files: dict[str, bytes], problem: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(problem)) as refusal:
        open_dataset(write(tmp_path / "set", files), class_names=CLASSES)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("none", "no such file or folder"),
        ("nul\0", "cannot be read|no such file"),
        ("x" * 300, "File name too long|no such file"),
        ("cat.png", "is one image"),
        ("set.zip", "is a file of another kind"),
        ("pipe", "is a device or a pipe"),
        ("gone", "no such file or folder"),
    ],
)
def test_what_is_no_data_set_is_refused(tmp_path: Path, name: str, problem: str) -> None:
    write(tmp_path, {"cat.png": picture(0), "set.zip": b"PK"})
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(BadInput, match=problem) as refusal:
        open_dataset(f"{tmp_path}/{name}", class_names=CLASSES)
    assert "\n" not in str(refusal.value)
