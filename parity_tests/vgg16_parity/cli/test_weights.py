"""``vgg16 weights verify``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import vgg16_weights
from parity_tests.support.helpers import Command
from vgg16_spec.checkpoint import Checkpoint, Tensor
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.images.recipes import Recipe
from vgg16_spec.names import torchvision_keys


def test_verify_shows_each_tensors_digest(vgg16: Command, tiny: Checkpoint) -> None:
    done = vgg16("weights", "verify", tiny.file, "--json")
    assert done.status == 0
    tensors = json.loads(done.out)["tensors"]
    assert [entry["tensor"] for entry in tensors] == list(tiny)
    for entry in tensors:
        values = tiny[entry["tensor"]]
        assert entry["shape"] == list(values.shape)
        assert entry["sha256"] == hashlib.sha256(values.tobytes()).hexdigest()
    lines = vgg16("weights", "verify", tiny.file).out.splitlines()
    assert lines[1].split() == ["block1_conv1.weight", "4×3×3×3", tensors[0]["sha256"][:16]]
    assert len(lines) == len(tiny) + 2


def test_verify_finds_files_of_different_formats_equal(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    for name in vgg16_weights.writable():
        vgg16_weights.write(tiny, tmp_path / name, name)
        done = vgg16("weights", "verify", tiny.file, tmp_path / name)
        assert done.status == 0, done.err
        assert done.out.splitlines()[-1] == "32 of 32 tensors are equal, bit for bit."


def test_verify_finds_what_differs_and_what_is_missing(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    tensors = {name: Tensor.of(np.array(tiny[name])) for name in tiny}
    tensors["block2_conv1.bias"].read()[1] *= -1
    other = Checkpoint(tiny.configuration, tiny.metadata, tensors)
    vgg16_weights.write(other, tmp_path / "other.pth")
    done = vgg16("weights", "verify", tiny.file, tmp_path / "other.pth", "--json")
    assert done.status == 1
    document = json.loads(done.out)
    assert document["equal"] is False
    wrong = [entry for entry in document["tensors"] if entry["verdict"] != "equal"]
    assert [entry["tensor"] for entry in wrong] == ["block2_conv1.bias"]

    vgg16_weights.write(tiny.without_top(), tmp_path / "notop.h5")
    done = vgg16("weights", "verify", tmp_path / "notop.h5", tiny.file)
    assert done.status == 1
    assert done.out.splitlines()[-1] == "26 of 32 tensors are equal, bit for bit."
    missing = [line.split()[0] for line in done.out.splitlines() if " missing " in line]
    assert missing == [name for name in tiny if not name.startswith("block")]


def test_verify_of_other_weights_finds_nothing_equal(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    vgg16_weights.write(generate(tiny.configuration, 1), tmp_path / "w.weights.h5")
    done = vgg16("weights", "verify", tiny.file, tmp_path / "w.weights.h5")
    assert done.status == 1
    assert done.out.splitlines()[-1] == "0 of 32 tensors are equal, bit for bit."


def test_verify_names_the_mistake(vgg16: Command, tiny: Checkpoint, tmp_path: Path) -> None:
    turned = {
        name: Tensor.of(values[..., ::-1, ::-1].copy() if values.ndim == 4 else values)
        for name, values in tiny.items()
    }
    other = Checkpoint(tiny.configuration, tiny.metadata, turned)
    vgg16_weights.write(other, tmp_path / "turned.pth")
    done = vgg16("weights", "verify", tiny.file, tmp_path / "turned.pth")
    assert done.status == 1
    said = "B is A with kernels turned by half a turn"
    assert done.out.splitlines()[-2] == f"all 13 convolutions: {said}."
    document = json.loads(
        vgg16("weights", "verify", tiny.file, tmp_path / "turned.pth", "--json").out
    )
    named = {entry["tensor"]: entry["mistake"] for entry in document["tensors"]}
    assert named == {name: said if tiny[name].ndim == 4 else None for name in tiny}


def test_verify_warns_of_equal_values_with_other_recipes(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    vgg16_weights.write(tiny.with_recipe("caffe"), tmp_path / "caffe.pth")
    done = vgg16("weights", "verify", tiny.file, tmp_path / "caffe.pth")
    assert done.status == 0
    warning = "The values are equal, the recipes are not: torchvision and caffe."
    assert done.out.splitlines()[-2] == warning
    done = vgg16("weights", "verify", tiny.file, tmp_path / "caffe.pth", "--json")
    document = json.loads(done.out)
    assert (document["equal"], document["recipes_equal"]) == (True, False)
    done = vgg16("weights", "verify", tiny.file, tiny.file, "--json")
    assert json.loads(done.out)["recipes_equal"] is True
    assert {entry["mistake"] for entry in json.loads(done.out)["tensors"]} == {None}


def test_verify_compares_recipes_by_what_they_do(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    own = Recipe(name="own", scale=64.0, mean=(1.0, 2.0, 3.0), std=(1.0, 1.0, 2.0))
    vgg16_weights.write(tiny.with_recipe(own), tmp_path / "own", "safetensors")
    for name, other, words in (
        ("alike", replace(own, name="alike"), ""),
        ("proportion", replace(own, resize=73, crop=64), ""),
        ("scale", replace(own, scale=65.0), "two different ones are called own"),
    ):
        vgg16_weights.write(tiny.with_recipe(other), tmp_path / name, "safetensors")
        out = vgg16("weights", "verify", tmp_path / "own", tmp_path / name).out
        assert (f"The values are equal, the recipes are not: {words}." in out) == bool(words), name
    save_file(
        {key: tiny[name] for name, key in torchvision_keys(tiny.configuration).items()},
        tmp_path / "bare",
    )
    out = vgg16("weights", "verify", tmp_path / "own", tmp_path / "bare").out
    assert "the recipes are not: own and torchvision (assumed)." in out
    assert ", recipe torchvision (assumed), " in out


def test_verify_of_what_is_no_weights_file_is_one_line(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("none")
    done = vgg16("weights", "verify", tiny.file, tmp_path / "text")
    assert done.status == 2
    assert done.err.strip().splitlines()[-1].startswith(f"vgg16: {tmp_path / 'text'}: not a weig")
