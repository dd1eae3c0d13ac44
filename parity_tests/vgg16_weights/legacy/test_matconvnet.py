"""MatConvNet's networks in MATLAB's files, as SciPy writes and reads them."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

import vgg16_weights
from parity_tests.support.helpers import same
from parity_tests.support.weights.caffe_files import authors_layer
from parity_tests.support.weights.refusals import refusal
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, digest
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput
from vgg16_weights import formats

pytestmark = pytest.mark.usefixtures("no_first_reading")

FORMAT = "matconvnet"

Layer = dict[str, Any]


def layers(checkpoint: Checkpoint, *, older: bool = False) -> list[Layer]:
    """A SimpleNN's layers: filters (height, width, in, out), the first of them for RGB."""
    found: list[Layer] = []
    for part in checkpoint.configuration.weighted_layers:
        filters = checkpoint[f"{part.name}.weight"]
        if part.name == "block1_conv1":
            filters = np.stack([filters[:, 2], filters[:, 1], filters[:, 0]], axis=1)
        if part.name == "fc1":
            filters = filters.reshape(-1, *checkpoint.configuration.feature_shape)
        if filters.ndim == 2:
            filters = filters[:, :, np.newaxis, np.newaxis]
        filters = np.einsum("oihw->hwio", filters)
        biases = checkpoint[f"{part.name}.bias"].reshape(1, -1)
        weights = np.empty((1, 2), object)
        weights[0, 0], weights[0, 1] = filters, biases
        arrays: Layer = {"filters": filters, "biases": biases} if older else {"weights": weights}
        name = authors_layer(part.name)
        found.append({"name": name, "type": "conv", **arrays, "stride": np.ones((1, 2))})
        found.append({"name": f"relu_{name}", "type": "relu"})
    return found


MEANS = (123.68, 116.779, 103.939)


def saved(path: Path, found: list[Layer], means: tuple[float, ...] = MEANS, **options: Any) -> Path:
    """A ``.mat`` as MatConvNet's importer writes it, by SciPy."""
    network = {
        "layers": np.array(found, object).reshape(1, -1),
        "normalization": {"averageImage": np.full((4, 5, 3), means), "imageSize": [4.0, 5.0, 3.0]},
        "classes": {"name": np.array(["n01440764", "n01443537"], object)},
    }
    scipy.io.savemat(path, network, oned_as="row", **options)
    return path


COMPRESSED = pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])


@COMPRESSED
@pytest.mark.parametrize("older", [False, True], ids=["weights", "filters and biases"])
@pytest.mark.parametrize("classes", [1000, 7, 1])
def test_what_scipy_saves_is_read(
    tmp_path: Path, compressed: bool, older: bool, classes: int
) -> None:
    checkpoint = generate(configuration("tiny", classes=classes), 8)
    found = layers(checkpoint, older=older)
    path = saved(tmp_path / "w.mat", found, do_compression=compressed)
    read = vgg16_weights.read(path, FORMAT)
    assert same(read, checkpoint)
    assert read.metadata.recipe == "caffe"
    assert read.metadata.source_format == "matconvnet"
    assert read.metadata.source_sha256 == digest(path)


@COMPRESSED
def test_scipy_reads_the_same_arrays(tiny: Checkpoint, tmp_path: Path, compressed: bool) -> None:
    path = saved(tmp_path / "w.mat", layers(tiny), do_compression=compressed)
    read = vgg16_weights.read(path, FORMAT)
    theirs = scipy.io.loadmat(path)["layers"][0]
    for number, part in enumerate(tiny.configuration.weighted_layers):
        filters, biases = theirs[2 * number]["weights"][0, 0][0]
        kernel = np.transpose(filters, (3, 2, 0, 1)).reshape(part.weight_shape)
        if part.name == "block1_conv1":
            kernel = kernel[:, ::-1]
        assert np.array_equal(read[f"{part.name}.weight"], kernel)
        assert np.array_equal(read[f"{part.name}.bias"], biases[0])


