"""NumPy dictionaries as ``vgg16.npy`` is one, whoever pickled them and however."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vgg16_weights
from parity_tests.support.helpers import Command, same
from parity_tests.support.weights.refusals import refusal
from parity_tests.support.weights.tensorflow_files import (
    Layers,
    header,
    layers,
    save,
    save_as_python_2,
)
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, digest, open_checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.images.preprocessing import RECIPES, normalise
from vgg16_weights.tf import npy

FORMAT = "npy"


def test_what_python_2_saved_is_read(tiny: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "vgg16.npy"
    save_as_python_2(path, layers(tiny))
    theirs = np.load(path, allow_pickle=True, encoding="latin1").item()
    assert np.array_equal(theirs["fc6"][0], layers(tiny)["fc6"][0])
    assert vgg16_weights.detect(path) == FORMAT
    read = vgg16_weights.read(path)
    assert same(read, tiny)
    assert read.metadata.recipe == "caffe"
    assert read.metadata.source_format == FORMAT
    assert read.metadata.source_sha256 == digest(path)


FORMS: dict[str, Callable[[Layers], Any]] = {
    "lists": lambda found: found,
    "tuples": lambda found: {name: tuple(pair) for name, pair in found.items()},
    "an ordered dictionary": OrderedDict,
    "weights and biases": lambda found: {
        name: {"weights": kernel, "biases": bias} for name, (kernel, bias) in found.items()
    },
    "names as bytes": lambda found: {
        name.encode(): {b"biases": bias, b"weights": kernel}
        for name, (kernel, bias) in found.items()
    },
    "one dictionary": lambda found: {
        f"{name}_{letter}": array
        for name, pair in found.items()
        for letter, array in zip("Wb", pair, strict=True)
    },
    "variables": lambda found: {
        f"{name}/{part}:0": array
        for name, pair in found.items()
        for part, array in zip(("weights", "biases"), pair, strict=True)
    },
    "Fortran's order": lambda found: {
        name: [np.asfortranarray(kernel), bias] for name, (kernel, bias) in found.items()
    },
    "1x1 convolutions": lambda found: {
        name: [kernel[None, None] if name.startswith("fc") else kernel, bias]
        for name, (kernel, bias) in found.items()
    },
    "a convolution over the map": lambda found: {
        name: [kernel.reshape(2, 2, 12, -1) if name == "fc6" else kernel, bias]
        for name, (kernel, bias) in found.items()
    },
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_dictionary_is_read(
    tiny: Checkpoint, tmp_path: Path, form: str, protocol: int
) -> None:
    save(tmp_path / "w.npy", FORMS[form](layers(tiny)), protocol)
    assert same(vgg16_weights.read(tmp_path / "w.npy"), tiny)


def test_numpys_own_function_writes_what_is_read(tiny: Checkpoint, tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", layers(tiny))  # type: ignore[arg-type]
    assert same(vgg16_weights.read(tmp_path / "w.npy"), tiny)


@pytest.mark.parametrize("name", ["A", "C"])
def test_other_columns_and_heads_are_recognised(tmp_path: Path, name: str) -> None:
    features = generate(configuration(name, include_top=False))
    save(tmp_path / "w.npy", layers(features), 4)
    assert same(vgg16_weights.read(tmp_path / "w.npy"), features)
    own = generate(configuration("tiny", classes=7), 3)
    save(tmp_path / "w.npy", layers(own), 2)
    assert same(vgg16_weights.read(tmp_path / "w.npy"), own)


def test_the_first_layer_computes_what_the_network_does(tiny: Checkpoint, tmp_path: Path) -> None:
    """BGR pixels minus its means through its kernel, and the recipe's through the checkpoint's."""
    named = layers(tiny)
    save_as_python_2(tmp_path / "w.npy", named)
    pixels = np.random.default_rng(2).integers(0, 256, (1, 3, 3, 3), np.uint8)
    theirs = pixels[..., ::-1].astype(np.float32) - np.array([103.939, 116.779, 123.68], np.float32)
    read = vgg16_weights.read(tmp_path / "w.npy")
    ours = normalise(pixels, RECIPES[read.metadata.recipe])  # (1, 3, 3, 3), NCHW
    assert np.array_equal(
        np.einsum("nihw,oihw->nihwo", ours, read["block1_conv1.weight"]),
        np.einsum("nhwi,hwio->nihwo", theirs, named["conv1_1"][0]),
    )


def test_the_values_stay_in_the_file(tiny: Checkpoint, tmp_path: Path) -> None:
    save_as_python_2(tmp_path / "w.npy", layers(tiny))
    tensors = npy.read(tmp_path / "w.npy").tensors
    assert not tensors["conv5_1.weight"].view().flags.owndata
    assert not tensors["conv5_1.weight"].view().flags.writeable


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_are_passed_on_as_they_are(
    tiny: Checkpoint, tmp_path: Path, dtype: type[np.generic]
) -> None:
    stored = {n: [a.astype(dtype) for a in pair] for n, pair in layers(tiny).items()}
    save(tmp_path / "w.npy", stored, 4)
    contents = npy.read(tmp_path / "w.npy")
    for name, (kernel, bias) in stored.items():
        assert contents.tensors[f"{name}.weight"].dtype == np.dtype(dtype).name
        assert np.array_equal(contents.tensors[f"{name}.weight"].view(), kernel)
        assert np.array_equal(contents.tensors[f"{name}.bias"].view(), bias)


def test_a_models_list_of_weights_is_read_in_its_order(tiny: Checkpoint, tmp_path: Path) -> None:
    arrays = [array for pair in layers(tiny).values() for array in pair]
    box = np.empty(len(arrays), object)
    box[:] = arrays
    np.save(tmp_path / "w.npy", box)
    contents = npy.read(tmp_path / "w.npy")
    assert contents.is_ordered
    assert list(contents.tensors)[:3] == ["layer_1.weight", "layer_1.bias", "layer_2.weight"]
    for tensor, array in zip(contents.tensors.values(), arrays, strict=True):
        assert np.array_equal(tensor.view(), array)


def test_a_dictionary_of_networks_names_each(tmp_path: Path) -> None:
    pair = [np.ones((3, 3, 3, 4), np.float32), np.ones(4, np.float32)]
    save(tmp_path / "w.npy", {"vgg": {"conv1_1": pair}, "head": {"fc": pair}}, 4)
    names = list(npy.read(tmp_path / "w.npy").tensors)
    assert names == ["vgg/conv1_1.weight", "vgg/conv1_1.bias", "head/fc.weight", "head/fc.bias"]


def test_the_command_ports_it(vgg16: Command, tiny: Checkpoint, tmp_path: Path) -> None:
    save_as_python_2(tmp_path / "vgg16.npy", layers(tiny))
    done = vgg16("port", tmp_path / "vgg16.npy", tmp_path / "w.safetensors")
    assert done.status == 0, done.err
    assert "recipe caffe" in done.out
    assert same(open_checkpoint(tmp_path / "w.safetensors"), tiny)
    assert vgg16("port", tiny.file, tmp_path / "w.npy").status == 2


ONE = np.ones(3, np.float32)
STRANGE: dict[str, tuple[Any, str]] = {
    "a number": ({"conv1_1": 3}, "conv1_1 is not an array"),
    "objects": ({"conv1_1": [np.array([ONE, None], object)]}, "has Python objects in it"),
    "no dictionary": ("text", "it holds a str, not a dictionary of arrays"),
    "another class": ({"conv1_1": Path("w")}, "cannot be used (it refers to pathlib."),
    "a set": ({"conv1_1": {1, 2}}, "cannot be used ("),
    "complex numbers": ({"conv1_1": [ONE.astype(complex)]}, "it has an array of type 'c16'"),
    "a record": ({"conv1_1": [np.zeros(2, [("a", "f4")])]}, "an array of type 'V4'"),
    "a number of NumPy's": ({"conv1_1": np.float32(3)}, "refers to numpy"),
    "a name that is not text": ({7: [ONE]}, "it has a name that is not text"),
    "nothing": ({}, "holds no tensors"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_anything_else_in_it_is_refused(tmp_path: Path, kind: str) -> None:
    value, problem = STRANGE[kind]
    save(tmp_path / "w.npy", value, 4)
    assert problem in refusal(FORMAT, tmp_path / "w.npy")


def test_what_holds_itself_is_refused(tmp_path: Path) -> None:
    looped: dict[str, Any] = {}
    looped["x"] = looped
    save(tmp_path / "w.npy", looped, 4)
    assert "x is nested too deeply, or in itself" in refusal(FORMAT, tmp_path / "w.npy")
    listed: list[Any] = [ONE]
    listed.append(listed)
    save(tmp_path / "w.npy", {"x": listed}, 4)
    assert "nested too deeply, or in itself" in refusal(FORMAT, tmp_path / "w.npy")


def test_an_array_of_numbers_is_called_that(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.ones((3, 4), np.float32))
    assert "holds a single array of float32, (3, 4), not a network" in refusal(
        FORMAT, tmp_path / "w.npy"
    )


def test_an_array_that_is_not_all_there_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    save_as_python_2(tmp_path / "w.npy", layers(tiny))
    whole = (tmp_path / "w.npy").read_bytes()
    # The first kernel's sizes, each a long integer of one byte.
    sizes = b"".join(b"\x8a\x01" + bytes([size]) for size in (3, 3, 3, 4))
    claims = b"".join(b"\x8a\x01" + bytes([size]) for size in (3, 3, 3, 120))
    assert whole.count(sizes) == 1
    (tmp_path / "w.npy").write_bytes(whole.replace(sizes, claims))
    problem = "its array of shape (3, 3, 3, 120) is incomplete"
    assert problem in refusal(FORMAT, tmp_path / "w.npy")


@pytest.mark.parametrize(
    ("kept", "words"),
    [(0.0, "is empty"), *((share, "cannot be used (") for share in (0.001, 0.5, 0.999))],
)
def test_truncated_files_are_refused(
    tiny: Checkpoint, tmp_path: Path, kept: float, words: str
) -> None:
    save_as_python_2(tmp_path / "w.npy", layers(tiny))
    os.truncate(tmp_path / "w.npy", int(kept * (tmp_path / "w.npy").stat().st_size))
    assert words in refusal(FORMAT, tmp_path / "w.npy")


def test_a_pickle_inside_an_archive_stays_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", allow_pickle=True, w=np.array([layers(tiny)], object))
    assert "has Python objects in it, which are not loaded" in refusal("npz", tmp_path / "w.npz")


def test_an_instruction_that_no_array_takes_is_refused(tmp_path: Path) -> None:
    for code in set(map(bytes, zip(range(256)))) - {b"."}:
        (tmp_path / "w.npy").write_bytes(header() + b"\x80\x02" + code * 3 + b".")
        assert "cannot be used (" in refusal(FORMAT, tmp_path / "w.npy")
    assert pickle.loads(b"\x80\x02N.") is None
