"""Weights go through every file format bit for bit, and each file says what it is."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

import vgg16_weights
from parity_tests.support.helpers import full_disk, same
from parity_tests.support.recipes import OWN
from parity_tests.support.weights.changed import with_value
from vgg16_spec.architecture import CONFIGURATIONS, configuration
from vgg16_spec.checkpoint import Checkpoint, Metadata
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput
from vgg16_spec.images.recipes import RECIPES, Recipe
from vgg16_weights.comparison import verify
from vgg16_weights.detection import _by_ending

pytestmark = pytest.mark.usefixtures("no_first_reading")

WRITTEN = vgg16_weights.writable()
formats = pytest.mark.parametrize("name", WRITTEN)


def test_an_ending_means_one_format_and_every_module_is_there() -> None:
    rows = vgg16_weights.FORMATS.values()
    endings = [row.ending for row in rows if row.ending]
    assert len(endings) == len(set(endings))
    for row in rows:
        module = import_module(f"vgg16_weights.{row.module or 'safetensors'}")
        assert callable(module.read)
        assert callable(getattr(module, "write", None)) == row.writable


@pytest.mark.parametrize(("first", "second"), list(permutations(WRITTEN, 2)))
def test_a_chain_of_two_formats_and_back_is_bit_exact(
    tmp_path: Path, tiny: Checkpoint, first: str, second: str
) -> None:
    checkpoint, files = tiny, [tmp_path / "1", tmp_path / "2", tmp_path / "3"]
    for path, name in zip(files, (first, second, first), strict=True):
        assert vgg16_weights.write(checkpoint, path, name) == name
        assert vgg16_weights.detect(path) == name
        checkpoint = vgg16_weights.read(path)
        assert checkpoint.metadata == tiny.metadata
        assert same(checkpoint, tiny)
    assert files[0].read_bytes() == files[2].read_bytes()
    assert sorted(tmp_path.iterdir()) == files


@formats
@pytest.mark.parametrize("classes", [1000, 7])
def test_another_head_and_another_seed_are_kept(tmp_path: Path, name: str, classes: int) -> None:
    start = generate(configuration("tiny", classes=classes), 9)
    vgg16_weights.write(start, tmp_path / "w", name)
    read = vgg16_weights.read(tmp_path / "w")
    assert read.configuration == start.configuration
    assert same(read, start)


@formats
@pytest.mark.parametrize(
    "column",
    [
        column if column in ("A", "C", "tiny") else pytest.param(column, marks=pytest.mark.full)
        for column in CONFIGURATIONS
    ],
)
def test_every_configurations_features_are_recognised(
    tmp_path: Path, name: str, column: str
) -> None:
    features = generate(configuration(column, include_top=False))
    vgg16_weights.write(features, tmp_path / "w", name)
    read = vgg16_weights.read(tmp_path / "w")
    assert read.configuration == features.configuration
    assert same(read, features)


@formats
@pytest.mark.parametrize("recipe", [*RECIPES.values(), OWN], ids=lambda recipe: recipe.name)
def test_the_recipe_and_all_that_is_stated_travel_with_the_values(
    name: str, recipe: Recipe, tiny: Checkpoint, tmp_path: Path
) -> None:
    stated = Metadata("caffe", "a source", "a format", "0" * 64, "a licence").with_recipe(recipe)
    given = tiny.replaced(metadata=stated)
    vgg16_weights.write(given, tmp_path / "w", name)
    read = vgg16_weights.read(tmp_path / "w")
    assert (read.metadata, read.recipe) == (stated, recipe)
    assert not read.is_recipe_assumed
    assert same(read, tiny)


# In bytes, all less than the smallest tensor's 16: a value, half of it, and what leaves a rest.
@pytest.mark.parametrize("block_bytes", [4, 8, 12])
@formats
def test_files_do_not_depend_on_the_blocks_that_they_are_written_in(
    name: str, block_bytes: int, tmp_path: Path
) -> None:
    small = generate(configuration("tiny", classes=5), 5)
    vgg16_weights.write(small, tmp_path / "whole", name)
    vgg16_weights.write(small, tmp_path / "blocks", name, block_bytes=block_bytes)
    assert (tmp_path / "blocks").read_bytes() == (tmp_path / "whole").read_bytes()
    assert same(vgg16_weights.read(tmp_path / "blocks"), small)


@formats
def test_values_that_are_not_finite_are_never_written(
    name: str, tiny: Checkpoint, tmp_path: Path
) -> None:
    broken = with_value(with_value(tiny, "fc2.bias", 3, np.nan), "fc1.weight", -1, -np.inf)
    with pytest.raises(BadInput, match=r"not finite \(NaN or infinity\): (fc1.weight|fc2.bias), f"):
        vgg16_weights.write(broken, tmp_path / "w", name)
    assert list(tmp_path.iterdir()) == []


@formats
def test_a_failed_write_leaves_nothing(name: str, tiny: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        vgg16_weights.write(tiny, tmp_path / "none" / "w", name)
    with pytest.raises(BadInput, match="is a folder"):
        vgg16_weights.write(tiny, tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@formats
def test_a_full_disk_leaves_the_earlier_file_and_nothing_else(
    name: str, tiny: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "w"
    for earlier in (None, b"precious"):
        if earlier is not None:
            path.write_bytes(earlier)
        with full_disk(), pytest.raises(BadInput) as refusal:
            vgg16_weights.write(tiny, path, name)
        assert str(refusal.value).startswith(f"{path}: cannot be written (File too large)")
        assert [file.read_bytes() for file in tmp_path.iterdir()] == [earlier] * bool(earlier)


@formats
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_truncated_files_are_refused(
    name: str, tiny: Checkpoint, tmp_path: Path, kept: float
) -> None:
    path = tmp_path / "w"
    vgg16_weights.write(tiny, path, name)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    for chosen in (name, None):
        with pytest.raises(BadInput) as refusal:
            same(vgg16_weights.read(path, chosen), tiny)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", vgg16_weights.FORMATS)
def test_missing_and_foreign_files_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        vgg16_weights.read(tmp_path / "none", name)
    with pytest.raises(BadInput, match="is a folder"):
        vgg16_weights.read(tmp_path, name)
    (tmp_path / "text").write_text("these are not weights")
    with pytest.raises(BadInput):
        vgg16_weights.read(tmp_path / "text", name)


@formats
def test_a_file_of_another_format_is_refused(name: str, tiny: Checkpoint, tmp_path: Path) -> None:
    vgg16_weights.write(tiny, tmp_path / "w", name)
    for other in vgg16_weights.FORMATS:
        # The canonical format's reader takes others' keys where values lie as in its own.
        if other != name and (other, name[:5]) not in {
            ("safetensors", "torch"),
            ("safetensors", "timm"),
        }:
            with pytest.raises(BadInput):
                vgg16_weights.read(tmp_path / "w", other)


@pytest.mark.parametrize("name", sorted(set(vgg16_weights.FORMATS) - set(WRITTEN)))
def test_formats_that_are_only_read_are_not_written(
    name: str, tiny: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(
        BadInput, match=f"{name} can be read but not written; expected one of .*safetensors"
    ):
        vgg16_weights.write(tiny, tmp_path / "w", name)
    assert list(tmp_path.iterdir()) == []


def test_endings_tell_the_format() -> None:
    for row in vgg16_weights.FORMATS.values():
        if row.ending:
            assert _by_ending(Path(f"w{row.ending}")) == row


@pytest.mark.parametrize("text", ["", "5", "[1]", "{}", '{"recipe": 3}', "not json", "[" * 60_000])
def test_other_metadata_than_ours_are_not_taken(text: str) -> None:
    assert Metadata.from_json(text) is None


@pytest.mark.parametrize("name", [name for name in WRITTEN if name != "torchvision"])
def test_no_framework_is_imported(name: str, tiny: Checkpoint, tmp_path: Path) -> None:
    path = str(tmp_path / "w")
    code = (
        "import sys, vgg16_weights\n"
        f"vgg16_weights.write(vgg16_weights.read({str(tiny.file)!r}), {path!r}, {name!r})\n"
        f"vgg16_weights.read({path!r})['fc1.weight']\n"
        "assert not {'keras', 'tensorflow', 'torch', 'jax', 'onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_changed_bit_is_found(tiny: Checkpoint, tmp_path: Path) -> None:
    vgg16_weights.write(tiny, tmp_path / "a", "keras-weights-h5")
    value = np.nextafter(tiny["fc1.weight"].reshape(-1)[77], np.float32(9))
    vgg16_weights.write(with_value(tiny, "fc1.weight", 77, value), tmp_path / "b", "timm")
    rows = verify.compare(vgg16_weights.read(tmp_path / "a"), vgg16_weights.read(tmp_path / "b"))
    assert [row.tensor for row in rows if row.verdict != "equal"] == ["fc1.weight"]
    assert len(rows) == len(tiny)


@pytest.mark.parametrize("name", ["safetensors", "torchvision-safetensors", "timm"])
def test_a_file_in_canonical_layout_can_be_pointed_into(
    name: str, tiny: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "w"
    vgg16_weights.write(tiny, path, name)
    read, content = vgg16_weights.read(path), path.read_bytes()
    assert read.file == path
    for tensor, values in tiny.items():
        start = read.offsets[tensor]
        assert content[start : start + values.nbytes] == values.tobytes(), tensor