@pytest.mark.parametrize("name", ["A", "C"])
def test_other_columns_are_recognised(tmp_path: Path, name: str) -> None:
    features = generate(configuration(name, include_top=False))
    read = vgg16_weights.read(saved(tmp_path / "w.mat", layers(features)), FORMAT)
    assert read.configuration == features.configuration
    assert same(read, features)


def test_layers_are_found_by_name_not_by_order(tiny: Checkpoint, tmp_path: Path) -> None:
    assert same(vgg16_weights.read(saved(tmp_path / "w.mat", layers(tiny)[::-1]), FORMAT), tiny)


def test_a_dense_layer_over_one_pixel_has_its_inputs_in_caffes_order(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    # (1, 1, C * H * W, out) in place of (H, W, C, out).
    found = layers(tiny)
    (fc6,) = (layer for layer in found if layer["name"] == "fc6")
    fc6["weights"][0, 0] = tiny["fc1.weight"].T[np.newaxis, np.newaxis]
    assert same(vgg16_weights.read(saved(tmp_path / "w.mat", found), FORMAT), tiny)


def test_whole_numbers_that_matlab_shortens_are_read(tiny: Checkpoint, tmp_path: Path) -> None:
    """MATLAB stores an array of single numbers as bytes where all of them are whole and small."""
    found = layers(tiny)
    path = saved(tmp_path / "w.mat", found)
    biases = tiny["block1_conv1.bias"]
    whole = path.read_bytes()
    old = struct.pack("<II", 7, 16) + biases.tobytes()
    # Four bytes and padding in place of four numbers: as long as before, with an unused element.
    new = struct.pack("<HH", 2, 4) + bytes([3, 0, 255, 1])
    assert whole.count(old) == 1
    at = whole.index(old)
    lengths = _enclosing(whole, at)
    shorter = bytearray(whole[:at] + new + whole[at + len(old) :])
    for start in lengths:
        (length,) = struct.unpack_from("<I", shorter, start + 4)
        struct.pack_into("<I", shorter, start + 4, length - len(old) + len(new))
    path.write_bytes(shorter)
    read = vgg16_weights.read(path, FORMAT)
    assert read["block1_conv1.bias"].tolist() == [3, 0, 255, 1]
    assert read["block1_conv1.bias"].dtype == np.float32
    assert np.array_equal(read["block1_conv2.bias"], tiny["block1_conv2.bias"])


def _enclosing(data: bytes, at: int) -> list[int]:
    """Where the arrays begin that the byte is in."""
    found = []
    for start in range(128, at, 8):
        kind, length = struct.unpack_from("<II", data, start)
        if kind == 14 and at < start + 8 + length <= len(data):
            found.append(start)
    return found


def test_every_problem_stands_in_one_error(tiny: Checkpoint, tmp_path: Path) -> None:
    found = {layer["name"]: layer for layer in layers(tiny)}
    found["fc7"]["weights"] = found["fc7"]["weights"][:, :1]
    found["relu_fc7"]["weights"] = found["fc8"]["weights"]
    found["conv1_2"]["weights"][0, 1] = found["conv1_2"]["weights"][0, 1][:, :3]
    problems = refusal(FORMAT, saved(tmp_path / "w.mat", list(found.values())))
    assert "missing: fc2.bias; unexpected: relu_fc7.weight, relu_fc7.b" in problems
    assert "wrong shape: block1_conv2.bias is (3,) instead of (4,)" in problems


def test_a_dense_layer_over_another_map_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    found = {layer["name"]: layer for layer in layers(tiny)}
    filters = found["fc6"]["weights"][0, 0]
    found["fc6"]["weights"][0, 0] = filters.reshape(4, 1, *filters.shape[2:])
    problems = refusal(FORMAT, saved(tmp_path / "w.mat", list(found.values())))
    assert "wrong shape: fc1.weight is (32, 12, 4, 1) instead of (32, 48)" in problems


def test_other_files_of_matlabs_are_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "w.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n")
    assert "is in the form of MATLAB 7.3; expected one saved with -v7" in refusal(FORMAT, path)
    scipy.io.savemat(path, {"x": np.ones(3)})
    assert "it has no variable 'layers'" in refusal(FORMAT, path)
    scipy.io.savemat(path, {"layers": {"name": "conv1_1"}, "params": np.ones(3)})
    assert "are not a cell, as a SimpleNN's are" in refusal(FORMAT, path)
    scipy.io.savemat(path, {"layers": np.array([1.0, "a"], object)})
    assert "an array is not a single structure" in refusal(FORMAT, path)
    found = layers(tiny)
    found[2]["name"] = found[0]["name"]
    assert "it holds conv1_1.weight twice" in refusal(FORMAT, saved(path, found))
    found[2]["name"] = 5.0
    assert "name is not text" in refusal(FORMAT, saved(path, found))
    found = layers(tiny)
    found[2]["weights"][0, 0] = "filters"
    assert "conv1_2.weight is not an array of numbers" in refusal(FORMAT, saved(path, found))


