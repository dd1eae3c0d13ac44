"""Models inside models, and layers that Keras named: their keys, in the network's order."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from numpy.typing import NDArray

import vgg16_weights
from parity_tests.support.helpers import same
from parity_tests.support.weights.older_keras import Values, layers_of, listed
from vgg16_spec.checkpoint import Checkpoint
from vgg16_weights.contents import Contents
from vgg16_weights.detection import read
from vgg16_weights.keras import archive, legacy_h5, weights_h5

pytestmark = pytest.mark.usefixtures("no_first_reading", "no_configuration")


@pytest.fixture
def no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read weights alone: the models here are small, and no configuration of a VGG's."""
    for module in (archive, legacy_h5):
        monkeypatch.setattr(module, "_config", lambda _: None)


K = keras.layers
READERS: dict[str, Callable[[Path], Contents]] = {
    ".h5": legacy_h5.read,
    ".weights.h5": weights_h5.read,
    ".keras": archive.read,
}
CONVOLUTIONS = [4, 4, 6, 6, 8, 8, 8, 12, 12, 12, 12, 12, 12]


def body(*, named: bool, name: str = "vgg16") -> keras.Model:
    """Thirteen convolutions of one pixel's map, so that nothing but their weights is large."""
    x = inputs = keras.Input((4, 4, 3))
    for number, width in enumerate(CONVOLUTIONS):
        layer = f"block{number // 3}_conv{number % 3}" if named else None
        x = K.Conv2D(width, 3, padding="same", bias_initializer="normal", name=layer)(x)
    return keras.Model(inputs, x, name=name)


def around(base: keras.Model, form: str) -> keras.Model:
    """A model with another inside, at a depth of one or two."""
    head = [K.GlobalAveragePooling2D(), K.Dense(7, name="hidden"), K.Dropout(0.5), K.Dense(5)]
    if form == "twice":
        base = keras.Sequential([keras.Input((4, 4, 3)), base], name="outer")
    if form == "functional":
        inputs = x = keras.Input((4, 4, 3))
        for layer in (base, *head):
            x = layer(x)
        return keras.Model(inputs, x)
    return keras.Sequential([keras.Input((4, 4, 3)), base, *head])


def saved(model: keras.Model, path: Path) -> Path:
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)
    return path


def expected(model: keras.Model, prefix: str = "") -> dict[str, NDArray[Any]]:
    """Key -> values of every kernel and bias, as Keras itself has them, in the order of layers."""
    found: dict[str, NDArray[Any]] = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found |= expected(layer, f"{prefix}{layer.name}/")
        elif layer.weights:
            kernel, bias = layer.get_weights()
            found |= {f"{prefix}{layer.name}.weight": kernel, f"{prefix}{layer.name}.bias": bias}
    return found


def assert_holds(contents: Contents, values: Mapping[str, NDArray[Any]]) -> None:
    assert list(contents.tensors) == list(values)
    for key, tensor in contents.tensors.items():
        assert np.array_equal(tensor.view(), values[key]), key


@pytest.mark.parametrize("named", [True, False], ids=["own names", "Keras's names"])
@pytest.mark.parametrize("form", ["sequential", "functional", "twice"])
def test_a_model_inside_a_model_is_read_by_its_layers(
    tmp_path: Path, form: str, named: bool
) -> None:
    model = around(body(named=named), form)
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)  # so that its state is saved too
    values = expected(model)
    for ending, reader in READERS.items():
        contents = reader(saved(model, tmp_path / f"w{ending}"))
        if ending == ".h5":  # where Keras does not say that a layer is inside two models
            values = {key.replace("outer/vgg16/", "outer/"): v for key, v in values.items()}
        else:
            values = expected(model)
        assert_holds(contents, values)
        assert contents.is_ordered


