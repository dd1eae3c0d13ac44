"""In which order a state dict, a Keras model and a file list the same tensors."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from differences.harness import tiny
from differences.harness.experiment import Claim, Figure, Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.architecture import Shape, configuration
from vgg16_spec.layouts import keras_to_canonical, oi_to_io
from vgg16_spec.names import torchvision_keys

TITLE = "Tensor order"
RULE = (
    "Match tensors by name, from a table that is written down once and in which every tensor of "
    "either side occurs, never by their place in a list."
)


def run() -> Finding:
    """Pair the tensors of both frameworks by their place, in three settings."""
    pairs = _paired_in_tiny()
    in_file = _order_in_file()
    kernels = _kernels()
    moved = [(a, b) for a, b in zip(kernels, sorted(kernels), strict=True) if a != b]
    unseen = sum(kernels[a] == kernels[b] for a, b in moved)
    listed, output, crossed = _registered_backwards()
    return Finding(
        (
            Figure("tensors in the same place, state dict and Keras model", pairs, "of 32"),
            Figure("tensors in the same place, state dict and safetensors file", in_file, "of 32"),
            Figure("VGG16's convolutions that sorted names put elsewhere", len(moved), "of 13"),
            Figure("of these, where a kernel of the same shape is expected", unseen),
            Figure(
                "outputs that change when paired by place, of two dense layers", crossed, "of 8"
            ),
        ),
        (
            Claim(
                "Of this network, the state dict has the order of Keras's layers.",
                pairs == 32,
            ),
            Claim(
                "A safetensors file lists its tensors by sorted name, features.10 before "
                "features.2: none is where the state dict has it, and some of VGG16's kernels "
                "meet another's place of the same shape.",
                in_file == 0 and unseen > 0,
            ),
            Claim(
                "A state dict has the order in which modules were assigned, Keras the order in "
                "which layers run: of a PyTorch model that assigns its second layer first, every "
                "tensor fits its place in Keras, and the outputs are wrong.",
                listed == ["second.weight", "first.weight"] and output == 0 and crossed > 0,
            ),
        ),
    )


def _kernels() -> dict[str, Shape]:
    """The shapes of VGG16's kernels by torchvision's names."""
    keys, shapes = torchvision_keys(configuration("D")), configuration("D").weight_shapes
    return {keys[name]: shape for name, shape in shapes.items() if len(shape) == 4}


def _paired_in_tiny() -> int:
    """How many of the tensors of ``tiny`` have the same values at the same place in both."""
    feature_shape = tiny.checkpoint().configuration.feature_shape
    ours = tiny.torch_model().state_dict().values()
    theirs = tiny.keras_model().weights
    names = list(tiny.checkpoint())
    return sum(
        np.array_equal(a.numpy(), keras_to_canonical(name, np.asarray(b), feature_shape))
        for name, a, b in zip(names, ours, theirs, strict=True)
    )


def _order_in_file() -> int:
    """How many tensors of a state dict have the same place in the safetensors file of it."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    state = tiny.torch_model().state_dict()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_file(state, path)
        with safe_open(path, "pt") as file:
            return sum(a == b for a, b in zip(state, file.keys(), strict=True))


def _registered_backwards() -> tuple[list[str], int, int]:
    """Two dense layers in PyTorch and Keras, the second made first in both.

    The names in the state dict; and how many of 8 outputs differ between the frameworks where the
    weights are paired by name, and where they are paired by place. All values are whole numbers,
    so that any order of summation gives the same.
    """
    torch, keras = frameworks()

    class Backwards(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.second = torch.nn.Linear(8, 8, bias=False)
            self.first = torch.nn.Linear(8, 8, bias=False)

        def forward(self, values: Any) -> Any:
            return self.second(self.first(values))

    ours = Backwards()
    for number, parameter in enumerate(ours.parameters()):
        parameter.data = torch.from_numpy(_whole_numbers(64, 3 + 2 * number).reshape(8, 8))
    second = keras.layers.Dense(8, use_bias=False, name="second")
    first = keras.layers.Dense(8, use_bias=False, name="first")
    inputs = keras.Input((8,))
    theirs = keras.Model(inputs, second(first(inputs)))
    vector = _whole_numbers(8, 5).reshape(1, 8)
    with torch.inference_mode():
        expected = ours(torch.from_numpy(vector)).numpy()
    state = {name: oi_to_io(values.numpy()) for name, values in ours.state_dict().items()}
    by_name = [state[f"{variable.path.split('/')[0]}.weight"] for variable in theirs.weights]
    different: list[int] = []
    for weights in (by_name, list(state.values())):
        theirs.set_weights(weights)
        different.append(int(np.count_nonzero(np.asarray(theirs(vector)) != expected)))
    return list(state), different[0], different[1]


def _whole_numbers(count: int, step: int) -> NDArray[np.float32]:
    return (np.arange(count, dtype=np.float32) * step) % 17 - 8
