"""Weights alone: the layers that a file lists count, though it says nothing of what they do."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from keras.src.utils.naming import to_snake_case

import vgg16_weights
from parity_tests.support.helpers import same
from parity_tests.support.weights.keras_models import K, instead, model_of, vgg_layers
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput
from vgg16_spec.images.recipes import RECIPES
from vgg16_weights.detection import read
from vgg16_weights.keras.whole_model.listed_layers import ListedLayer, foreign_kind

pytestmark = pytest.mark.usefixtures("no_first_reading")

CHANGE_MAPS = ["LeakyReLU", "ELU", "AveragePooling2D", "Permute", "UnitNormalization", "Add"]
CHANGE_IMAGES = ["Rescaling", "Normalization", "Resizing", "CenterCrop"]
CHANGE_NOTHING = ["Dropout", "SpatialDropout2D", "RandomFlip", "GaussianNoise", "Activation"]
CHANGE_NOTHING += ["ReLU", "Softmax", "ZeroPadding2D", "InputLayer"]
FORMS = [".weights.h5", ".h5"]


def listing(
    checkpoint: Checkpoint, path: Path, kind: str, *, behind: str = "", inside: str = "layers"
) -> Path:
    """A file that lists one more layer of a class, behind another where it has an order."""
    vgg16_weights.write(checkpoint, path)
    name = kind if "." in kind else to_snake_case(kind)
    with h5py.File(path, "r+") as file:
        if path.name.endswith(".weights.h5"):
            group = file.create_group(f"{inside}/{name}/vars")
            group.attrs["name"] = f"{name}_7"
            if kind == "Normalization":
                for number in range(2):
                    group[str(number)] = np.full(3, 4, np.float32)
            return path
        names = [text.decode() for text in file.attrs["layer_names"]]
        names.insert(names.index(behind) + 1 if behind else 0, f"{name}_7")
        file.attrs["layer_names"] = np.array(names, "S")
        file.create_group(f"{name}_7").attrs["weight_names"] = []
    return path


@pytest.mark.parametrize("kind", [*CHANGE_MAPS, *CHANGE_IMAGES, "Lambda"])
def test_classes_are_known_by_the_names_that_keras_gives(kind: str) -> None:
    assert hasattr(K, kind)
    assert foreign_kind(to_snake_case(kind)) == foreign_kind(f"{to_snake_case(kind)}_12") == kind


@pytest.mark.parametrize("kind", CHANGE_NOTHING)
@pytest.mark.parametrize("form", FORMS)
def test_a_layer_that_changes_nothing_is_read_over(
    tiny: Checkpoint, tmp_path: Path, kind: str, form: str
) -> None:
    assert same(read(listing(tiny, tmp_path / f"w{form}", kind, behind="block2_conv1")), tiny)


@pytest.mark.parametrize("include_top", [True, False])
@pytest.mark.parametrize("kind", [*CHANGE_MAPS, "Lambda"])
@pytest.mark.parametrize("form", FORMS)
def test_a_layer_among_the_convolutions_is_refused_by_class_and_name(
    tiny: Checkpoint, tmp_path: Path, kind: str, form: str, include_top: bool
) -> None:
    path = listing(tiny, tmp_path / f"w{form}", kind, behind="block2_conv1")
    with pytest.raises(BadInput, match=f"{kind} layer '{to_snake_case(kind)}_7', which no VGG has"):
        read(path, include_top=include_top)


@pytest.mark.parametrize("kind", CHANGE_IMAGES)
@pytest.mark.parametrize("form", FORMS)
def test_what_prepares_images_is_left_to_the_recipe_in_words(
    tiny: Checkpoint, tmp_path: Path, kind: str, form: str
) -> None:
    found = read(listing(tiny, tmp_path / f"w{form}", kind), recipe=RECIPES["tf"])
    assert same(found, tiny)
    assert found.metadata.recipe == "tf"
    assert any(
        f"{to_snake_case(kind)}_7' ignored: the file does not say" in step for step in found.steps
    )


@pytest.mark.parametrize("name", ["lambda", "tf.math.truediv_1", "tf.__operators__.getitem"])
def test_a_function_in_front_is_left_to_the_recipe(
    tiny: Checkpoint, tmp_path: Path, name: str
) -> None:
    found = read(listing(tiny, tmp_path / "w.h5", name))
    assert same(found, tiny)
    assert any(f"{name}_7' ignored: the file does not say" in step for step in found.steps)


@pytest.mark.parametrize("kind", ["LeakyReLU", "AveragePooling2D", "Rescaling", "Lambda"])
def test_a_layer_behind_the_convolutions_is_the_classifiers(
    tiny: Checkpoint, tmp_path: Path, kind: str
) -> None:
    path = listing(tiny, tmp_path / "w.h5", kind, behind="fc1")
    with pytest.raises(BadInput, match=f"{kind} layer.*--no-top"):
        read(path)
    assert same(read(path, include_top=False), tiny.without_top())


def test_a_global_pooling_is_the_classifiers_wherever_it_is(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    path = listing(tiny.without_top(), tmp_path / "w.weights.h5", "GlobalAveragePooling2D")
    with pytest.raises(BadInput, match=r"GlobalAveragePooling2D layer.*--no-top"):
        read(path)
    assert same(read(path, include_top=False), tiny.without_top())


@pytest.mark.parametrize("is_outside", [True, False])
def test_what_is_outside_the_convolutions_list_is_not_between_them(
    tiny: Checkpoint, tmp_path: Path, is_outside: bool
) -> None:
    """A body that is a layer of a model, as in transfer learning."""
    inside = "layers" if is_outside else "layers/functional/layers"
    path = listing(tiny, tmp_path / "w.weights.h5", "LeakyReLU", inside="others/layers")
    with h5py.File(path, "r+") as file:
        file.move("layers", "body")
        file.move("body", "layers/functional/layers")
        file.move("others/layers/leaky_re_lu", f"{inside}/leaky_re_lu")
    with pytest.raises(BadInput, match="LeakyReLU") as refused:
        read(path)
    assert ("--no-top" in str(refused.value)) is is_outside
    if is_outside:
        assert same(read(path, include_top=False), tiny.without_top())


def test_convolutions_in_several_lists_may_have_anything_between(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    """A Sequential a block, and the poolings beside them."""
    path = listing(tiny, tmp_path / "w.weights.h5", "AveragePooling2D")
    with h5py.File(path, "r+") as file:
        file.create_group("layers/block/layers")
        file.move("layers/conv2d_12", "layers/block/layers/conv2d_12")
    with pytest.raises(BadInput, match="AveragePooling2D layer 'average_pooling2d_7'"):
        read(path, include_top=False)


def test_a_kernel_of_another_class_than_keras_convolution_is_refused(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    vgg16_weights.write(tiny, tmp_path / "w.weights.h5")
    with h5py.File(tmp_path / "w.weights.h5", "r+") as file:
        file.move("layers/conv2d_3", "layers/partial_conv2d")
    with pytest.raises(BadInput, match="partial_conv2d layer 'block2_conv2'"):
        read(tmp_path / "w.weights.h5")


def test_keras_lists_the_layers_that_have_no_weights(tiny: Checkpoint, tmp_path: Path) -> None:
    layers = instead("block3_pool", lambda: K.AveragePooling2D(2, name="pool"))(vgg_layers(tiny))
    model_of(layers, tiny).save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(
        BadInput, match="its model has AveragePooling2D layer 'pool', which no VGG has"
    ):
        read(tmp_path / "w.weights.h5", include_top=False)


@pytest.mark.parametrize(
    ("one", "other"), [("block3_conv2", "block3_conv3"), ("fc2", "predictions")]
)
@pytest.mark.parametrize("form", FORMS)
def test_layers_whose_order_contradicts_their_names_are_refused(
    tiny: Checkpoint, tmp_path: Path, form: str, one: str, other: str
) -> None:
    """Two of one shape are called each as the other; both readings would fit."""
    square = tiny.configuration.with_head(classes=tiny.configuration.hidden_units)
    path = tmp_path / f"w{form}"
    vgg16_weights.write(generate(square), path)
    with h5py.File(path, "r+") as file:
        if form == ".h5":
            names = [text.decode() for text in file.attrs["layer_names"]]
            at = names.index(one), names.index(other)
            names[at[0]], names[at[1]] = other, one
            file.attrs["layer_names"] = np.array(names, "S")
        else:
            groups = {
                group.attrs["name"]: group
                for group in (layer["vars"] for layer in file["layers"].values())
            }
            groups[one].attrs["name"], groups[other].attrs["name"] = other, one
    with pytest.raises(
        BadInput, match=f"'{other}' comes before '{one}', which contradicts their names"
    ):
        read(path)


def test_a_long_name_stays_short_in_words() -> None:
    assert len(str(ListedLayer("LeakyReLU", "x" * 500, "among"))) < 100
