"""The canonical checkpoint keeps every bit, and refuses what is not one in one clear error."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from parity_tests.support.helpers import same
from parity_tests.support.weights.changed import with_value
from vgg16_spec.architecture import CONFIGURATIONS, configuration
from vgg16_spec.checkpoint import (
    FORMAT,
    Checkpoint,
    Metadata,
    Tensor,
    configuration_of,
    digest,
    open_checkpoint,
    write_checkpoint,
)
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput

Change = Callable[[dict[str, np.ndarray]], object]


def saved(path: Path, tensors: dict[str, np.ndarray], **metadata: str) -> Path:
    """A file written by the safetensors library itself."""
    basic = {"format": FORMAT, "configuration": "tiny", "recipe": "caffe"}
    save_file(tensors, path, metadata=basic | metadata)
    return path


def test_a_checkpoint_comes_back_bit_for_bit(tiny: Checkpoint, tmp_path: Path) -> None:
    metadata = Metadata("caffe", "a.pth", "torchvision", "0" * 64, "MIT")
    written = Checkpoint(tiny.configuration, metadata, {n: Tensor.of(tiny[n]) for n in tiny})
    write_checkpoint(written, tmp_path / "c.safetensors")
    read = open_checkpoint(tmp_path / "c.safetensors")
    assert same(read, tiny)
    assert read.metadata == metadata
    assert read.configuration == tiny.configuration


def test_the_safetensors_library_reads_the_same_values(tiny: Checkpoint) -> None:
    theirs = load_file(tiny.file)
    assert set(theirs) == set(tiny)
    assert all(theirs[name].tobytes() == tiny[name].tobytes() for name in tiny)


def test_a_file_of_the_safetensors_library_in_any_order_is_read(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    path = saved(tmp_path / "c.safetensors", {name: tiny[name] for name in reversed(list(tiny))})
    assert same(open_checkpoint(path), tiny)


def test_offsets_name_the_bytes_in_the_file(tiny: Checkpoint) -> None:
    stored = tiny.file.read_bytes()
    for name, values in tiny.items():
        start = tiny.offsets[name]
        assert stored[start : start + values.nbytes] == values.tobytes()
    assert all(offset % 4 == 0 for offset in tiny.offsets.values())


def test_the_largest_tensor_begins_at_a_page(tiny: Checkpoint) -> None:
    largest = max(tiny, key=lambda name: tiny[name].size)
    assert largest == "predictions.weight"
    assert tiny.offsets[largest] % 4096 == 0


def test_the_same_checkpoint_gives_the_same_bytes(tiny: Checkpoint, tmp_path: Path) -> None:
    write_checkpoint(tiny, tmp_path / "c.safetensors")
    assert digest(tmp_path / "c.safetensors") == digest(tiny.file)


def test_tensors_are_views_that_cannot_be_written(tiny: Checkpoint) -> None:
    values = tiny["fc1.bias"]
    assert not values.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 0


@pytest.mark.parametrize(("include_top", "classes"), [(False, 1000), (True, 10)])
def test_the_head_is_found_from_the_tensors(
    tmp_path: Path, include_top: bool, classes: int
) -> None:
    network = configuration("tiny", include_top=include_top, classes=classes)
    write_checkpoint(generate(network), tmp_path / "c.safetensors")
    assert open_checkpoint(tmp_path / "c.safetensors").configuration == network


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_convolution_shapes_identify_every_configuration(name: str) -> None:
    shapes = configuration(name).weight_shapes
    assert configuration_of(shapes, "w") == configuration(name)
    convolutions = {n: shape for n, shape in shapes.items() if len(shape) == 4}
    for others in (dict(reversed(convolutions.items())), {}):
        with pytest.raises(BadInput, match=r"w: its \d+ convolutions match no config"):
            configuration_of(others, "w")


def test_without_top_keeps_the_features(tiny: Checkpoint) -> None:
    features = tiny.without_top()
    assert not features.configuration.include_top
    assert list(features) == [name for name in tiny if name.startswith("block")]
    assert all(np.array_equal(features[name], tiny[name]) for name in features)


def test_every_problem_stands_in_one_error(tiny: Checkpoint, tmp_path: Path) -> None:
    tensors = dict(load_file(tiny.file))
    del tensors["fc2.bias"]
    tensors["fc3.weight"] = np.ones((2, 2), np.float32)
    tensors["block1_conv1.weight"] = tensors["block1_conv1.weight"][:, :2].copy()
    tensors["fc1.bias"] = tensors["fc1.bias"].astype(np.float16)
    path = saved(tmp_path / "c.safetensors", tensors)
    with pytest.raises(BadInput) as refusal:
        open_checkpoint(path)
    message = str(refusal.value)
    assert message.startswith(f"{path}: missing: fc2.bias; unexpected: fc3.weight; ")
    assert "wrong shape: block1_conv1.weight is (4, 2, 3, 3) instead of (4, 3, 3, 3)" in message
    assert "wrong type: fc1.bias is F16" in message
    assert message.endswith("expected the tensors of configuration tiny")
    assert "\n" not in message


def test_values_that_are_not_finite_are_all_named(tiny: Checkpoint, tmp_path: Path) -> None:
    tensors = {name: values.copy() for name, values in load_file(tiny.file).items()}
    tensors["block3_conv2.weight"][1, 2, 0, 1] = np.nan
    tensors["fc1.weight"][-1, -1] = -np.inf
    path = saved(tmp_path / "c.safetensors", tensors)
    with pytest.raises(BadInput, match=r"not finite .*: block3_conv2.weight, fc1.weight;"):
        open_checkpoint(path)


def test_values_that_are_not_finite_are_never_written(tiny: Checkpoint, tmp_path: Path) -> None:
    broken = with_value(tiny, "predictions.bias", -1, np.inf)
    with pytest.raises(BadInput, match=r"not finite .*: predictions.bias;"):
        write_checkpoint(broken, tmp_path / "c.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_what_was_there(tiny: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_text("precious")

    def fail() -> np.ndarray:
        raise RuntimeError("the source broke")

    tensors = {name: Tensor(tiny[name].shape, "float32", fail) for name in tiny}
    with pytest.raises(RuntimeError, match="the source broke"):
        write_checkpoint(tiny.with_tensors(tensors), path)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file; expected a canonical checkpoint"):
        open_checkpoint(tmp_path / "none.safetensors")


@pytest.mark.parametrize("length", [0, 7, 8, 100, -1])
def test_a_truncated_file_is_refused(tiny: Checkpoint, tmp_path: Path, length: int) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(tiny.file.read_bytes()[:length])
    with pytest.raises(BadInput, match="not a readable safetensors file"):
        open_checkpoint(path)


def test_another_safetensors_file_is_refused(tmp_path: Path) -> None:
    save_file({"x": np.ones(3, np.float32)}, tmp_path / "x.safetensors")
    with pytest.raises(BadInput, match="without a checkpoint's metadata"):
        open_checkpoint(tmp_path / "x.safetensors")


def test_an_unknown_configuration_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "c.safetensors", {"x": np.ones(3, np.float32)}, configuration="Z")
    with pytest.raises(BadInput, match="its configuration is 'Z'; expected one of A, B, C, D, E"):
        open_checkpoint(path)


@pytest.mark.parametrize("shape", [(), (0,), (2, 2)])
def test_a_head_of_no_use_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    tensors = {"predictions.bias": np.ones(shape, np.float32)}
    with pytest.raises(BadInput, match=r"c.safetensors: missing: block1_conv1.weight"):
        open_checkpoint(saved(tmp_path / "c.safetensors", tensors))


def test_metadata_without_a_recipe_are_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    metadata = {"format": FORMAT, "configuration": "tiny"}
    save_file(dict(load_file(tiny.file)), tmp_path / "c.safetensors", metadata=metadata)
    with pytest.raises(BadInput, match="does not name its preprocessing recipe"):
        open_checkpoint(tmp_path / "c.safetensors")


def test_the_header_is_plain_json_in_the_architectures_order(tiny: Checkpoint) -> None:
    stored = tiny.file.read_bytes()
    (length,) = struct.unpack("<Q", stored[:8])
    header = json.loads(stored[8 : 8 + length])
    assert list(header) == ["__metadata__", *tiny.configuration.weight_shapes]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_written_file_has_ordinary_permissions(tiny: Checkpoint, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    write_checkpoint(tiny, tmp_path / "c.safetensors")
    assert (tmp_path / "c.safetensors").stat().st_mode == plain.stat().st_mode
    assert os.access(tmp_path / "c.safetensors", os.R_OK)
