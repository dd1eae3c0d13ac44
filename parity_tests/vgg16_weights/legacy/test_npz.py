"""NumPy archives in the form of Frossard's weights, as NumPy writes and reads them."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import vgg16_weights
from parity_tests.support.helpers import same
from parity_tests.support.weights.caffe_files import authors_layer
from parity_tests.support.weights.refusals import refusal, survive_damage
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, digest
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import RECIPES, normalise
from vgg16_weights.legacy import npz

FORMAT = "npz"

Arrays = dict[str, NDArray[Any]]


def arrays(checkpoint: Checkpoint) -> Arrays:
    """The checkpoint's tensors as Frossard has them, of a network that reads RGB."""
    found: Arrays = {}
    channels, height, width = checkpoint.configuration.feature_shape
    bgr = RECIPES[checkpoint.metadata.recipe].channels == "BGR"
    for name in checkpoint:
        layer, _, part = name.partition(".")
        values = checkpoint[name]
        if layer == "block1_conv1" and part == "weight" and bgr:
            values = np.stack([values[:, 2], values[:, 1], values[:, 0]], axis=1)
        if layer == "fc1" and part == "weight":
            maps = values.reshape(-1, channels, height, width)
            values = np.moveaxis(maps, 1, 3).reshape(len(values), -1)
        if values.ndim == 4:
            values = np.einsum("oihw->hwio", values)
        found[f"{authors_layer(layer)}_{part[0].replace('w', 'W')}"] = np.array(
            values.T if values.ndim == 2 else values
        )
    return found


@pytest.fixture
def caffe(tiny: Checkpoint) -> Checkpoint:
    return tiny.with_recipe("caffe")


# Without their types: names of arrays could be those of their options.
savez: Callable[..., None] = np.savez
savez_compressed: Callable[..., None] = np.savez_compressed
SAVERS = {"savez": savez, "compressed": savez_compressed}


