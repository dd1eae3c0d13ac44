"""Batch normalisation's momentum, epsilon and running variance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import keras_impl
import torch_impl
from differences.harness import tiny
from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.tensors import Tensor
from vgg16_spec.layouts import canonical_to_keras, contiguous, nchw_to_nhwc

TITLE = "Batch normalisation"
RULE = (
    "Give Keras's layer `epsilon=1e-5` and `momentum=0.9` to match PyTorch's defaults, map "
    "weight, bias, running_mean and running_var by name, and drop num_batches_tracked."
)

# Float32 rounds at 6e-8 of a value; a step uses a hundredth of it, of sums of 32.
_ROUNDED = 1e-4


def run() -> Finding:
    """Train one layer for one step in both frameworks, then port ``tiny`` with normalisation."""
    return _layer() | _network()


def _layer() -> Finding:
    """The tensors of a layer in each framework, and the effect of one step."""
    torch, keras = frameworks()
    maps = (np.arange(2 * 3 * 4 * 4, dtype=np.float32) * 37 % 101).reshape(2, 3, 4, 4)
    ours, theirs = torch.nn.BatchNorm2d(3), keras.layers.BatchNormalization()
    ours(torch.from_numpy(maps))
    theirs(contiguous(nchw_to_nhwc(maps)), training=True)
    means = maps.mean((0, 2, 3), dtype=np.float64)
    running = ours.running_mean.numpy() / means, np.asarray(theirs.moving_mean) / means
    taken = [float(share.mean()) for share in running]
    # Both start from 1.
    variances = [
        (ours.running_var.numpy() - (1 - ours.momentum)) / ours.momentum,
        (np.asarray(theirs.moving_variance) - theirs.momentum) / (1 - theirs.momentum),
    ]
    divided = [float((v / maps.var((0, 2, 3), dtype=np.float64)).mean()) for v in variances]
    count = maps.size // 3
    stated = set(ours.state_dict()), {variable.name for variable in theirs.weights}
    return Finding(
        {
            "weight of the batch in the running mean after one step, PyTorch": taken[0],
            "weight of the batch in the running mean after one step, Keras": taken[1],
            "variance used over the batch's own, 32 values, PyTorch": divided[0],
            "variance used over the batch's own, 32 values, Keras": divided[1],
            "epsilon, PyTorch": ours.eps,
            "epsilon, Keras": theirs.epsilon,
            "tensors of a layer in PyTorch, one of them a counter": len(stated[0]),
            "tensors of a layer in Keras": len(stated[1]),
        },
        {
            "PyTorch's momentum 0.1 is the weight of the batch, Keras's 0.99 the weight of the "
            "past: one is 1 minus the other, and the defaults differ tenfold.": np.allclose(
                taken, [0.1, 0.01], rtol=_ROUNDED, atol=0
            ),
            "PyTorch's running variance divides by n - 1, Keras's by n.": np.allclose(
                divided, [count / (count - 1), 1], rtol=_ROUNDED, atol=0
            ),
            "PyTorch counts its batches in a fifth tensor, which Keras does not have.": (
                stated[0] - {"weight", "bias", "running_mean", "running_var"}
                == {"num_batches_tracked"}
                and stated[1] == {"gamma", "beta", "moving_mean", "moving_variance"}
            ),
        },
    )


def _network() -> Finding:
    """The logits of ``tiny`` with normalisation in both frameworks."""
    in_torch, right, wrong, trained = _ported()
    return Finding(
        {
            "error of the logits of `tiny` with it, PyTorch": (in_torch, tiny.UNIT),
            "error of the logits of `tiny` with it, Keras, PyTorch's epsilon": (right, tiny.UNIT),
            "error of the logits of `tiny` with it, Keras, its own epsilon": (wrong, tiny.UNIT),
            "error of the logits of `tiny` with it, `training=True`": (trained, tiny.UNIT),
        },
        {
            "With PyTorch's epsilon, both give the arbiter's logits of the network with its "
            "normalisation folded into the convolutions, up to rounding.": (
                max(in_torch, right) <= tiny.LIMIT
            ),
            "With Keras's own epsilon every tensor still fits, and the logits are off by more "
            "than a thousand times the limit.": wrong > tiny.FAR,
        },
    )


class _Normalisation:
    """The values of one normalisation, distinct for each channel, with small variances."""

    def __init__(self, number: int, channels: int) -> None:
        stream = np.random.Philox(key=np.array([number, channels], np.uint64))
        raw = (stream.random_raw(4 * channels) >> np.uint64(40)).reshape(4, channels) / 2.0**24
        self.weight, self.bias, self.mean, self.variance = (
            (raw * [[0.5], [0.4], [0.2], [0.05]]) + [[0.1], [-0.2], [-0.1], [0.01]]
        ).astype(np.float32)

    def folded(
        self, kernel: NDArray[np.float32], bias: NDArray[np.float32], epsilon: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The kernel (out, in, kH, kW) and bias of a convolution that also normalises."""
        scale = self.weight / np.sqrt(self.variance.astype(np.float64) + epsilon)
        moved = (bias - self.mean) * scale + self.bias
        return (kernel * scale[:, None, None, None]).astype(np.float32), moved.astype(np.float32)


