"""A recipe and labels of one's own go through every format, and a file's own words are checked."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random
from string import ascii_letters, digits
from typing import Any

import numpy as np
import pytest

import vgg16_weights
from parity_tests.support.helpers import same
from parity_tests.support.recipes import OWN
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, Metadata, Tensor
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput
from vgg16_spec.images.recipes import RECIPES, Recipe
from vgg16_weights.archives import MANIFEST
from vgg16_weights.contents import Choices, Contents, checkpoint_of
from vgg16_weights.formats import FORMATS

pytestmark = pytest.mark.usefixtures("no_first_reading")

WRITTEN = vgg16_weights.writable()
NAMES = ("tench", "crane", "grüne Mamba", "crane", 'a "b" \\ c', "鶴", "7")


@pytest.fixture(scope="module")
def described() -> Checkpoint:
    return generate(configuration("tiny", classes=7), 5).with_recipe(OWN).with_labels(NAMES)


def test_they_go_through_every_format_and_back(described: Checkpoint, tmp_path: Path) -> None:
    checkpoint = described
    for number, name in enumerate((*WRITTEN, *WRITTEN[::-1])):
        vgg16_weights.write(checkpoint, tmp_path / f"{number}", name)
        assert vgg16_weights.detect(tmp_path / f"{number}") == name
        checkpoint = vgg16_weights.read(tmp_path / f"{number}")
        assert (checkpoint.recipe, checkpoint.class_names) == (OWN, NAMES), name
        assert not checkpoint.is_recipe_assumed
        assert same(checkpoint, described), name
    files = [(tmp_path / f"{number}").read_bytes() for number in range(2 * len(WRITTEN))]
    assert files == files[::-1]


def test_the_first_kernel_reads_rgb_in_an_npz_if_the_own_recipe_is_bgr(
    described: Checkpoint, tmp_path: Path
) -> None:
    for recipe, step in ((OWN, -1), (replace(OWN, channels="RGB"), 1)):
        vgg16_weights.write(described.with_recipe(recipe), tmp_path / "w.npz")
        with np.load(tmp_path / "w.npz") as arrays:
            kernel = arrays["conv1_1_W"].transpose(3, 2, 0, 1)
        assert np.array_equal(kernel[:, ::step], described["block1_conv1.weight"])


@pytest.mark.parametrize("chosen", [RECIPES["torchvision"], RECIPES["caffe"], OWN])
def test_the_first_kernel_of_an_npz_is_for_the_recipe_that_the_user_names(
    described: Checkpoint, tmp_path: Path, chosen: Recipe
) -> None:
    vgg16_weights.write(described, tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz") as arrays:
        rgb = {name: array for name, array in arrays.items() if name != MANIFEST}
    np.savez(tmp_path / "bare.npz", **rgb)
    kernel = rgb["conv1_1_W"].transpose(3, 2, 0, 1)
    for path in ("bare.npz", "w.npz"):  # a file that states no recipe, and one that states another
        read = vgg16_weights.read(tmp_path / path, recipe=chosen)
        assert (read.recipe, read.is_recipe_assumed) == (chosen, False)
        wanted = kernel if chosen.channels == "RGB" else kernel[:, ::-1]
        assert np.array_equal(read["block1_conv1.weight"], wanted)
        assert np.array_equal(read["fc1.weight"], described["fc1.weight"])
    assert vgg16_weights.read(tmp_path / "w.npz", recipe=chosen).class_names == NAMES


@pytest.mark.parametrize("name", WRITTEN)
def test_the_recipe_that_the_user_names_goes_before_the_files(
    described: Checkpoint, tmp_path: Path, name: str
) -> None:
    vgg16_weights.write(described, tmp_path / "w", name)
    read = vgg16_weights.read(tmp_path / "w", recipe=RECIPES["caffe"])
    assert read.metadata == described.with_recipe("caffe").metadata
    assert not read.is_recipe_assumed
    assert same(read, described)  # both recipes are BGR


@pytest.mark.parametrize("name", ["caffe", "tf", "zero-one"])
def test_an_own_recipe_with_the_values_of_a_named_one_leaves_the_same_bytes(
    described: Checkpoint, tmp_path: Path, name: str
) -> None:
    copied = described.with_recipe(replace(RECIPES[name], name="mine"))
    assert copied.metadata == described.with_recipe(name).metadata
    assert copied.metadata.preprocessing == ""


@pytest.mark.parametrize("name", WRITTEN)
def test_a_head_of_2622_long_names_is_kept_and_the_same_values_give_the_same_bytes(
    tmp_path: Path, name: str
) -> None:
    random = Random(3)
    names = ["".join(random.choices(ascii_letters + digits, k=30)) for _ in range(2622)]
    checkpoint = generate(configuration("tiny", classes=2622)).with_labels(names)
    for path in ("1", "2"):
        vgg16_weights.write(checkpoint, tmp_path / path, name)
        read = vgg16_weights.read(tmp_path / path)
        assert read.class_names == tuple(names)
        assert read.metadata == checkpoint.metadata
        assert same(read, checkpoint)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    _load_by_its_library(tmp_path / "1", name, checkpoint)


def _load_by_its_library(path: Path, name: str, checkpoint: Checkpoint) -> None:
    """Have the format's own library load a file strictly, where it is not one of safetensors."""
    bias = checkpoint["predictions.bias"]
    model: Any
    match name:
        case "torchvision":
            import torch

            state = torch.load(path, weights_only=True)
            assert np.array_equal(state["classifier.6.bias"].numpy(), bias)
        case "npz":
            with np.load(path) as arrays:
                assert np.array_equal(arrays["fc8_b"], bias)
        case "keras":
            import keras

            path = path.rename(path.with_suffix(".keras"))
            model = keras.saving.load_model(path)
            assert np.array_equal(model.get_layer("predictions").bias, bias)
        case "keras-h5" | "keras-weights-h5":
            import keras_impl

            path = path.rename(path.with_suffix(".h5" if name == "keras-h5" else ".weights.h5"))
            model = keras_impl.functional("tiny", classes=2622)
            model.load_weights(path)
            assert np.array_equal(model.get_layer("predictions").bias, bias)