@pytest.mark.parametrize("saver", SAVERS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_numpy_saves_is_read(
    caffe: Checkpoint, tmp_path: Path, saver: str, order: str
) -> None:
    path = tmp_path / "w.npz"
    laid_out = {name: np.array(values, order=order) for name, values in arrays(caffe).items()}  # type: ignore[call-overload]
    SAVERS[saver](path, **laid_out)
    read = vgg16_weights.read(path, FORMAT)
    assert same(read, caffe)
    assert read.metadata.recipe == "caffe"
    assert read.metadata.source_format == "npz"
    assert read.metadata.source_sha256 == digest(path)


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_written_is_what_numpy_reads(tiny: Checkpoint, tmp_path: Path, recipe: str) -> None:
    checkpoint = tiny.with_recipe(recipe)
    vgg16_weights.write(checkpoint, tmp_path / "w.npz", FORMAT)
    with np.load(tmp_path / "w.npz", allow_pickle=False) as found:
        expected = arrays(checkpoint)
        # His program assigns the members in the order of their names, and every one of them.
        assert sorted(found) == sorted(expected)
        for name, values in expected.items():
            assert found[name].dtype == np.float32
            assert np.array_equal(found[name], values), name


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("classes", [1000, 7])
def test_a_round_trip_keeps_every_bit_and_the_recipe(
    tmp_path: Path, recipe: str, classes: int
) -> None:
    start = generate(configuration("tiny", classes=classes), 6).with_recipe(recipe)
    vgg16_weights.write(start, tmp_path / "a.npz", FORMAT)
    read = vgg16_weights.read(tmp_path / "a.npz", FORMAT)
    assert same(read, start)
    assert read.metadata == start.metadata
    vgg16_weights.write(read, tmp_path / "b.npz", FORMAT)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_first_layer_computes_what_frossards_does(caffe: Checkpoint, tmp_path: Path) -> None:
    """RGB pixels minus his means through his kernel, and the recipe's through the checkpoint's."""
    stored = arrays(caffe)
    savez(tmp_path / "w.npz", **stored)
    pixels = np.random.default_rng(2).integers(0, 256, (1, 3, 3, 3), np.uint8)
    his = pixels.astype(np.float32) - np.array([123.68, 116.779, 103.939], np.float32)
    ours = normalise(pixels, RECIPES["caffe"])  # (1, 3, 3, 3), BGR, NCHW
    kernel = vgg16_weights.read(tmp_path / "w.npz", FORMAT)["block1_conv1.weight"]
    theirs = np.einsum("nhwi,hwio->nihwo", his, stored["conv1_1_W"])
    products = np.einsum("nihw,oihw->nihwo", ours, kernel)
    # The same products, those of blue first: no sum yet that could round.
    assert np.array_equal(products, theirs[:, ::-1])


@pytest.mark.parametrize("name", ["A", "C"])
def test_other_columns_are_recognised(tmp_path: Path, name: str) -> None:
    features = generate(configuration(name, include_top=False))
    vgg16_weights.write(features, tmp_path / "w.npz", FORMAT)
    read = vgg16_weights.read(tmp_path / "w.npz", FORMAT)
    assert read.configuration == features.configuration
    assert same(read, features)


def test_members_are_found_by_name_not_by_order(caffe: Checkpoint, tmp_path: Path) -> None:
    savez(tmp_path / "w.npz", **dict(reversed(arrays(caffe).items())))
    assert same(vgg16_weights.read(tmp_path / "w.npz", FORMAT), caffe)


def test_values_for_an_unknown_recipe_are_never_written(tiny: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="its recipe is 'unknown'"):
        vgg16_weights.write(tiny.with_recipe("unknown"), tmp_path / "w.npz", FORMAT)
    assert list(tmp_path.iterdir()) == []


def test_every_problem_stands_in_one_error(caffe: Checkpoint, tmp_path: Path) -> None:
    found = arrays(caffe)
    del found["fc7_b"]
    found["fc9_W"] = found["fc8_W"]
    found["conv9_9_x"] = found["fc8_b"]
    found["fc8_W"] = found["fc8_W"][:-1]
    found["fc6_b"] = found["fc6_b"].astype(">f4")
    savez(tmp_path / "w.npz", **found)
    problems = refusal(FORMAT, tmp_path / "w.npz")
    assert "missing: fc2.bias; unexpected: fc9.weight, array 'conv9_9_x.npy'" in problems
    assert "wrong shape: predictions.weight is (1000, 31) instead of (1000, 32)" in problems
    assert "wrong type: fc1.bias is >f4" in problems


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.target), "w"))


def test_a_dense_layer_as_a_convolution_is_refused(caffe: Checkpoint, tmp_path: Path) -> None:
    # Nothing tells in which order it has its inputs.
    found = arrays(caffe)
    found["fc6_W"] = found["fc6_W"][np.newaxis, np.newaxis]
    np.savez(tmp_path / "w.npz", **found)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"fc1.weight is \(32, 48, 1, 1\) instead of \(32, 48\)"):
        vgg16_weights.read(tmp_path / "w.npz", "npz")


def test_pickled_objects_are_refused_and_not_loaded(caffe: Checkpoint, tmp_path: Path) -> None:
    found = arrays(caffe)
    found["fc8_b"] = np.array([Malicious(tmp_path / "executed")], object)
    savez(tmp_path / "w.npz", allow_pickle=True, **found)
    assert "fc8_b.npy has Python objects in it, which are not loaded" in refusal(
        FORMAT, tmp_path / "w.npz"
    )
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("fc8_b.npy", pickle.dumps(Malicious(tmp_path / "executed")))
    assert "cannot be used (" in refusal(FORMAT, tmp_path / "w.npz")
    assert not (tmp_path / "executed").exists()


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


STRANGE = {
    "a huge shape": (
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,)}"),
        "fc8_b.npy has 77 bytes, not those of (1099511627776,)",
    ),
    "a negative shape": (
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"),
        "fc8_b.npy has 66 bytes, not those of (-1,)",
    ),
    "code for a header": (header("__import__('os').system('true')"), "cannot be used ("),
    "a long header": (header("(" * 60_000), "cannot be used ("),
    "version 3": (b"\x93NUMPY\x03\x00" + bytes(200), "is in version (3, 0) of NumPy's format"),
    "no array": (b"hello", "cannot be used ("),
    "nothing": (b"", "cannot be used ("),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_arrays_are_refused(caffe: Checkpoint, tmp_path: Path, kind: str) -> None:
    found = arrays(caffe)
    del found["fc8_b"]
    content, problem = STRANGE[kind]
    savez(tmp_path / "w.npz", **found)
    with zipfile.ZipFile(tmp_path / "w.npz", "a") as archive:
        archive.writestr("fc8_b.npy", content)
    assert problem in refusal(FORMAT, tmp_path / "w.npz")