def _ported() -> tuple[float, float, float, float]:
    """The errors of the logits of ``tiny`` with normalisation.

    The arbiter runs ``tiny`` with the normalisation folded into its convolutions.

    Returns:
        The error in PyTorch; in Keras with PyTorch's epsilon; with Keras's own; and with PyTorch's
        in training mode.
    """
    torch, keras = frameworks()
    weights = tiny.checkpoint()
    epsilon = torch.nn.BatchNorm2d(1).eps
    layers = {
        layer.name: _Normalisation(number, layer.out_channels)
        for number, layer in enumerate(weights.configuration.convolutions)
    }
    values = {name: weights[name] for name in weights}
    for name, layer in layers.items():
        kernel, bias = f"{name}.weight", f"{name}.bias"
        values[kernel], values[bias] = layer.folded(weights[kernel], weights[bias], epsilon)
    tensors = {
        name: Tensor(array.shape, "float32", lambda array=array: array)  # type: ignore[misc]
        for name, array in values.items()
    }
    folded = Checkpoint(weights.configuration, weights.metadata, tensors)
    images = contiguous(nchw_to_nhwc(tiny.images()))

    def logits(training: bool, **options: float) -> float:
        model = _normalised(keras, layers, options)
        return tiny.deviations(np.asarray(model(images, training=training)), folded)

    model = _normalised_in_torch(torch, list(layers.values()))
    return (
        tiny.deviations(torch_impl.run_with_taps(model, tiny.images())["predictions"], folded),
        logits(False, epsilon=epsilon),
        logits(False),
        logits(True, epsilon=epsilon),
    )


def _normalised_in_torch(torch: Any, layers: list[_Normalisation]) -> Any:
    """``tiny`` in PyTorch with a normalisation between each convolution and its ReLU."""
    model = tiny.torch_model()
    left = iter(layers)
    for number, module in enumerate(model.features):
        if isinstance(module, torch.nn.Conv2d):
            held = next(left)
            normalisation = torch.nn.BatchNorm2d(module.out_channels)
            state = normalisation.state_dict() | {
                "weight": torch.from_numpy(held.weight),
                "bias": torch.from_numpy(held.bias),
                "running_mean": torch.from_numpy(held.mean),
                "running_var": torch.from_numpy(held.variance),
            }
            normalisation.load_state_dict(state)
            model.features[number] = torch.nn.Sequential(module, normalisation)
    return model


def _normalised(keras: Any, layers: dict[str, _Normalisation], options: dict[str, float]) -> Any:
    """``tiny`` in Keras with a normalisation between each convolution and its ReLU."""
    weights = tiny.checkpoint()
    plain = keras_impl.functional("tiny", classifier_activation=None, dropout=0)
    inputs = values = keras.Input(plain.input_shape[1:])
    for layer in plain.layers[1:]:
        own = layer.get_config() | ({"activation": None} if layer.name in layers else {})
        made = type(layer).from_config(own)
        values = made(values)
        for variable, part in zip(made.weights, ("weight", "bias"), strict=False):
            name = f"{layer.name}.{part}"
            shape = weights.configuration.feature_shape
            variable.assign(canonical_to_keras(name, weights[name], shape))
        if layer.name in layers:
            held = layers[layer.name]
            normalisation = keras.layers.BatchNormalization(**options)
            values = keras.layers.ReLU()(normalisation(values))
            normalisation.set_weights([held.weight, held.bias, held.mean, held.variance])
    return keras.Model(inputs, values)