def test_names_for_another_number_of_classes_are_refused(described: Checkpoint) -> None:
    with pytest.raises(BadInput, match="it has 2 labels; expected 7 names, one for each"):
        described.with_labels(["a", "b"])
    with pytest.raises(BadInput, match="has no classifier"):
        described.without_top().with_labels(["a", "b"])


def test_features_keep_the_recipe_and_drop_the_labels(described: Checkpoint) -> None:
    features = described.without_top()
    assert (features.recipe, features.metadata.labels) == (OWN, "")
    tensors = {name: described.tensor(name) for name in features}
    again = Checkpoint(features.configuration, described.metadata, tensors)
    assert (again.recipe, again.metadata.labels) == (OWN, "")


HOSTILE: dict[str, tuple[dict[str, str], str]] = {
    "no document": ({"preprocessing": "{"}, r"its recipe: cannot be read \(Expecting"),
    "nested": ({"preprocessing": "[" * 50_000}, "its recipe: cannot be read"),
    "no recipe": ({"preprocessing": "[]"}, "its recipe: holds no fields"),
    "no scale": ({"preprocessing": "{}"}, "its recipe: scale is missing"),
    "a zero": ({"preprocessing": '{"scale": 0}'}, "its recipe: scale: is 0; expected a number"),
    "a resize to any size": (
        {"preprocessing": '{"scale": 1, "resize": 4096, "crop": 1}'},
        "its recipe: crop is 1 and resize 4096",
    ),
    "a filter of code": (
        {"preprocessing": '{"scale": 1, "resample": "__class__"}'},
        "its recipe: resample: is '__class__'",
    ),
    "another's name": (
        {"recipe": "caffe", "preprocessing": '{"scale": 2}'},
        "its recipe: name: caffe is a recipe with other values",
    ),
    "an escape": (
        {"recipe": "\x1b[2J", "preprocessing": '{"scale": 2}'},
        r"its recipe: name: is '\\x1b\[2J'",
    ),
    "no list": ({"labels": '{"0": "a"}'}, r"its labels cannot be used \(they are not a list\)"),
    "too few labels": ({"labels": '["a"]'}, "it has 1 label; expected 7 names"),
    "a label of controls": ({"labels": json.dumps(["\x1b"] * 7)}, r"U\+001B"),
    "a number": ({"labels": "[1, 2, 3, 4, 5, 6, 7]"}, "the name of class 0 is not text"),
}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("case", HOSTILE)
def test_a_file_whose_own_words_are_crafted_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: str, name: str
) -> None:
    change, message = HOSTILE[case]
    checkpoint = generate(configuration("tiny", classes=7), 5)
    if name == "npz":  # whose kernel depends on the recipe, so that it is looked at when writing
        checkpoint = checkpoint.with_recipe("tf")
    with monkeypatch.context() as patch:
        patch.setattr(Metadata, "recipe_record", lambda *_: RECIPES["tf"])
        patch.setattr(Metadata, "class_names", lambda *_: ())
        checkpoint = checkpoint.replaced(metadata=replace(checkpoint.metadata, **change))
        vgg16_weights.write(checkpoint, tmp_path / "w", name)
    with pytest.raises(BadInput, match=message) as refusal:
        vgg16_weights.read(tmp_path / "w")
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) <= 300 + len(str(tmp_path))


