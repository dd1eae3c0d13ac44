"""What PyTorch's files hold beside and around the weights, and how tensors lie in them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import warnings
import zipfile
from copy import copy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vgg16_weights
from parity_tests.support.helpers import same
from parity_tests.support.weights.tiny_files import repacked, state_dict
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_weights.archives import stored
from vgg16_weights.torch import pth


# What training scripts save: the state dict somewhere, and beside it whatever they had.
class Settings:
    """A class of a script's own."""

    def __init__(self) -> None:
        self.rate = 0.1


class Callback:
    """What Lightning would have PyTorch import."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.getcwd, ()


def optimized(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """An optimiser's state dict after one step, with a momentum for each weight."""
    parameters = [torch.nn.Parameter(values.clone()) for values in state.values()]
    optimizer = torch.optim.Adam(parameters, lr=0.1)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer.state_dict()


BESIDE: dict[str, Any] = {
    "epoch": 3,
    "arch": "vgg16",
    "loss": 0.5,
    "best": np.float64(0.9),
    "when": datetime(2020, 1, 2, tzinfo=UTC),
    "args": argparse.Namespace(lr=0.1, layers=[1, 2]),
    "path": Path("runs"),
    "settings": Settings(),
    "callbacks": {"checkpoint": Callback()},
    "history": [1.0, 2.0],
    "classes": {"cat", "dog"},
    "arrays": np.ones(3),
}
zipped = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older format"])


@zipped
@pytest.mark.parametrize(
    "path", [("state_dict",), ("model", "net"), ("models", 0), ("0", 1, "ema")]
)
def test_tensors_have_the_path_of_what_they_lie_in(
    tiny: Checkpoint, tmp_path: Path, path: tuple[str | int, ...], zipped: bool
) -> None:
    state = state_dict(tiny)
    saved: Any = state
    for key in reversed(path):
        saved = {key: saved} if isinstance(key, str) else [*["nothing"] * key, saved]
    saved |= BESIDE | {"optimizer": optimized(state)}
    torch.save(saved, tmp_path / "w", _use_new_zipfile_serialization=zipped)
    contents = pth.read(tmp_path / "w")
    prefix = "/".join(map(str, path))
    assert list(contents.tensors) == [f"{prefix}/{key}" for key in state]
    assert contents.is_ordered
    for key, values in state.items():
        assert contents.tensors[f"{prefix}/{key}"].read().tobytes() == values.numpy().tobytes()


def kinds(values: torch.Tensor) -> dict[str, Any]:
    """The same values in every way that PyTorch saves them in."""
    padded = torch.zeros(2 * values.numel() + 3)
    padded[3::2] = values.reshape(-1)
    tagged = values.clone()
    tagged.note = "kept by the tensor"  # type: ignore[attr-defined]
    return {
        "parameter": torch.nn.Parameter(values),
        "parameter without a gradient": torch.nn.Parameter(values, requires_grad=False),
        "buffer": torch.nn.Buffer(values),
        "gradient": values.clone().requires_grad_(),
        "transposed": values.mT.contiguous().mT,
        "part of a larger one": torch.stack([values, -values])[0],
        "with gaps": padded[3::2].reshape(values.shape),
        "with an attribute": tagged,
    }


@zipped
def test_a_tensor_is_its_values_however_it_lies(tmp_path: Path, zipped: bool) -> None:
    values = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    saved = kinds(values)
    torch.save(saved, tmp_path / "w", _use_new_zipfile_serialization=zipped)
    read = pth.read(tmp_path / "w").tensors
    assert list(read) == list(saved)
    for kind, tensor in read.items():
        assert tensor.shape == (4, 6)
        assert tensor.read().tobytes() == values.numpy().tobytes(), kind


@zipped
def test_a_tensor_from_another_device_is_read(
    tiny: Checkpoint, tmp_path: Path, zipped: bool
) -> None:
    path = tmp_path / "w"
    torch.save(state_dict(tiny), path, _use_new_zipfile_serialization=zipped)
    here, there = b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"

    def change(name: str, content: bytes) -> tuple[str, bytes, int]:
        return name, content.replace(here, there), zipfile.ZIP_STORED

    assert here in path.read_bytes()
    if zipped:
        repacked(path, tmp_path / "moved", change)
        path = tmp_path / "moved"
    else:
        path.write_bytes(path.read_bytes().replace(here, there))
    assert here not in path.read_bytes()
    assert same(vgg16_weights.read(path), tiny)