@pytest.mark.parametrize("place", ["normalization", "meta"])
def test_other_means_are_refused(tiny: Checkpoint, tmp_path: Path, place: str) -> None:
    def network(means: tuple[float, ...]) -> dict[str, Any]:
        normalization = {"averageImage": np.reshape(means, (1, 1, 3)).astype(np.float32)}
        meta = normalization if place == "normalization" else {"normalization": normalization}
        return {"layers": np.array(layers(tiny), object).reshape(1, -1), place: meta}

    path = tmp_path / "w.mat"
    scipy.io.savemat(path, network(MEANS))
    assert same(vgg16_weights.read(path, FORMAT), tiny)
    scipy.io.savemat(path, network(MEANS[::-1]))
    problem = "subtracts the means (103.939, 116.779, 123.68), which no recipe has"
    assert problem in refusal(FORMAT, path)


def nested(depth: int) -> bytes:
    """A cell in a cell in a cell …, named layers."""
    inner, heads, size = b"", [], 0
    for level in range(depth):
        name = b"layers" if level == depth - 1 else b""
        head = struct.pack("<IIII", 6, 8, 1, 0) + struct.pack("<IIii", 5, 8, 1, 1)
        head += struct.pack("<II", 1, len(name)) + name + bytes(-len(name) % 8)
        size += len(head)
        heads.append(struct.pack("<II", 14, size) + head)
        size += 8
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(heads[::-1]) + inner


@pytest.mark.usefixtures("first_reading")
def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    """SciPy's reader crashes its process on such a file."""
    (tmp_path / "w.mat").write_bytes(nested(100_000))
    assert "cannot be used (" in refusal(FORMAT, tmp_path / "w.mat")


@pytest.mark.parametrize("kept", [0.0, 0.0001, 0.01, 0.5, 0.9])
@COMPRESSED
@pytest.mark.usefixtures("first_reading")
def test_truncated_files_are_refused(
    tiny: Checkpoint, tmp_path: Path, kept: float, compressed: bool
) -> None:
    path = saved(tmp_path / "w.mat", layers(tiny), do_compression=compressed)
    path.write_bytes(path.read_bytes()[: math.ceil(kept * path.stat().st_size)])
    assert ("cannot be used (" if kept else "is empty") in refusal(FORMAT, path)


def test_matlabs_files_are_told_by_how_they_begin(tiny: Checkpoint, tmp_path: Path) -> None:
    path = saved(tmp_path / "w.mat", layers(tiny))
    assert vgg16_weights.detect(path) == FORMAT
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform")
    assert vgg16_weights.detect(path) == FORMAT
    path.write_bytes(b"MATLAB")
    with pytest.raises(BadInput, match="not a weights file"):
        vgg16_weights.detect(path)


def test_no_framework_is_imported(tiny: Checkpoint, tmp_path: Path) -> None:
    path = saved(tmp_path / "w.mat", layers(tiny))
    code = (
        "import sys, vgg16_weights\n"
        f"vgg16_weights.read({str(path)!r}, {FORMAT!r})['fc1.weight']\n"
        "assert not {'keras', 'tensorflow', 'torch', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_scipy_the_error_says_what_to_install(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "w.mat", layers(tiny))
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    assert refusal(FORMAT, path).endswith(
        'needs SciPy, which is not installed; expected pip install "vgg16-parity[formats]"'
    )
