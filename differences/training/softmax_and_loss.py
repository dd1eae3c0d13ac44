"""Softmax or logits at the end, and the divisor of the cross-entropy."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from differences.harness import tiny
from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks
from vgg16_parity.network import reference

TITLE: Final = "Softmax or logits, and the loss's reduction"
RULE: Final = (
    "End the network in logits, compute the loss from logits, and divide weighted losses by the "
    "same number."
)

Values = NDArray[np.float64]
Labels = NDArray[np.int64]
# Two evaluations in float64, relative: some thousand roundings of 1.1e-16 stay far below.
_SAME: Final = 1e-12
_CLASS_WEIGHTS: Final = (0.5, 4.0)
_GAP: Final = 100.0


def run() -> Finding:
    """Pass logits and probabilities to each framework's loss, then weight the classes."""
    torch, keras = frameworks()
    logits = reference.run_with_taps(tiny.checkpoint(), tiny.images())["predictions"]
    # Neither sure nor hopeless, and of two classes.
    labels = np.argsort(logits, axis=1)[(0, 1), (-2, -3)]
    given = (torch, keras, logits, labels)
    return _in_pytorch(*given) | _in_keras(*given) | _weighted(*given)


def _in_pytorch(torch: Any, keras: Any, logits: Values, labels: Labels) -> Finding:
    right, gradient = _pytorch(torch, logits, labels)
    same, _ = _keras(keras, logits, labels, from_logits=True)
    twice, small = _pytorch(torch, logits, labels, softmax=True)
    classes = logits.shape[1]
    # The best that anything can do: a probability of one for the right class.
    floor, _ = _pytorch(torch, np.eye(classes)[labels], labels)
    left = float(np.linalg.norm(small) / np.linalg.norm(gradient))
    return Finding(
        {
            "loss of logits, either framework": right,
            "PyTorch's loss of probabilities": twice,
            "its minimum with 1,000 classes": floor,
            "length of its gradient over the right one's": left,
        },
        {
            "From logits both losses agree to 1e-12 in float64, far above its rounding and far "
            "below any other difference on this page.": abs(same - right) <= _SAME * right,
            "PyTorch's loss applies softmax to its input: a perfect answer passed as "
            "probabilities still costs log(1 + (K - 1) / e), with K classes.": (
                abs(floor - np.log1p((classes - 1) / np.e)) <= _SAME * floor
            ),
            "With probabilities, less than a tenth of the gradient remains.": left < 0.1,
        },
    )


def _in_keras(torch: Any, keras: Any, logits: Values, labels: Labels) -> Finding:
    right, _ = _pytorch(torch, logits, labels)
    wrong, gradient = _keras(keras, logits, labels, from_logits=False)
    lost = float(np.mean(gradient == 0))
    sure = np.zeros((1, logits.shape[1]))
    sure[0, 0] = _GAP
    capped, dead = _keras(keras, sure, np.array([1]), from_logits=False, softmax=True)
    return Finding(
        {
            "Keras's loss of logits by default, from_logits=False": wrong,
            "share of logits whose gradient is then 0": lost,
            "loss of logits 100 apart, from Keras's probabilities": capped,
        },
        {
            "Given logits without from_logits=True, Keras raises no error, is off by more than "
            "a twentieth, and makes most gradients exactly 0.": (
                abs(wrong - right) > 0.05 * right and lost > 0.5
            ),
            "Keras clips probabilities at 1e-7: a confident wrong answer costs at most "
            "-log(1e-7) and has no gradient.": abs(capped + np.log(1e-7)) < 1e-3 and not dead.any(),
        },
    )


def _weighted(torch: Any, keras: Any, logits: Values, labels: Labels) -> Finding:
    weights = np.ones(logits.shape[1])
    weights[labels] = _CLASS_WEIGHTS
    by_weights, _ = _pytorch(torch, logits, labels, weight=torch.from_numpy(weights))
    by_count, other = (
        float(
            keras.losses.SparseCategoricalCrossentropy(
                from_logits=True, dtype="float64", reduction=reduction
            )(labels, logits, sample_weight=weights[labels])
        )
        for reduction in ("sum_over_batch_size", "mean_with_sample_weight")
    )
    expected = by_weights * weights[labels].mean()
    return Finding(
        {
            "Keras's weighted mean over PyTorch's": by_count / by_weights,
        },
        {
            "With class weights PyTorch divides by the sum of the weights, Keras by the number "
            "of images; reduction='mean_with_sample_weight' divides as PyTorch does.": (
                abs(by_count - expected) <= _SAME * expected
                and abs(other - by_weights) <= _SAME * by_weights
            ),
        },
    )


def _pytorch(
    torch: Any,
    outputs: Values,
    labels: Labels,
    *,
    softmax: bool = False,
    weight: Any = None,
) -> tuple[float, Values]:
    """The loss of (N, classes) in float64 and its gradient, through a softmax if asked for."""
    given = torch.tensor(outputs, requires_grad=True)
    read = torch.softmax(given, 1) if softmax else given
    loss = torch.nn.CrossEntropyLoss(weight=weight)(read, torch.from_numpy(labels))
    loss.backward()
    return loss.item(), given.grad.numpy()


def _keras(
    keras: Any,
    outputs: Values,
    labels: Labels,
    *,
    from_logits: bool,
    softmax: bool = False,
) -> tuple[float, Values]:
    """The same in Keras."""
    import tensorflow as tf

    given = tf.constant(outputs)
    measure = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits, dtype="float64")
    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = measure(labels, tf.nn.softmax(given) if softmax else given)
    return float(loss), tape.gradient(loss, given).numpy()