@pytest.mark.parametrize("named", [True, False], ids=["own names", "Keras's names"])
def test_frozen_layers_are_put_in_their_places(tmp_path: Path, named: bool) -> None:
    base = body(named=named)
    for layer in base.layers[:8]:
        layer.trainable = False
    model = around(base, "sequential")
    path = saved(model, tmp_path / "w.h5")
    with h5py.File(path) as file:  # or this tests nothing
        names = [name.split("/")[-2] for name in file["model_weights/vgg16"].attrs["weight_names"]]
    assert names[0] != base.layers[1].name
    contents = legacy_h5.read(path)
    assert_holds(contents, expected(model))
    assert contents.is_ordered


def test_frozen_layers_without_numbers_are_in_no_certain_order(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    layers = layers_of(tiny)
    arrays: dict[str, Values] = {}
    for letter, (kernel, bias) in zip("abcdefghijklmnop", layers.values(), strict=True):
        arrays |= {f"{letter}/kernel:0": kernel, f"{letter}/bias:0": bias}
    path = listed(tmp_path / "w.h5", {"vgg16": arrays}, backend="tensorflow")
    assert not legacy_h5.read(path).is_ordered


def test_numbers_count_as_numbers_in_every_form(tmp_path: Path) -> None:
    for ending, reader in READERS.items():
        keras.utils.clear_session()
        model = body(named=False)
        contents = reader(saved(model, tmp_path / f"w{ending}"))
        assert_holds(contents, expected(model))
        assert list(contents.tensors)[18:22:2] == ["conv2d_9.weight", "conv2d_10.weight"]
        assert contents.is_ordered


@pytest.mark.parametrize(
    ("prefix", "key"),
    [("", "vgg16/"), ("vgg16/", "vgg16/"), ("model_1/vgg16/", "vgg16/model_1/vgg16/")],
)
def test_older_files_name_the_layers_inside_as_they_like(
    tiny: Checkpoint, tmp_path: Path, prefix: str, key: str
) -> None:
    layers = layers_of(tiny)
    inside = {
        f"{prefix}{layer}/{part}:0": values
        for layer, pair in layers.items()
        if "conv" in layer
        for part, values in zip(("kernel", "bias"), pair, strict=True)
    }
    head = {"dense_5/kernel:0": layers["fc1"].kernel, "dense_5/bias:0": layers["fc1"].bias}
    path = listed(
        tmp_path / "w.h5",
        {"vgg16": inside, "dropout_1": {}, "sequential_1": head},
        backend="tensorflow",
    )
    contents = legacy_h5.read(path)
    values = {
        f"{key}{layer}.{part}": value
        for layer, pair in layers.items()
        if "conv" in layer
        for part, value in zip(("weight", "bias"), pair, strict=True)
    }
    values |= {"sequential_1.weight": layers["fc1"].kernel, "sequential_1.bias": layers["fc1"].bias}
    assert_holds(contents, values)
    assert contents.is_ordered


def test_arrays_inside_without_a_layers_name_are_counted(tmp_path: Path, tiny: Checkpoint) -> None:
    arrays: dict[str, Values] = {}
    for number, (kernel, bias) in enumerate(layers_of(tiny).values()):
        ending = f"_{number}:0" if number else ":0"
        arrays |= {f"kernel{ending}": kernel, f"bias{ending}": bias}
    contents = legacy_h5.read(listed(tmp_path / "w.h5", {"net": arrays}, backend="jax"))
    assert list(contents.tensors)[-2:] == ["net/16.weight", "net/16.bias"]
    assert contents.is_ordered


@pytest.mark.parametrize("ending", READERS)
def test_batch_normalisation_is_called_by_its_parts(tmp_path: Path, ending: str) -> None:
    layers = [K.Conv2D(4, 3, name="block1_conv1"), K.BatchNormalization(name="bn"), K.Dense(2)]
    model = keras.Sequential([keras.Input((4, 4, 3)), *layers])
    contents = READERS[ending](saved(model, tmp_path / f"w{ending}"))
    found = {key for key in contents.tensors if key.startswith("bn.")}
    assert found == {"bn.gamma", "bn.beta", "bn.moving_mean", "bn.moving_variance"}
    assert {"block1_conv1.weight", "block1_conv1.bias"} <= set(contents.tensors)


def older_container(source: Path, target: Path, separator: str) -> None:
    """The file as Keras 2.12 writes it: no layer's name, another list, on Windows no path."""
    with h5py.File(source) as new, h5py.File(target, "w") as old:
        for container in new["layers"]:
            parts = ["_layer_checkpoint_dependencies", container]
            group = old.create_group(separator.join(parts)).create_group("vars")
            for number, values in new[f"layers/{container}/vars"].items():
                group[number] = values[()]
        old[separator.join(["metrics", "mean"]) + "/vars/0"] = np.float32(3)
        old["optimizer/vars/0"] = np.ones((3, 3, 3, 4), np.float32)


@pytest.mark.parametrize("separator", ["/", "\\"])
def test_containers_without_names_are_read_in_the_order_of_their_numbers(
    tiny: Checkpoint, tmp_path: Path, separator: str
) -> None:
    vgg16_weights.write(tiny, tmp_path / "new.weights.h5", "keras-weights-h5")
    path = tmp_path / "w.weights.h5"
    older_container(tmp_path / "new.weights.h5", path, separator)
    assert vgg16_weights.detect(path) == "keras-weights-h5"
    contents = weights_h5.read(path)
    assert contents.is_ordered
    values = layers_of(tiny).values()
    assert [key.rpartition(".")[0].rpartition("/")[2] for key in contents.tensors][-2] == "dense_2"
    for (kernel, bias), number in zip(values, range(0, 32, 2), strict=True):
        weight, offset = list(contents.tensors.values())[number : number + 2]
        assert np.array_equal(weight.view(), kernel)
        assert np.array_equal(offset.view(), bias)


def test_a_whole_model_of_that_time_is_read(tiny: Checkpoint, tmp_path: Path) -> None:
    vgg16_weights.write(tiny, tmp_path / "new.weights.h5", "keras-weights-h5")
    older_container(tmp_path / "new.weights.h5", tmp_path / "old.h5", "/")
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as file:
        file.writestr("config.json", "{}")
        file.write(tmp_path / "old.h5", "model.weights.h5")
    contents = archive.read(tmp_path / "w.keras")
    assert contents.is_ordered
    assert len(contents.tensors) == len(tiny)


def test_a_model_of_attributes_is_in_no_certain_order(tiny: Checkpoint, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        for layer, (kernel, bias) in layers_of(tiny).items():
            group = file.create_group(f"{layer.replace('conv', 'c_')}/vars")
            group.attrs["name"] = layer
            group["0"], group["1"] = kernel, bias
    assert not weights_h5.read(tmp_path / "w.weights.h5").is_ordered
    assert same(read(tmp_path / "w.weights.h5"), tiny)


@pytest.mark.parametrize("kind", ["float16", "float64", "bfloat16", ">f4"])
@pytest.mark.parametrize("chunks", [None, True])
def test_other_types_are_passed_on(
    tiny: Checkpoint, tmp_path: Path, kind: str, chunks: bool | None
) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = ml_dtypes.bfloat16 if kind == "bfloat16" else np.dtype(kind)
    layers = layers_of(tiny)
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        for layer, pair in layers.items():
            group = file.create_group(f"layers/{layer}/vars")
            for number, values in enumerate(pair):
                made = group.create_dataset(str(number), data=values.astype(dtype), chunks=chunks)
                if kind == "bfloat16":  # as Keras says it
                    made.attrs["dtype"] = kind
    tensors = weights_h5.read(tmp_path / "w.weights.h5").tensors
    for layer, (kernel, _) in layers.items():
        tensor = tensors[f"{layer}.weight"]
        assert tensor.dtype == ("float32" if kind == ">f4" else kind)
        # NumPy has no bfloat16, and every one is a float32.
        held = "float32" if kind == "bfloat16" else tensor.dtype
        assert tensor.view().dtype.name == held
        assert np.array_equal(tensor.view(), kernel.astype(dtype).astype(held))
