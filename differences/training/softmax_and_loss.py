"""Softmax or logits at the end, and what the cross-entropy divides by."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from differences.harness import tiny
from differences.harness.experiment import Claim, Figure, Finding
from differences.harness.frameworks import frameworks
from vgg16_parity.network import reference

TITLE: Final = "Softmax or logits, and the loss's reduction"
RULE: Final = (
    "End the network in logits, compute the loss from logits, and divide weighted losses by the "
    "same number."
)

Values = NDArray[np.float64]
Labels = NDArray[np.int64]
Part = tuple[list[Figure], list[Claim]]
# Two evaluations in float64, relative: some thousand roundings of 1.1e-16 stay far below.
_SAME: Final = 1e-12
_CLASS_WEIGHTS: Final = (0.5, 4.0)
_GAP: Final = 100.0


def run() -> Finding:
    """Give each framework's loss logits and probabilities, and weigh the classes."""
    torch, keras = frameworks()
    logits = reference.run_with_taps(tiny.checkpoint(), tiny.images())["predictions"]
    # Neither sure nor hopeless, and of two classes.
    labels = np.argsort(logits, axis=1)[(0, 1), (-2, -3)]
    parts = [part(torch, keras, logits, labels) for part in (_in_pytorch, _in_keras, _weighted)]
    return Finding(
        tuple(figure for figures, _ in parts for figure in figures),
        tuple(claim for _, claims in parts for claim in claims),
    )


def _in_pytorch(torch: Any, keras: Any, logits: Values, labels: Labels) -> Part:
    right, gradient = _pytorch(torch, logits, labels)
    same, _ = _keras(keras, logits, labels, from_logits=True)
    twice, small = _pytorch(torch, logits, labels, softmax=True)
    classes = logits.shape[1]
    # The best that anything can do: a probability of one for the right class.
    floor, _ = _pytorch(torch, np.eye(classes)[labels], labels)
    left = float(np.linalg.norm(small) / np.linalg.norm(gradient))
    return (
        [
            Figure("loss of logits, either framework", right),
            Figure("PyTorch's loss of probabilities", twice),
            Figure("the least that it can be, with 1,000 classes", floor),
            Figure("its gradient's length over the right one's", left),
        ],
        [
            Claim(
                "From logits the two means are the same to 1e-12 in float64, far above its "
                "rounding and far below any other difference here.",
                abs(same - right) <= _SAME * right,
            ),
            Claim(
                "PyTorch's loss takes the softmax of what it is given: a perfect answer given as "
                "probabilities still costs log(1 + (K - 1) / e), with K classes.",
                abs(floor - np.log1p((classes - 1) / np.e)) <= _SAME * floor,
            ),
            Claim("Probabilities leave less than a tenth of the gradient.", left < 0.1),
        ],
    )


def _in_keras(torch: Any, keras: Any, logits: Values, labels: Labels) -> Part:
    right, _ = _pytorch(torch, logits, labels)
    wrong, gradient = _keras(keras, logits, labels, from_logits=False)
    lost = float(np.mean(gradient == 0))
    sure = np.zeros((1, logits.shape[1]))
    sure[0, 0] = _GAP
    capped, dead = _keras(keras, sure, np.array([1]), from_logits=False, softmax=True)
    return (
        [
            Figure("Keras's loss of logits as it comes, from_logits=False", wrong),
            Figure("share of logits whose gradient it leaves at 0", lost),
            Figure("loss of logits 100 apart, from Keras's probabilities", capped),
        ],
        [
            Claim(
                "Given logits without from_logits=True, Keras raises nothing, is off by more than "
                "a twentieth, and leaves most gradients at exactly 0.",
                abs(wrong - right) > 0.05 * right and lost > 0.5,
            ),
            Claim(
                "Keras clips probabilities at 1e-7: a sure and wrong answer costs at most "
                "-log(1e-7) and has no gradient.",
                abs(capped + np.log(1e-7)) < 1e-3 and not dead.any(),
            ),
        ],
    )


def _weighted(torch: Any, keras: Any, logits: Values, labels: Labels) -> Part:
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
    return (
        [Figure("Keras's weighted mean over PyTorch's", by_count / by_weights)],
        [
            Claim(
                "With class weights PyTorch divides by the sum of the weights, Keras by the number "
                "of images; reduction='mean_with_sample_weight' divides as PyTorch does.",
                abs(by_count - expected) <= _SAME * expected
                and abs(other - by_weights) <= _SAME * by_weights,
            ),
        ],
    )


def _pytorch(
    torch: Any,
    outputs: Values,
    labels: Labels,
    *,
    softmax: bool = False,
    weight: Any = None,
) -> tuple[float, Values]:
    """The loss of (N, classes) in float64, and its gradient; through a softmax where asked."""
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
