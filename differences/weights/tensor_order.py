"""The order in which a state dict, a Keras model and a file list the same tensors."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from differences.harness import tiny
from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks
from differences.harness.numbers import whole_numbers
from vgg16_spec.architecture import Shape, configuration
from vgg16_spec.layouts import keras_to_canonical
from vgg16_spec.names import torchvision_keys

TITLE = "Tensor order"
RULE = (
    "Match tensors by name, from one table that lists every tensor of both sides, never by "
    "their position."
)
PACKAGES = ("safetensors",)


def run() -> Finding:
    """Pair the tensors of both frameworks by position, in three settings."""
    pairs = _paired_in_tiny()
    in_file = _order_in_file()
    kernels = _kernels()
    moved = [(a, b) for a, b in zip(kernels, sorted(kernels), strict=True) if a != b]
    unseen = sum(kernels[a] == kernels[b] for a, b in moved)
    listed, output, crossed = _registered_backwards()
    return Finding(
        {
            "tensors at the same position, state dict and Keras model": (pairs, "of 32"),
            "tensors at the same position, state dict and safetensors file": (in_file, "of 32"),
            "VGG16's convolutions that sorting by name moves": (len(moved), "of 13"),
            "of these, moved to where a kernel of the same shape is expected": unseen,
            "outputs of two dense layers that change when paired by position": (crossed, "of 8"),
        },
        {
            "For this network, the state dict and the Keras model list tensors in the same "
            "order.": pairs == 32,
            "A safetensors file lists its tensors by sorted name, features.10 before "
            "features.2: none is at its position in the state dict, and some of VGG16's kernels "
            "land where another kernel of the same shape is expected.": in_file == 0 and unseen > 0,
            "A state dict follows the order in which modules were assigned, Keras the order in "
            "which layers run: of a PyTorch model that assigns its second layer first, every "
            "tensor fits its position in Keras, and the outputs are wrong.": (
                listed == ["second.weight", "first.weight"] and output == 0 and crossed > 0
            ),
        },
    )


def _kernels() -> dict[str, Shape]:
    """The name in torchvision and the shape of each of VGG16's kernels."""
    keys, shapes = torchvision_keys(configuration("D")), configuration("D").weight_shapes
    return {keys[name]: shape for name, shape in shapes.items() if len(shape) == 4}


def _paired_in_tiny() -> int:
    """How many tensors of ``tiny`` have the same values at the same position in both."""
    feature_shape = tiny.checkpoint().configuration.feature_shape
    ours = tiny.torch_model().state_dict().values()
    theirs = tiny.keras_model().weights
    names = list(tiny.checkpoint())
    return sum(
        np.array_equal(a.numpy(), keras_to_canonical(name, np.asarray(b), feature_shape))
        for name, a, b in zip(names, ours, theirs, strict=True)
    )


def _order_in_file() -> int:
    """How many tensors of a state dict keep their position in a safetensors file."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    state = tiny.torch_model().state_dict()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_file(state, path)
        with safe_open(path, "pt") as file:
            return sum(a == b for a, b in zip(state, file.keys(), strict=True))


def _registered_backwards() -> tuple[list[str], int, int]:
    """Two dense layers in PyTorch and Keras, the second one made first in both.

    All values are whole numbers, so that every order of summation gives the same result.

    Returns:
        The names in the state dict; and how many of 8 outputs differ between the frameworks if the
        weights are paired by name, and if they are paired by position.
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
        parameter.data = torch.from_numpy(whole_numbers(64, 3 + 2 * number).reshape(8, 8))
    second = keras.layers.Dense(8, use_bias=False, name="second")
    first = keras.layers.Dense(8, use_bias=False, name="first")
    inputs = keras.Input((8,))
    theirs = keras.Model(inputs, second(first(inputs)))
    vector = whole_numbers(8, 5).reshape(1, 8)
    with torch.inference_mode():
        expected = ours(torch.from_numpy(vector)).numpy()
    state = {name: values.numpy().T for name, values in ours.state_dict().items()}
    by_name = [state[f"{variable.path.split('/')[0]}.weight"] for variable in theirs.weights]
    different: list[int] = []
    for weights in (by_name, list(state.values())):
        theirs.set_weights(weights)
        different.append(int(np.count_nonzero(np.asarray(theirs(vector)) != expected)))
    return list(state), different[0], different[1]