def contents_of(checkpoint: Checkpoint, **stated: Any) -> Contents:
    tensors = {name: Tensor.of(checkpoint[name]) for name in checkpoint}
    return Contents(tensors, is_ordered=True, **stated)


def test_a_recipe_that_the_file_states_is_the_checkpoints_and_else_one_is_assumed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "w"
    path.touch()
    checkpoint = generate(configuration("tiny", classes=7), 5)
    canonical = replace(FORMATS["caffemodel"], recipe="caffe")
    read = partial(checkpoint_of, path=path, file_format=canonical, choices=Choices())
    nothing = read(contents_of(checkpoint))
    assert (nothing.recipe.name, nothing.is_recipe_assumed) == ("caffe", True)
    for stated in (OWN, RECIPES["tf"]):
        found = read(contents_of(checkpoint, recipe=stated))
        assert (found.recipe, found.is_recipe_assumed) == (stated, False)
    ours = Metadata("zero-one", "here")
    found = read(contents_of(checkpoint, recipe=OWN, kept=ours))
    assert (found.recipe.name, found.is_recipe_assumed) == ("zero-one", False)


def test_an_assumption_stays_one_until_a_recipe_is_given(tmp_path: Path) -> None:
    checkpoint = generate(configuration("tiny"), 5)
    path = tmp_path / "w.safetensors"
    vgg16_weights.write(checkpoint, path, "timm")
    assert not vgg16_weights.read(path).is_recipe_assumed
    from safetensors.numpy import load_file, save_file

    save_file(load_file(path), path)
    read = vgg16_weights.read(path)
    assert (read.recipe.name, read.is_recipe_assumed) == ("torchvision", True)
    assert read.without_top().is_recipe_assumed
    assert read.with_labels(read.class_names).is_recipe_assumed
    assert not read.with_recipe("torchvision").is_recipe_assumed
    assert not read.without_top().with_recipe(OWN).is_recipe_assumed
    assert read.with_recipe(OWN).path == path  # the same tensors are still there
    assert not read.with_recipe(OWN).is_whole_file


def test_names_are_told_apart_from_those_without_any() -> None:
    for one, other in pairwise([generate(configuration("tiny", classes=n)) for n in (3, 4, 1000)]):
        assert len(one.class_names) == one.configuration.classes
        assert one.class_names != other.class_names