def quantised(values: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings(action="ignore"):
        return torch.quantize_per_tensor(values, 0.1, 0, torch.qint8)


OTHER_KINDS: dict[str, Any] = {
    "int8": lambda values: values.to(torch.int8),
    "int64": lambda values: values.to(torch.int64),
    "bool": lambda values: values.to(torch.bool),
    "complex64": lambda values: values.to(torch.complex64),
    "float8_e4m3fn": lambda values: values.to(torch.float8_e4m3fn),
    "uint16": lambda values: values.to(torch.uint16),
    "sparse": lambda values: values.to_sparse(),
    "quantised": quantised,
    "meta": lambda values: values.to("meta"),
    "negated": lambda values: torch.complex(values, values).conj().imag,
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_a_tensor_of_another_kind_is_refused_by_its_kind(
    tiny: Checkpoint, tmp_path: Path, kind: str
) -> None:
    with warnings.catch_warnings(action="ignore"):
        state = {key: OTHER_KINDS[kind](values) for key, values in state_dict(tiny).items()}
        torch.save(state, tmp_path / "w.pth")
    with pytest.raises(BadInput, match=rf"wrong type: .* is .*{kind}") as error:
        vgg16_weights.read(tmp_path / "w.pth")
    assert len(str(error.value).removeprefix(str(tmp_path))) < 300


@zipped
def test_an_optimisers_state_alone_is_no_weights(
    tiny: Checkpoint, tmp_path: Path, zipped: bool
) -> None:
    torch.save(optimized(state_dict(tiny)), tmp_path / "w", _use_new_zipfile_serialization=zipped)
    with pytest.raises(BadInput, match="holds only an optimiser's state"):
        vgg16_weights.read(tmp_path / "w")


def test_what_is_not_used_is_not_looked_at(tiny: Checkpoint, tmp_path: Path) -> None:
    """However large a momentum is, it is not read: not even its checksum is."""
    state = state_dict(tiny)
    torch.save({"state_dict": state, "optimizer": optimized(state)}, tmp_path / "w")
    with zipfile.ZipFile(tmp_path / "w") as archive:
        numbered = [name for name in archive.namelist() if "/data/" in name]
        places = {name: stored(tmp_path / "w", archive.getinfo(name))[0] for name in numbered}
    damaged = bytearray((tmp_path / "w").read_bytes())
    damaged[places[numbered[-1]]] ^= 1
    (tmp_path / "w").write_bytes(damaged)
    assert len(pth.read(tmp_path / "w").tensors) == len(state)
    damaged[places[numbered[0]]] ^= 1
    (tmp_path / "w").write_bytes(damaged)
    with pytest.raises(BadInput, match="its checksum does not fit"):
        vgg16_weights.read(tmp_path / "w")


def test_reading_imports_no_framework(tiny: Checkpoint, tmp_path: Path) -> None:
    vgg16_weights.write(tiny, tmp_path / "w.pth")
    code = (
        "import sys, vgg16_weights\n"
        f"vgg16_weights.read({str(tmp_path / 'w.pth')!r})['fc1.weight']\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_tensor_beyond_its_storage_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    state = state_dict(tiny)
    torch.save(state, tmp_path / "w")
    # The strides of the first kernel, (27, 9, 3, 1), become (127, 9, 3, 1).
    strides = b"(K\x1bK\tK\x03K\x01t"

    def change(name: str, content: bytes) -> tuple[str, bytes, int]:
        if name.endswith("data.pkl"):
            assert strides in content
            content = content.replace(strides, strides.replace(b"\x1b", b"\x7f"), 1)
        return name, content, zipfile.ZIP_STORED

    repacked(tmp_path / "w", tmp_path / "moved", change)
    with pytest.raises(BadInput, match="a tensor extends beyond its storage"):
        vgg16_weights.read(tmp_path / "moved")


def test_members_that_share_their_bytes_are_not_read_over_and_over(tmp_path: Path) -> None:
    torch.save({str(number): torch.ones(1000) for number in range(9)}, tmp_path / "w")
    with (
        zipfile.ZipFile(tmp_path / "w") as whole,
        zipfile.ZipFile(tmp_path / "shared", "w") as archive,
    ):
        for name in ("w/data.pkl", "w/byteorder", "w/data/0"):
            archive.writestr(name, whole.read(name))
        for number in range(1, 9):
            other = copy(archive.getinfo("w/data/0"))
            other.filename = f"w/data/{number}"
            archive.filelist.append(other)
    with pytest.raises(ValueError, match="its members overlap"):
        pth.read(tmp_path / "shared")


@pytest.mark.parametrize("kind", [tuple, list])
def test_a_state_dict_in_a_row_of_objects_is_read(
    kind: type, tiny: Checkpoint, tmp_path: Path
) -> None:
    """As ``torch.save((model.state_dict(), optimiser.state_dict()), FILE)`` makes it."""
    optimiser = {"state": {0: {"exp_avg": torch.rand(4, 3, 3, 3)}}, "param_groups": []}
    fastai = {"state": [{"mom": torch.rand(4, 3, 3, 3)}], "hypers": []}
    torch.save(kind([state_dict(tiny), optimiser, fastai]), tmp_path / "w.pth")
    read = vgg16_weights.read(tmp_path / "w.pth")
    assert same(read, tiny)
    assert read.steps == ("read under `0`",)


def test_a_module_beside_the_weights_is_said(tiny: Checkpoint, tmp_path: Path) -> None:
    torch.save({"model": torch.nn.Linear(2, 2), "ema": state_dict(tiny)}, tmp_path / "w.pth")
    read = vgg16_weights.read(tmp_path / "w.pth")
    assert same(read, tiny)
    assert read.steps[0] == "pickled modules ignored: `model`"


def test_a_classifier_of_nan_alone_is_left_out_by_an_option(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    """So torchvision publishes the features that were trained by others."""
    state = {
        key: value * float("nan") if key.startswith("classifier") else value
        for key, value in state_dict(tiny).items()
    }
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(BadInput, match=r"not finite.*expected --no-top"):
        vgg16_weights.read(tmp_path / "w.pth").check_values()
    features = vgg16_weights.read(tmp_path / "w.pth", include_top=False)
    features.check_values()
    assert same(features, tiny.without_top())
