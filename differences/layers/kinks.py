"""Gradients where the function has none: ReLU at zero, and max pooling of equal values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from differences.harness import tiny
from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.images.preprocessing import preprocess

TITLE = "Gradients at kinks"
RULE = (
    "Use each framework's own ReLU and max pooling, not a hand-written maximum, and compare "
    "gradients on photographs, never on a picture of one colour."
)

# Float64 rounds at 1e-16 of a value: sums that agree to this are the same.
_SAME = 1e-9


def run() -> Finding:
    """Differentiate at kinks in both frameworks, and in all of ``tiny`` with two rules for ties."""
    return _points() | _network()


def _points() -> Finding:
    """ReLU at zero, and one window of four equal values."""
    torch, keras = frameworks()
    relu = _torch_at(torch.nn.ReLU(), [0.0]), _keras_at(keras.layers.ReLU(), [0.0])
    maximum = (
        _torch_at(lambda value: torch.maximum(value, torch.zeros_like(value)), [0.0]),
        _keras_at(lambda value: keras.ops.maximum(value, 0.0), [0.0]),
    )
    tied = np.ones((1, 1, 2, 2))
    pooled = (
        _torch_at(torch.nn.MaxPool2d(2), tied),
        _keras_at(keras.layers.MaxPooling2D(2), tied.reshape(1, 2, 2, 1)),
    )
    reduced = (
        _torch_at(lambda maps: maps.amax((2, 3)), tied),
        _keras_at(keras.layers.GlobalMaxPooling2D(), tied.reshape(1, 2, 2, 1)),
    )
    return Finding(
        {
            "gradient of ReLU at 0, PyTorch": relu[0].item(),
            "gradient of ReLU at 0, Keras": relu[1].item(),
            "gradient of maximum(x, 0) at 0, PyTorch": maximum[0].item(),
            "gradient of maximum(x, 0) at 0, Keras": maximum[1].item(),
        },
        {
            "ReLU's gradient at 0 is 0 in both; that of a maximum with 0 is 0.5 in PyTorch, and "
            "1 in Keras on TensorFlow.": [v.item() for v in (*relu, *maximum)] == [0, 0, 0.5, 1],
            "Of four equal values the pooling layers give the whole gradient to the first, in "
            "both; `amax` and Keras's global pooling give a quarter to each.": (
                [v.tolist() for v in pooled] == [[1, 0, 0, 0]] * 2
                and [v.tolist() for v in reduced] == [[0.25] * 4] * 2
            ),
        },
    )


def _network() -> Finding:
    """The poolings of ``tiny`` on photographs and on a grey picture."""
    photographs = tiny.images().astype(np.float64)
    recipe = tiny.checkpoint().recipe
    grey = preprocess(np.full((64, 64, 3), 128, np.uint8), recipe, size=64).astype(np.float64)
    at_zero, above = _ties(photographs)
    _, grey_above = _ties(grey)
    moved, grey_moved = _moved(photographs), _moved(grey)
    moving = "change of a gradient, last instead of first of a tie"
    return Finding(
        {
            "windows whose largest value is a tie at 0, photographs": (100 * at_zero, "%"),
            "windows whose largest value is a tie above 0, photographs": (100 * above, "%"),
            "windows whose largest value is a tie above 0, grey picture": (100 * grey_above, "%"),
            f"{moving}, photographs": (moved, "of the largest"),
            f"{moving}, grey picture": (grey_moved, "of the largest"),
        },
        {
            "On photographs, many windows after a ReLU are tied at 0 and few above 0. Which "
            "element of a tie takes the gradient changes no gradient, of the images or of any "
            "parameter.": at_zero > 0.01 > above and moved < _SAME,
            "On a picture of one colour more windows are tied above 0, and taking the last "
            "element changes a gradient by more than a hundredth of its largest element.": (
                grey_above > 0.01 and grey_moved > 0.01
            ),
        },
    )


def _torch_at(compute: Callable[[Any], Any], values: Any) -> NDArray[np.float64]:
    """The gradient, flattened, of the sum of ``compute`` at these values."""
    torch, _ = frameworks()
    at = torch.tensor(np.asarray(values), requires_grad=True)
    found: NDArray[np.float64] = torch.autograd.grad(compute(at).sum(), at)[0].numpy().ravel()
    return found


def _keras_at(compute: Callable[[Any], Any], values: Any) -> NDArray[np.float64]:
    """The same in Keras on TensorFlow."""
    import tensorflow as tf

    at = tf.constant(np.asarray(values), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(at)
        computed = compute(at)
    found: NDArray[np.float64] = np.asarray(tape.gradient(computed, at)).ravel()
    return found


def _ties(images: NDArray[np.float64]) -> tuple[float, float]:
    """The shares of the pooling windows of ``tiny`` whose largest value occurs more than once.

    Returns:
        The share of ties at zero, and that of ties above zero.
    """
    torch, _ = frameworks()
    model = tiny.torch_model().double()
    values = torch.from_numpy(images)
    windows = zero = above = 0
    with torch.inference_mode():
        for module in model.features:
            if isinstance(module, torch.nn.MaxPool2d):
                split = values.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
                largest = split.amax(-1)
                tied = (split == largest[..., None]).sum(-1) > 1
                windows += tied.numel()
                zero += int((tied & (largest == 0)).sum())
                above += int((tied & (largest > 0)).sum())
            values = module(values)
    return zero / windows, above / windows


def _moved(images: NDArray[np.float64]) -> float:
    """How much gradients change if the last element of a tie takes the gradient, not the first.

    The largest change of any element, relative to its tensor's largest, among the gradients of the
    images and of every parameter; of the sum of the squared logits of ``tiny``, in float64.
    """
    torch, _ = frameworks()
    model = tiny.torch_model().double()

    class Last(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, maps: Any) -> Any:
            return torch.nn.functional.max_pool2d(maps.flip(2, 3), 2).flip(2, 3)

    def gradients() -> Any:
        values = torch.tensor(images, requires_grad=True)
        total = model(values).square().sum()
        return torch.autograd.grad(total, [values, *model.parameters()])

    first = gradients()
    for number, module in enumerate(model.features):
        if isinstance(module, torch.nn.MaxPool2d):
            model.features[number] = Last()
    return max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(gradients(), first, strict=True)
    )
