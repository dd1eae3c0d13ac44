"""Files of Keras before version 3 in the exact forms of its versions and backends, by h5py alone.

Each says what it holds by formulas of its own, from a checkpoint's canonical values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from vgg16_spec.architecture import MaxPooling
from vgg16_spec.checkpoint import Checkpoint

Values = NDArray[np.float32]


class Layer(NamedTuple):
    """A kernel, (kH, kW, in, out) or (in, out), and a bias, (out,)."""

    kernel: Values
    bias: Values


def layers_of(
    checkpoint: Checkpoint, *, channels_first: bool = False, turned: bool = False
) -> dict[str, Layer]:
    """Each layer as Keras 2 holds it: fc1's rows by H, W, C, or by C, H, W; kernels as they are.

    Args:
        checkpoint: whose values.
        channels_first: whether maps are (N, C, H, W), which a plain Flatten leaves so.
        turned: whether kernels are turned by half a turn, for Theano.
    """
    channels, height, width = checkpoint.configuration.feature_shape
    found: dict[str, Layer] = {}
    for layer in checkpoint.configuration.weighted_layers:
        kernel = np.array(checkpoint[f"{layer.name}.weight"])
        if kernel.ndim == 4:
            if turned:
                kernel = np.flip(kernel, (2, 3))
            kernel = np.moveaxis(kernel, (2, 3, 1, 0), (0, 1, 2, 3))
        else:
            if layer.name == "fc1" and not channels_first:
                maps = kernel.reshape(len(kernel), channels, height, width)
                kernel = np.moveaxis(maps, 1, 3).reshape(len(kernel), -1)
            kernel = kernel.swapaxes(0, 1)
        found[layer.name] = Layer(
            np.ascontiguousarray(kernel), np.array(checkpoint[f"{layer.name}.bias"])
        )
    return found


def listed(
    path: Path,
    arrays: Mapping[str, Mapping[str, Values]],
    *,
    whole: bool = False,
    numbered: bool = False,
    kind: str = "S",
    **attributes: Any,
) -> Path:
    """A file of Keras 1 or 2 that lists its layers and the arrays of each.

    Args:
        path: the file.
        arrays: layer -> stored name -> values.
        whole: whether it is a whole model, with the state of its optimizer.
        numbered: whether lists of names are in numbered attributes, as where one is too small.
        kind: NumPy's kind of the names: bytes, or objects for text.
        attributes: of the root, and in a whole model of its weights.
    """

    def note(group: h5py.Group, name: str, names: Sequence[str]) -> None:
        parts = np.array_split(np.array(list(names), kind), 3 if numbered else 1)
        for number, part in enumerate(parts):
            group.attrs[f"{name}{number}" if numbered else name] = part if len(part) else []

    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole else file
        if whole:
            file["optimizer_weights/adam/block1_conv1/m:0"] = np.ones((3, 3, 3, 4), np.float32)
        for group in {file, root}:
            group.attrs.update(attributes)
        note(root, "layer_names", list(arrays))
        for layer, values in arrays.items():
            group = root.create_group(layer)
            note(group, "weight_names", list(values))
            for name, array in values.items():
                group[name] = array
    return path


def keras_2(
    path: Path,
    layers: Mapping[str, Layer],
    *,
    backend: str | bytes = "tensorflow",
    names: Mapping[str, str] | None = None,
    **options: Any,
) -> Path:
    """Weights as Keras 2.2 saves them, layers renamed by ``names``."""
    arrays = {}
    for layer, (kernel, bias) in layers.items():
        name = (names or {}).get(layer, layer)
        arrays[name] = {f"{name}/kernel:0": kernel, f"{name}/bias:0": bias}
    return listed(path, arrays, backend=backend, keras_version="2.2.4", **options)


def keras_1(
    path: Path,
    layers: Mapping[str, Layer],
    *,
    ordering: str = "th",
    ending: str = "",
    **options: Any,
) -> Path:
    """Weights as Keras 1.1 saves them: ``block1_conv1_W``, on TensorFlow with ``_1:0`` at its end.

    Kernels are (out, in, kH, kW) with the image ordering ``th``.
    """
    arrays: dict[str, dict[str, Values]] = {"input_1": {}}
    arrays |= {
        layer: {
            f"{layer}_W{ending}": stored_by_keras_1(kernel, ordering),
            f"{layer}_b{ending}": bias,
        }
        for layer, (kernel, bias) in layers.items()
    }
    return listed(path, arrays, **options)


def numbered(path: Path, checkpoint: Checkpoint, layers: Mapping[str, Layer]) -> Path:
    """Weights as Keras 0.3 saves a Sequential with paddings, on Theano: ``layer_1/param_0``."""
    rows: list[tuple[Values, ...]] = []
    for layer in checkpoint.configuration.layers:
        if layer.name in layers:
            kernel, bias = layers[layer.name]
            stored = stored_by_keras_1(kernel, "th"), bias
            rows += [(), stored] if kernel.ndim == 4 else [stored, ()]
        elif isinstance(layer, MaxPooling) or layer.name == "flatten":
            rows.append(())
    with h5py.File(path, "w") as file:
        file.attrs["nb_layers"] = len(rows)
        for number, arrays in enumerate(rows):
            group = file.create_group(f"layer_{number}")
            group.attrs["nb_params"] = len(arrays)
            for index, values in enumerate(arrays):
                group[f"param_{index}"] = values
    return path


def stored_by_keras_1(kernel: Values, ordering: str) -> Values:
    """(kH, kW, in, out) -> (out, in, kH, kW), where the image ordering is ``th``."""
    if kernel.ndim == 4 and ordering == "th":
        return np.ascontiguousarray(np.moveaxis(kernel, (0, 1, 2, 3), (2, 3, 1, 0)))
    return kernel


# Layer -> the authors' name.
AUTHORS: Final = {
    **{
        f"block{block}_conv{number}": f"conv{block}_{number}"
        for block in range(1, 6)
        for number in range(1, 4)
    },
    "fc1": "fc6",
    "fc2": "fc7",
    "predictions": "fc8",
}
