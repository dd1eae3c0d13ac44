"""Files as people have them, through ``vgg16 port``: read as they were saved, or refused in words.

A file comes out as a random truth bit for bit, with the recipe and the steps that are said; or it
is refused in one short line, and nothing is written; or only its convolutions are the network's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch

import keras_impl
import torch_impl
import vgg16_weights
from parity_tests.support.helpers import Command, Outcome, same
from parity_tests.support.weights.older_keras import layers_of
from parity_tests.support.weights.peoples import keras as peoples_keras
from parity_tests.support.weights.peoples.files import (
    EXPECTED,
    FLATTENED,
    KERASES,
    MAKERS,
    Body,
    Refused,
    Same,
)
from parity_tests.support.weights.peoples.keras import MEAN, VARIANCE
from parity_tests.support.weights.tiny_files import state_dict
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, Metadata, open_checkpoint
from vgg16_spec.checkpoint.tensors import Tensor
from vgg16_spec.errors import BadInput

# Every file is whole or no HDF5: a process that reads it first would find nothing.
pytestmark = pytest.mark.usefixtures("no_first_reading")

CLASSES: Final = 9
MOST_CHARACTERS: Final = 300


@pytest.fixture(scope="module")
def truth() -> Checkpoint:
    """No file of the project's has these values."""
    random = np.random.default_rng(1512)
    network = configuration("tiny", classes=CLASSES)
    tensors = {}
    for name, shape in network.weight_shapes.items():
        values = random.normal(0, 0.2, shape).astype(np.float32)
        tensors[name] = Tensor.of(values)
    return Checkpoint(network, Metadata("torchvision"), tensors)


@pytest.fixture(scope="module")
def people(truth: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of a name, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("people")

    def file(name: str) -> Path:
        path = folder / name
        if not path.exists():
            if name in KERASES:
                peoples_keras.save_all(truth, name.partition(".")[0], folder)
            else:
                MAKERS[name](truth, path)
        return path

    return file


def of(kind: type) -> pytest.MarkDecorator:
    """The files of which this is expected, with what is."""
    files = {name: each for name, each in EXPECTED.items() if isinstance(each, kind)}
    return pytest.mark.parametrize(("name", "expected"), files.items(), ids=files)


def rounded(truth: Checkpoint, dtype: torch.dtype) -> Checkpoint:
    """The truth with what another type leaves of its values."""
    return truth.with_tensors(
        {
            name: torch.from_numpy(values.copy()).to(dtype).float().numpy()
            for name, values in truth.items()
        }
    )


def line_of(done: Outcome) -> str:
    """What a port says where all is well: one line, and none about how the file was read."""
    assert done.status == 0, done.err
    (line,) = done.out.splitlines()
    return line


def refusal(done: Outcome, path: Path) -> str:
    """What it says where the file is refused, beside the path and what it is doing."""
    assert done.status == 2, done.out
    assert done.out == ""
    *doing, line = done.err.splitlines()
    assert doing in ([], [f"read {path.name} …"])
    assert line.startswith(f"vgg16: {path}: ")
    said = line.removeprefix(f"vgg16: {path}: ")
    assert len(said) + len(path.name) <= MOST_CHARACTERS
    return said


@of(Same)
def test_it_is_read_as_it_was_saved(
    vgg16: Command,
    truth: Checkpoint,
    people: Callable[[str], Path],
    tmp_path: Path,
    name: str,
    expected: Same,
) -> None:
    path, ported = people(name), tmp_path / "w.safetensors"
    line = line_of(vgg16("port", path, ported, *expected.options))
    assert line.endswith(expected.said)
    want = rounded(truth, expected.dtype)
    if "--no-top" in expected.options:
        want = want.without_top()
    written = open_checkpoint(ported)
    assert same(written, want)
    assert f"recipe {written.recipe.name}" in line
    assert vgg16_weights.read(path, **in_python(expected.options)).recipe == written.recipe


def in_python(options: tuple[str, ...]) -> dict[str, Any]:
    """The command's options as arguments."""
    match options:
        case ("--no-top",):
            return {"include_top": False}
        case (option, value):
            return {option.removeprefix("--").replace("-", "_"): value}
    return {}


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_layers_in_front_become_the_recipe(
    vgg16: Command, people: Callable[[str], Path], tmp_path: Path, ending: str
) -> None:
    pixels = np.array([[0.0, 10, 200], [255, 128, 1]])
    for stem, prepared in (
        ("rescaled", pixels / 255),
        ("normalised", (pixels - MEAN) / np.sqrt(VARIANCE)),
    ):
        line_of(vgg16("port", people(f"{stem}{ending}"), tmp_path / "w.safetensors"))
        recipe = open_checkpoint(tmp_path / "w.safetensors").recipe
        assert recipe.channels == "RGB"
        made = (pixels / recipe.scale - recipe.mean) / recipe.std
        assert np.array_equal(made, prepared)


@of(Refused)
def test_it_is_refused_in_words(
    vgg16: Command,
    people: Callable[[str], Path],
    tmp_path: Path,
    name: str,
    expected: Refused,
) -> None:
    path = people(name)
    said = refusal(vgg16("port", path, tmp_path / "w.pth"), path)
    assert expected.words in said
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadInput) as error:
        vgg16_weights.open_weights(path)
    assert str(error.value) == f"{path}: {said}"


