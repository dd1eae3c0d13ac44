"""The preprocessing of a file that states none: that of the format's best known weights."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import h5py
import pytest
from safetensors.numpy import load_file, save_file

import vgg16_weights
from parity_tests.support.helpers import Command, same
from parity_tests.support.weights.tiny_files import TINY_FILES
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.recipes import RECIPES

pytestmark = pytest.mark.usefixtures("no_first_reading")

# The authors' own weights, and all that were made of them, are Caffe's; PyTorch's were trained
# anew. A canonical checkpoint always states its recipe.
DEFAULTS: Final = {
    "safetensors": "caffe",
    "torchvision": "torchvision",
    "torchvision-safetensors": "torchvision",
    "timm": "torchvision",
    "keras-h5": "caffe",
    "keras-weights-h5": "caffe",
    "caffe-h5": "caffe",
    "torch-h5": "torchvision",
    "keras": "caffe",
    "npz": "caffe",
    "caffemodel": "caffe",
    "matconvnet": "caffe",
    "npy": "caffe",
    "tf-slim": "caffe",
    "tf-checkpoint": "caffe",
}


def without_comment(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b""


def without_attribute(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs["vgg16"]


def without_metadata(path: Path) -> None:
    save_file(load_file(path), path)


# What takes out of a file what this project wrote there; other files are another's already.
STRIPPED: Final[dict[str, Callable[[Path], None]]] = {
    "keras-h5": without_attribute,
    "keras-weights-h5": without_attribute,
    "keras": without_comment,
    "npz": without_comment,
    "timm": without_metadata,
    "torchvision-safetensors": without_metadata,
}
FORMS: Final = [*STRIPPED, *(form for form in TINY_FILES if form not in vgg16_weights.writable())]


def test_every_formats_recipe_is_on_record() -> None:
    assert {name: row.recipe for name, row in vgg16_weights.FORMATS.items()} == DEFAULTS


@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_states_no_recipe_has_its_formats_and_is_said_to_assume_it(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path, form: str
) -> None:
    name, make = TINY_FILES[form]
    make(tiny.with_recipe(DEFAULTS[name]), tmp_path / "w")
    if form in STRIPPED:
        STRIPPED[form](tmp_path / "w")
    read = vgg16_weights.read(tmp_path / "w")
    assert (read.recipe, read.is_recipe_assumed) == (RECIPES[DEFAULTS[name]], True)
    assert same(read, tiny)
    done = vgg16("port", tmp_path / "w", tmp_path / "p.safetensors")
    assert done.status == 0
    assert f", recipe {DEFAULTS[name]} (assumed)" in done.out
    assert vgg16_weights.read(tmp_path / "p.safetensors").recipe == RECIPES[DEFAULTS[name]]
