"""Values of 16 and 64 bits become float32 in every format: exactly, or rounded, and it is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

import vgg16_weights
from parity_tests.support.weights.tiny_files import state_dict
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput

# What changes a tensor's values, in memory or in a file.
Change = Callable[[NDArray[Any]], NDArray[Any]]
pytestmark = pytest.mark.usefixtures("no_first_reading")


def as_type(dtype: str) -> Change:
    return lambda values: values.astype(dtype)


def pth(tiny: Checkpoint, path: Path, change: Change) -> None:
    torch.save({k: torch.from_numpy(change(v.numpy())) for k, v in state_dict(tiny).items()}, path)


def safetensors(tiny: Checkpoint, path: Path, change: Change) -> None:
    save_file({k: torch.from_numpy(change(v.numpy())) for k, v in state_dict(tiny).items()}, path)


def npz(tiny: Checkpoint, path: Path, change: Change, *, compressed: bool = False) -> None:
    vgg16_weights.write(tiny.with_recipe("caffe"), path, "npz")
    with np.load(path) as arrays:
        changed = {name: change(values) for name, values in arrays.items()}
    save: Any = np.savez_compressed if compressed else np.savez
    with path.open("wb") as file:
        save(file, **changed)


def hdf5(name: str, **how: Any) -> Callable[[Checkpoint, Path, Change], None]:
    def make(tiny: Checkpoint, path: Path, change: Change) -> None:
        vgg16_weights.write(tiny, path, name)
        found: list[str] = []
        with h5py.File(path, "r+") as file:
            file.visititems(
                lambda key, item: found.append(key) if isinstance(item, h5py.Dataset) else None
            )
            for key in found:
                values = change(file[key][()])
                del file[key]
                file.create_dataset(key, data=values, **how)

    return make


FORMS: dict[str, Callable[[Checkpoint, Path, Change], None]] = {
    "pth": pth,
    "safetensors": safetensors,
    "npz": npz,
    "npz, compressed": lambda *args: npz(*args, compressed=True),
    "keras-h5": hdf5("keras-h5"),
    "keras-weights-h5": hdf5("keras-weights-h5"),
    "keras-weights-h5, in chunks": hdf5("keras-weights-h5", chunks=True, compression="gzip"),
}
forms = pytest.mark.parametrize("form", FORMS)


def assert_values(read: Checkpoint, tiny: Checkpoint, through: Change) -> None:
    for name, values in tiny.items():
        expected = through(values).astype(np.float32)
        assert read[name].dtype == np.float32
        assert read[name].tobytes() == expected.tobytes(), name
    assert read.tensor("fc1.weight").dtype == "float32"


@forms
def test_float16_is_widened(tiny: Checkpoint, tmp_path: Path, form: str) -> None:
    FORMS[form](tiny, tmp_path / "w", as_type("float16"))
    read = vgg16_weights.read(tmp_path / "w")
    assert_values(read, tiny, as_type("float16"))
    assert read.steps == ("widened from float16",)


@forms
def test_float64_that_float32_holds_is_taken_as_it_is(
    tiny: Checkpoint, tmp_path: Path, form: str
) -> None:
    FORMS[form](tiny, tmp_path / "w", as_type("float64"))
    read = vgg16_weights.read(tmp_path / "w")
    assert_values(read, tiny, as_type("float64"))
    assert read.steps == ("float64 read as float32 without loss",)


@forms
def test_float64_is_rounded_and_it_is_said(tiny: Checkpoint, tmp_path: Path, form: str) -> None:
    def between(values: NDArray[Any]) -> NDArray[Any]:
        """A quarter of the way to the next float32, which rounds back, or three quarters."""
        wide, above = values.astype(np.float64), np.nextafter(values, np.float32(9))
        share = np.where(np.arange(values.size).reshape(values.shape) % 2, 0.25, 0.75)
        between: NDArray[Any] = wide + share * (above - wide)
        return between

    FORMS[form](tiny, tmp_path / "w", between)
    read = vgg16_weights.read(tmp_path / "w")
    assert read.steps == ("rounded from float64",)
    changed = sum(int((read[name] != values).sum()) for name, values in tiny.items())
    count = sum(values.size for values in tiny.values())
    # Of each array every other value; a format may have its axes in another order.
    assert abs(changed - count / 2) < len(tiny)


@forms
def test_float64_beyond_float32_is_refused_by_the_tensors_name(
    tiny: Checkpoint, tmp_path: Path, form: str
) -> None:
    def huge(values: NDArray[Any]) -> NDArray[Any]:
        return values.astype(np.float64) * (1e200 if values.size == 1000 else 1)

    FORMS[form](tiny, tmp_path / "w", huge)
    with pytest.raises(BadInput, match=r"predictions\.bias has values beyond float32's"):
        vgg16_weights.read(tmp_path / "w")


@forms
@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_whole_numbers_are_refused_by_their_type(
    tiny: Checkpoint, tmp_path: Path, form: str, dtype: str
) -> None:
    FORMS[form](tiny, tmp_path / "w", lambda values: (values * 100).astype(dtype))
    with pytest.raises(BadInput, match=r"wrong type: .* is (U|u|I|i)\w+, .* and 29 more; exp"):
        vgg16_weights.read(tmp_path / "w")


@pytest.mark.parametrize("form", ["pth", "older pth", "safetensors"])
def test_bfloat16_is_widened(tiny: Checkpoint, tmp_path: Path, form: str) -> None:
    state = {key: values.bfloat16() for key, values in state_dict(tiny).items()}
    if form == "safetensors":
        save_file(state, tmp_path / "w")
    else:
        torch.save(state, tmp_path / "w", _use_new_zipfile_serialization=form == "pth")
    read = vgg16_weights.read(tmp_path / "w")
    assert_values(read, tiny, lambda values: torch.tensor(values).bfloat16().float().numpy())
    assert read.steps == ("widened from bfloat16",)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_what_is_written_is_what_was_read(
    tiny: Checkpoint, tmp_path: Path, dtype: torch.dtype
) -> None:
    torch.save({key: values.to(dtype) for key, values in state_dict(tiny).items()}, tmp_path / "w")
    read = vgg16_weights.read(tmp_path / "w")
    for name in vgg16_weights.writable():
        vgg16_weights.write(read, tmp_path / "out", name)
        again = vgg16_weights.read(tmp_path / "out")
        assert again.steps == ()
        for tensor in read:
            assert again[tensor].tobytes() == read[tensor].tobytes()
            assert again.tensor(tensor).digest() == read.tensor(tensor).digest()


def test_infinity_in_float16_is_refused_by_the_tensors_name(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    state = {key: values.half() for key, values in state_dict(tiny).items()}
    state["classifier.3.bias"][1] = float("inf")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(BadInput, match=r"not finite \(NaN or infinity\): fc2.bias"):
        vgg16_weights.write(vgg16_weights.read(tmp_path / "w.pth"), tmp_path / "out.safetensors")