@of(Body)
def test_its_convolutions_are_read_whatever_its_head(
    vgg16: Command,
    truth: Checkpoint,
    people: Callable[[str], Path],
    tmp_path: Path,
    name: str,
    expected: Body,
) -> None:
    path, ported = people(name), tmp_path / "w.safetensors"
    said = refusal(vgg16("port", path, ported), path)
    assert said.startswith(f"its head is not VGG16's: {expected.head}; expected --no-top ")
    assert list(tmp_path.iterdir()) == []
    assert line_of(vgg16("port", path, ported, "--no-top")).endswith(expected.said)
    convolutions = truth.without_top()
    assert len(convolutions) == 26
    assert same(open_checkpoint(ported), convolutions)
    assert same(vgg16_weights.open_weights(path, include_top=False), convolutions)


def test_without_the_option_that_a_file_needs_it_is_refused_or_read_otherwise(
    vgg16: Command, truth: Checkpoint, people: Callable[[str], Path], tmp_path: Path
) -> None:
    path = people("channels_first.weights.h5")
    assert FLATTENED in line_of(vgg16("port", path, tmp_path / "w.safetensors"))
    assert not same(open_checkpoint(tmp_path / "w.safetensors"), truth)
    done = vgg16("port", people("averages beside it.pth"), tmp_path / "again.safetensors")
    assert "state_dict_ema" in line_of(done)
    assert same(open_checkpoint(tmp_path / "again.safetensors"), truth)


@pytest.mark.parametrize("name", ["channels_first.keras", "theano.h5", "numbered.h5"])
def test_pytorch_loads_what_keras_saved(
    vgg16: Command, truth: Checkpoint, people: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    line_of(vgg16("port", people(name), tmp_path / "w.pth"))
    network = torch_impl.VGG("tiny", classes=CLASSES)
    network.load_state_dict(torch.load(tmp_path / "w.pth"), strict=True)
    wanted = state_dict(truth)
    assert all(torch.equal(values, wanted[key]) for key, values in network.state_dict().items())


@pytest.mark.parametrize("name", ["lightning.ckpt", "timm.pth"])
def test_keras_loads_what_pytorch_saved(
    vgg16: Command, truth: Checkpoint, people: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    line_of(vgg16("port", people(name), tmp_path / "w.weights.h5"))
    model = keras_impl.sequential("tiny", classes=CLASSES)
    model.load_weights(tmp_path / "w.weights.h5")
    for layer, wanted in layers_of(truth).items():
        kernel, bias = model.get_layer(layer).get_weights()
        assert np.array_equal(kernel, wanted.kernel)
        assert np.array_equal(bias, wanted.bias)
