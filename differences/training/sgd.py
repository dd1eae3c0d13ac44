"""SGD's velocity, and how weight decay enters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

TITLE: Final = "SGD's momentum and weight decay"
RULE: Final = (
    "Multiply the velocity by minus the learning rate when moving it to Keras, rescale it when "
    "the rate changes, and add λ·w to Keras's gradients instead of using its weight_decay."
)

Values = NDArray[np.float64]
# (gradient of w, learning rates of the steps) -> w and the velocity after each step.
_Steps = Iterator[tuple[Values, Values]]

# The paper's (section 3.1), rounded to float32 as Keras stores them.
_RATE: Final = float(np.float32(0.01))
_LOWER: Final = float(np.float32(0.001))
_MOMENTUM: Final = float(np.float32(0.9))
_DECAY: Final = float(np.float32(5e-4))
# The relative difference of two float64 runs: some tens of roundings of 1.1e-16 stay far below.
_SAME: Final = 1e-12
_DROP: Final = 20
_STEPS: Final = 40
_ALONE: Final = 100


def run() -> Finding:
    """Take the same steps in both: with a lower rate half-way, with decay, and with decay alone."""
    torch, keras = frameworks()
    start = np.random.Generator(np.random.Philox(16)).standard_normal(64)
    steps, decay = _lower_rate(torch, keras, start), _decay(torch, keras, start)
    return replace(steps | decay, draw=steps.draw)


def _lower_rate(torch: Any, keras: Any, start: Values) -> Finding:
    """Steps along a constant gradient, the rate falling half-way."""
    push = np.roll(start, 1)
    rates = [_RATE] * _DROP + [_LOWER] * (_STEPS - _DROP)
    ours = list(_torch(torch, start, lambda _: push, rates, 0.0))
    theirs = list(_keras(keras, start, lambda _: push, rates, None))
    lengths = [_lengths(start, taken) for taken in (ours, theirs)]
    after = [whole[_DROP] for whole in lengths]
    before = _DROP - 1
    return Finding(
        {
            "first step after the rate falls to a tenth: Keras's length over PyTorch's": (
                after[1] / after[0]
            ),
        },
        {
            "At a constant learning rate and without decay, w agrees to 1e-12 in float64, and "
            "Keras's velocity is PyTorch's times minus the learning rate.": (
                _apart(ours[before][0], theirs[before][0]) <= _SAME
                and _apart(-_RATE * ours[before][1], theirs[before][1]) <= _SAME
            ),
            "When the rate falls to a tenth, Keras's next step is more than five times as long "
            "as PyTorch's: its velocity still contains the old rate.": after[1] > 5 * after[0],
        },
        lambda picture: _draw(picture, lengths),
    )


def _decay(torch: Any, keras: Any, start: Values) -> Finding:
    """Steps along a constant gradient with decay, and with decay alone."""
    push, rates, alone = np.roll(start, 1), [_RATE] * _STEPS, [_RATE] * _ALONE
    coupled = [w for w, _ in _torch(torch, start, lambda _: push, rates, _DECAY)]
    decoupled = [w for w, _ in _keras(keras, start, lambda _: push, rates, _DECAY)]
    *_, (penalised, _) = _keras(keras, start, lambda w: push + _regularised(keras, w), rates, None)
    *_, (less, _) = _torch(torch, start, np.zeros_like, alone, _DECAY)
    *_, (more, _) = _keras(keras, start, np.zeros_like, alone, _DECAY)
    ours, theirs = (1 - float(np.linalg.norm(w) / np.linalg.norm(start)) for w in (less, more))
    return Finding(
        {
            **{
                f"decay: w apart after {count} step{'s' * (count > 1)}": (
                    _apart(coupled[count - 1], decoupled[count - 1]),
                    "of w",
                )
                for count in (1, 2, _STEPS)
            },
            f"{_ALONE} steps of decay alone: w shrinks in PyTorch by": ours,
            f"{_ALONE} steps of decay alone: w shrinks in Keras by": theirs,
        },
        {
            "After one step with decay w agrees in both, and after two it does not.": (
                _apart(coupled[0], decoupled[0]) <= _SAME
                and _apart(coupled[1], decoupled[1]) > 1000 * _SAME
            ),
            "PyTorch's decay goes through the momentum: alone, it shrinks w more than seven "
            "times as much as Keras's, approaching 1 / (1 - 0.9) = 10 times.": (
                7 < np.log1p(-ours) / np.log1p(-theirs) < 10
            ),
            "With the gradient of keras.regularizers.L2(λ / 2) instead of weight_decay, Keras "
            "arrives where PyTorch does.": _apart(coupled[-1], penalised) <= _SAME,
        },
    )


def _torch(
    torch: Any,
    start: Values,
    gradient: Callable[[Values], Values],
    rates: list[float],
    decay: float,
) -> _Steps:
    w = torch.tensor(start)
    optimizer = torch.optim.SGD([w], lr=rates[0], momentum=_MOMENTUM, weight_decay=decay)
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        w.grad = torch.tensor(gradient(w.numpy()))
        optimizer.step()
        yield w.numpy().copy(), optimizer.state[w]["momentum_buffer"].numpy().copy()


def _keras(
    keras: Any,
    start: Values,
    gradient: Callable[[Values], Values],
    rates: list[float],
    decay: float | None,
) -> _Steps:
    w = keras.Variable(start, dtype="float64")
    optimizer = keras.optimizers.SGD(rates[0], momentum=_MOMENTUM, weight_decay=decay)
    optimizer.build([w])
    for rate in rates:
        optimizer.learning_rate = rate
        optimizer.apply([keras.ops.convert_to_tensor(gradient(w.numpy()), dtype="float64")], [w])
        yield w.numpy().copy(), optimizer.momentums[0].numpy().copy()


def _regularised(keras: Any, w: Values) -> Values:
    """The gradient of the penalty that ``kernel_regularizer=L2(λ / 2)`` adds to the loss."""
    import tensorflow as tf

    read = tf.constant(w)
    with tf.GradientTape() as tape:
        tape.watch(read)
        penalty = keras.regularizers.L2(_DECAY / 2)(read)
    found: Values = tape.gradient(penalty, read).numpy()
    return found


def _apart(one: Values, other: Values) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(one))


def _lengths(start: Values, taken: list[tuple[Values, Values]]) -> list[float]:
    """The length of each step."""
    stations = [start, *(w for w, _ in taken)]
    pairs = zip(stations, islice(stations, 1, None), strict=False)
    return [float(np.linalg.norm(after - before)) for before, after in pairs]


def _draw(picture: Picture, lengths: list[list[float]]) -> None:
    axes = picture.subplots()
    for name, whole, style in zip(("PyTorch", "Keras"), lengths, ("o-", "s-"), strict=True):
        axes.plot(range(1, len(whole) + 1), whole, style, markersize=4, label=name)
    axes.axvline(_DROP + 0.5, color="grey", linestyle=":")
    longest = max(map(max, lengths))
    axes.text(_DROP + 0.8, 1.06 * longest, "learning rate / 10", color="grey")
    axes.set_ylim(0, 1.15 * longest)
    axes.set_xlabel("step, with a constant gradient")
    axes.set_ylabel("length of the step")
    axes.legend()
