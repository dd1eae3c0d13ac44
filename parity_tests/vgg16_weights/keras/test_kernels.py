"""Kernels of Keras 1 and 2: which axes are which, and which way up they are."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import vgg16_weights
from parity_tests.support.helpers import same
from parity_tests.support.tolerances import FLOAT64
from parity_tests.support.weights.older_keras import (
    AUTHORS,
    keras_1,
    keras_2,
    layers_of,
    listed,
    numbered,
    stored_by_keras_1,
)
from parity_tests.support.weights.refusals import refusal
from vgg16_spec.checkpoint import Checkpoint
from vgg16_weights.keras import legacy_h5
from vgg16_weights.keras.kernels import stored

pytestmark = pytest.mark.usefixtures("no_first_reading")

TURNED = "kernels turned back: saved on Theano"
ROWS = "fc1 read as channels_last (else: --data-format channels_first)"


@pytest.mark.parametrize("backend", ["theano", b"theano"])
@pytest.mark.parametrize("whole", [True, False])
def test_theanos_kernels_are_turned_back(
    tiny: Checkpoint, tmp_path: Path, backend: str | bytes, whole: bool
) -> None:
    layers = layers_of(tiny, turned=True)
    read = vgg16_weights.read(
        keras_2(tmp_path / "w.h5", layers, backend=backend, whole=whole), "keras-h5"
    )
    assert same(read, tiny)
    assert read.steps == (TURNED, ROWS)


def test_a_turned_kernel_convolves_as_the_canonical_one_correlates(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    from scipy.signal import convolve2d, correlate2d

    image = np.random.default_rng(1).normal(size=(9, 8))
    kernel = layers_of(tiny, turned=True)["block1_conv1"].kernel
    path = keras_2(tmp_path / "w.h5", layers_of(tiny, turned=True), backend="theano")
    ported = vgg16_weights.read(path)["block1_conv1.weight"]
    for channel in range(3):
        theanos = convolve2d(image, kernel[:, :, channel, 2])
        allowed = FLOAT64.limit * np.abs(theanos).max()
        assert np.abs(theanos - correlate2d(image, ported[2, channel])).max() <= allowed
        assert np.abs(theanos - correlate2d(image, kernel[:, :, channel, 2])).max() > allowed


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ("tensorflow", ()),
        ("cntk", ()),
        ("jax", ()),
        ("torch", ()),
        ("Theano 2", ("kernels read as they are: unknown backend 'theano 2'",)),
    ],
)
def test_backends_that_correlate_are_left(
    tiny: Checkpoint, tmp_path: Path, backend: str, said: tuple[str, ...]
) -> None:
    path = keras_2(tmp_path / "th_kernels.h5", layers_of(tiny), backend=backend)
    read = vgg16_weights.read(path)
    assert same(read, tiny)
    assert read.steps == (*said, ROWS)


# The file's name; on Theano or TensorFlow; the image ordering; what the steps say.
KERAS_1 = {
    "on Theano": (
        "w.h5",
        "theano",
        "th",
        "kernels turned back: assumed to be Theano's, no attribute 'backend'",
    ),
    "on TensorFlow": ("w.h5", "tensorflow", "tf", ""),
    "on TensorFlow with Theano's order": ("w.h5", "tensorflow", "th", ""),
    "published for Theano": (
        "vgg16_weights_th_dim_ordering_th_kernels.h5",
        "theano",
        "th",
        "kernels turned back: th_kernels in the file's name",
    ),
    "published for Theano in TensorFlow's order": (
        "vgg16_weights_tf_dim_ordering_th_kernels.h5",
        "theano",
        "tf",
        "kernels turned back: th_kernels in the file's name",
    ),
    "published for TensorFlow in Theano's order": (
        "vgg16_weights_th_dim_ordering_tf_kernels.h5",
        "tensorflow",
        "th",
        "",
    ),
}


@pytest.mark.parametrize("case", KERAS_1)
@pytest.mark.parametrize("whole", [True, False])
def test_keras_1_names_its_layers(tiny: Checkpoint, tmp_path: Path, case: str, whole: bool) -> None:
    name, backend, ordering, said = KERAS_1[case]
    layers = layers_of(tiny, channels_first=ordering == "th", turned=backend == "theano")
    ending = "_1:0" if backend == "tensorflow" else ""
    path = keras_1(tmp_path / name, layers, ordering=ordering, ending=ending, whole=whole)
    read = vgg16_weights.read(path)
    assert same(read, tiny)
    # The axes of kernels and of maps were one choice: nothing is open about fc1's rows.
    assert read.steps == ((said,) if said else ())


def test_without_a_word_of_the_backend_tensorflows_is_assumed_and_said(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    read = vgg16_weights.read(keras_1(tmp_path / "w.h5", layers_of(tiny), ordering="tf"))
    assert same(read, tiny)
    assert read.steps == ("kernels assumed to be TensorFlow's, no attribute 'backend'",)


def test_the_attribute_counts_more_than_the_name(tiny: Checkpoint, tmp_path: Path) -> None:
    layers = layers_of(tiny, channels_first=True, turned=True)
    path = keras_1(tmp_path / "vgg16_tf_kernels.h5", layers, ending="_1:0", backend="theano")
    assert same(vgg16_weights.read(path), tiny)


def test_our_own_files_are_ours_whatever_they_are_called(tiny: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "vgg16_weights_th_dim_ordering_th_kernels.h5"
    vgg16_weights.write(tiny, path, "keras-h5")
    read = vgg16_weights.read(path)
    assert same(read, tiny)
    assert read.steps == ()


def test_axes_of_keras_1_under_names_of_keras_2_are_not_guessed(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    arrays = {
        layer: {"kernel": stored_by_keras_1(kernel, "th"), "bias": bias}
        for layer, (kernel, bias) in layers_of(tiny, channels_first=True).items()
    }
    said = refusal("keras-h5", listed(tmp_path / "w.h5", arrays))
    assert "set its attribute 'backend', to 'theano' if they are" in said
    # And the way out is one.
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        file.attrs["backend"] = "tensorflow"
    assert same(vgg16_weights.detection.read(tmp_path / "w.h5", data_format="channels_first"), tiny)


def test_numbered_layers_are_read_in_their_order(tiny: Checkpoint, tmp_path: Path) -> None:
    path = numbered(tmp_path / "w.h5", tiny, layers_of(tiny, channels_first=True, turned=True))
    assert vgg16_weights.detect(path) == "keras-h5"
    contents = legacy_h5.read(path)
    assert contents.is_ordered
    assert contents.data_format == "channels_first"
    assert "Theano" in contents.steps[0]
    # Paddings and poolings count, so that the numbers have gaps.
    assert list(contents.tensors)[:5] == [
        "layer_1.weight",
        "layer_1.bias",
        "layer_3.weight",
        "layer_3.bias",
        "layer_6.weight",
    ]
    expected = layers_of(tiny, channels_first=True)
    found = list(contents.tensors.values())
    for (kernel, bias), weight, offset in zip(
        expected.values(), found[::2], found[1::2], strict=True
    ):
        assert weight.shape == kernel.shape
        assert np.array_equal(weight.view(), kernel)
        assert np.array_equal(offset.view(), bias)


@pytest.mark.parametrize("count", [-1, 4097, 2.0, "3", [3]])
def test_a_count_of_layers_that_is_none_is_refused(
    tiny: Checkpoint, tmp_path: Path, count: object
) -> None:
    path = listed(tmp_path / "w.h5", {}, nb_layers=count)
    with pytest.raises(ValueError, match=r"the attribute 'nb_layers' of / is not the number"):
        legacy_h5.read(path)


@pytest.mark.parametrize("kind", ["S", "O"])
def test_the_authors_names_are_read_however_they_are_listed(
    tiny: Checkpoint, tmp_path: Path, kind: str
) -> None:
    layers = layers_of(tiny)
    path = keras_2(tmp_path / "w.h5", layers, names=AUTHORS, kind=kind, numbered=True)
    assert same(vgg16_weights.read(path), tiny)


@pytest.mark.parametrize(
    ("name", "rank", "expected"),
    [
        ("block1_conv1/kernel:0", 4, ("block1_conv1", "weight")),
        ("vgg16/block1_conv1/bias", 1, ("vgg16/block1_conv1", "bias")),
        ("block1_conv1_W_1:0", 4, ("block1_conv1", "weight")),
        ("conv1_1_b", 1, ("conv1_1", "bias")),
        ("fc6/weights:0", 2, ("fc6", "weight")),
        ("kernel_3:0", 2, ("", "weight")),
        ("normalization/mean:0", 1, ("normalization", "mean")),
        ("bn/gamma:0", 1, ("bn", "gamma")),
        ("bn/moving_variance:0", 1, ("bn", "moving_variance")),
        ("bn_1_running_std", 1, ("bn_1", "running_std")),
        ("embedding/embeddings:0", 2, ("embedding", "embeddings")),
        ("odd/kernel:0", 1, ("odd", "kernel")),
        ("odd/bias:0", 2, ("odd", "bias")),
    ],
)
def test_what_an_array_is_stands_in_its_name(
    name: str, rank: int, expected: tuple[str, str]
) -> None:
    assert stored(name, rank) == expected