def test_a_bomb_is_refused_before_it_is_inflated(
    caffe: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inflated(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(npz, "_inflated", inflated)
    monkeypatch.setattr(npz, "_MOST_BYTES", 1 << 20)
    found = arrays(caffe)
    path = tmp_path / "w.npz"
    savez_compressed(path, **(found | {"fc7_W": np.zeros((2048, 32), np.float32)}))
    assert "wrong shape: fc2.weight is (32, 2048)" in refusal(FORMAT, path)
    # Many classes are a VGG too.
    classes = {
        "fc8_W": np.zeros((32, 10_000), np.float32),
        "fc8_b": np.zeros(10_000, np.float32),
    }
    savez_compressed(path, **(found | classes))
    assert path.stat().st_size < 1 << 19
    assert "fc8_W.npy inflates to more than 1048576 bytes" in refusal(FORMAT, path)


def test_a_member_twice_is_refused(caffe: Checkpoint, tmp_path: Path) -> None:
    savez(tmp_path / "w.npz", **arrays(caffe))
    with zipfile.ZipFile(tmp_path / "w.npz", "a") as archive:
        content = archive.read("fc8_b.npy")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("fc8_b.npy", content)
    assert "it holds fc8.bias twice" in refusal(FORMAT, tmp_path / "w.npz")


@pytest.mark.parametrize("saver", SAVERS)
def test_one_changed_value_is_noticed(caffe: Checkpoint, tmp_path: Path, saver: str) -> None:
    path = tmp_path / "w.npz"
    SAVERS[saver](path, **arrays(caffe))
    with zipfile.ZipFile(path) as archive:
        middle = archive.getinfo("fc7_W.npy").header_offset + 2000
    stored = bytearray(path.read_bytes())
    stored[middle] ^= 1
    path.write_bytes(stored)
    assert "fc7_W.npy" in refusal(FORMAT, path) or saver == "compressed"


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_truncated_files_are_refused(caffe: Checkpoint, tmp_path: Path, kept: float) -> None:
    path = tmp_path / "w.npz"
    savez(path, **arrays(caffe))
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert ("is truncated" if kept else "is empty") in refusal(FORMAT, path)


@pytest.mark.parametrize("saver", SAVERS)
def test_damaged_files_are_refused_or_hold_the_same(
    caffe: Checkpoint, tmp_path: Path, saver: str
) -> None:
    SAVERS[saver](tmp_path / "w.npz", **arrays(caffe))
    survive_damage(FORMAT, (tmp_path / "w.npz").read_bytes(), tmp_path / "w.npz", seed=2)


def test_an_archive_of_arrays_is_recognised(tmp_path: Path) -> None:
    def zipped(*names: str) -> Path:
        with zipfile.ZipFile(tmp_path / "w", "w") as archive:
            for name in names:
                archive.writestr(name, b"")
        return tmp_path / "w"

    assert vgg16_weights.detect(zipped("conv1_1_W.npy", "x.npy")) == FORMAT
    assert vgg16_weights.detect(zipped("conv1_1_W.npy", "w/data.pkl")) == "torchvision"
    for names in ((), ("conv1_1_W.npy", "x")):
        with pytest.raises(BadInput, match="not a weights file"):
            vgg16_weights.detect(zipped(*names))


def test_arrays_of_other_names_are_refused_with_the_way_to_tensors(tmp_path: Path) -> None:
    for arrays in ({"features.0.weight": np.ones((4, 3, 3, 3))}, {"arr_0": np.ones(3)}, {}):
        np.savez(tmp_path / "w.npz", **arrays)
        with pytest.raises(BadInput, match=r"holds .*conv1_1_W .*torch\.from_numpy"):
            vgg16_weights.read(tmp_path / "w.npz", "npz")
