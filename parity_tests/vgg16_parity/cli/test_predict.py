"""``vgg16 predict``: five classes for each picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from parity_tests.support.helpers import Command
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import read_image
from vgg16_spec.names import torchvision_keys

CAT, ROCKET = (str(photograph.path) for photograph in PHOTOGRAPHS)


def test_predict_names_five_classes_and_says_that_seeded_names_mean_nothing(vgg16: Command) -> None:
    done = vgg16("predict", CAT, ROCKET, "--configuration", "tiny", "--runtime", "torch")
    assert done.status == 0
    lines = done.out.splitlines()
    assert lines[0] == CAT
    assert lines[6] == ROCKET
    assert len(lines) == 13
    assert lines[-1] == "These weights are seeded, never trained: the names mean nothing."


def test_predict_says_nothing_of_seeds_for_other_weights(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    keys = torchvision_keys(tiny.configuration)
    state = {key: torch.from_numpy(tiny[name] * np.float32(0.9)) for name, key in keys.items()}
    torch.save(state, tmp_path / "trained.pth")
    done = vgg16("predict", CAT, "--weights", tmp_path / "trained.pth", "--json")
    document = json.loads(done.out)
    assert document["seeded"] is False
    best = document["images"][0]["top5"]
    assert [entry["probability"] for entry in best] == sorted(
        (entry["probability"] for entry in best), reverse=True
    )


def test_pillows_own_warnings_do_not_reach_stderr(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    picture = Image.new("RGB", (80, 80))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "torn.jpg", exif=exif.tobytes()[:-3])
    with pytest.warns(UserWarning, match="Corrupt EXIF"):  # in a program of one's own
        read_image(tmp_path / "torn.jpg")
    done = vgg16("predict", tmp_path / "torn.jpg", "--weights", tiny.file)
    assert done.status == 0, done.err
    assert "EXIF" not in done.err


def test_folders_files_and_copies_are_answered_in_the_order_given(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    (folder / "inner").mkdir(parents=True)
    for name in ("b.jpg", "inner/c.jpg"):
        read_image(CAT).crop((0, 0, 90, 80)).save(folder / name)
    read_image(ROCKET).crop((9, 0, 90, 80)).save(folder / "a.png")
    (folder / "torn.jpg").write_bytes((folder / "b.jpg").read_bytes()[:500])
    (folder / "notes.txt").write_text("no picture")
    done = vgg16("predict", folder, CAT, folder / "b.jpg", "--weights", tiny.file, "--json")
    assert done.status == 0, done.err
    document = json.loads(done.out)
    files = [image["file"] for image in document["images"]]
    inside = [str(folder / name) for name in ("a.png", "b.jpg", "inner/c.jpg")]
    assert files == [*inside, CAT, str(folder / "b.jpg")]
    answers = {
        image["file"]: [each["class"] for each in image["top5"]] for image in document["images"]
    }
    assert answers[inside[1]] == answers[inside[2]]  # a copy
    assert answers[inside[0]] != answers[inside[1]]
    (unreadable,) = document["unreadable"]
    assert unreadable["file"] == str(folder / "torn.jpg")
    assert "cannot be read" in unreadable["why"]
    assert "1 picture left out: " in done.err


def test_a_picture_that_was_named_and_cannot_be_read_ends_with_status_2(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    for name, content in (("torn.png", b"\x89PNG"), ("empty.jpg", b"")):
        (tmp_path / name).write_bytes(content)
        done = vgg16("predict", CAT, tmp_path / name, "--weights", tiny.file)
        assert done.status == 2
        assert done.out.startswith(CAT)  # the others are not lost
        assert done.err.splitlines()[-1].startswith(f"vgg16: {tmp_path / name}: ")


def test_a_folder_without_a_picture_that_can_be_read_is_bad_input(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "torn.jpg").write_bytes(b"no picture")
    done = vgg16("predict", tmp_path, "--weights", tiny.file)
    assert done.status == 2
    assert "has no picture that can be read" in done.err.splitlines()[-1]
