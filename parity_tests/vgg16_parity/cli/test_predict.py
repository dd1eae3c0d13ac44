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
