"""Dropout: which number is given, what is scaled, and when it is on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import keras_impl
from differences.harness import tiny
from differences.harness.experiment import Claim, Figure, Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.layouts import contiguous, nchw_to_nhwc

TITLE = "Dropout"
RULE = (
    "Call `eval()` on a PyTorch model before it is compared or exported, and pass `training=False` "
    "in Keras to say the same; never compare two frameworks with dropout on."
)

_RATE = 0.3
_COUNT = 100_000


def run() -> Finding:
    """Drop ones in both frameworks, and run ``tiny`` as it is after it was built."""
    layers, network = _layers(), _network()
    return Finding(layers.figures + network.figures, layers.claims + network.claims)


def _layers() -> Finding:
    """The layer of each framework on ones, in training mode."""
    torch, keras = frameworks()
    ones = np.ones((1, _COUNT), np.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = torch.nn.Dropout(_RATE)(torch.from_numpy(ones)).numpy()
    theirs = np.asarray(keras.layers.Dropout(_RATE, seed=0)(ones, training=True))
    masks = [values == 0 for values in (ours, theirs)]
    dropped = [float(mask.mean()) for mask in masks]
    agree = float((masks[0] == masks[1]).mean())
    chance = _RATE**2 + (1 - _RATE) ** 2
    return Finding(
        (
            Figure("dropped at 0.3, PyTorch", dropped[0]),
            Figure("dropped at 0.3, Keras", dropped[1]),
            Figure("what a kept 1 becomes, PyTorch", float(ours.max())),
            Figure("what a kept 1 becomes, Keras", float(theirs.max())),
            Figure("elements on which both masks of seed 0 agree", 100 * agree, "%"),
        ),
        (
            Claim(
                "Both are given the share that is dropped, to half a percent of what was drawn.",
                all(abs(share - _RATE) < 0.005 for share in dropped),
            ),
            Claim(
                "Both divide what is kept by 1 - 0.3 while they train, up to rounding, so that "
                "nothing is scaled when the network is used.",
                all(_is_rounded(v, _RATE) for v in (ours, theirs)),
            ),
            Claim(
                "One seed gives two masks: they agree as often as chance would have it.",
                abs(agree - chance) < 0.01,
            ),
        ),
    )


def _network() -> Finding:
    """The logits of ``tiny``, with dropout and without."""
    torch, _ = frameworks()
    model = tiny.torch_model()
    images = torch.from_numpy(tiny.images())
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        built = tiny.deviations(model.train()(images).numpy())
        evaluated = tiny.deviations(model.eval()(images).numpy())
    called, training = _keras_deviations()
    return Finding(
        (
            Figure("logits of a model as it was built, PyTorch", built, tiny.UNIT),
            Figure("the same after `eval()`", evaluated, tiny.UNIT),
            Figure("logits of a model as it was built, Keras", called, tiny.UNIT),
            Figure("the same with `training=True`", training, tiny.UNIT),
        ),
        (
            Claim(
                "A PyTorch model drops until `eval()` is called; a Keras model that is called "
                "drops only with `training=True`.",
                torch.nn.Dropout().training
                and built > tiny.FAR >= tiny.LIMIT >= max(evaluated, called),
            ),
            Claim(
                "With dropout on, the logits of either are more than a thousand times beyond the "
                "limit.",
                min(built, training) > tiny.FAR,
            ),
        ),
    )


def _keras_deviations() -> tuple[float, float]:
    """How far off Keras's logits are, called without a word, and with ``training=True``."""
    _, keras = frameworks()

    def seeded(layer: Any) -> Any:
        seed = {"seed": 0} if isinstance(layer, keras.layers.Dropout) else {}
        return type(layer).from_config(layer.get_config() | seed)

    model = keras.models.clone_model(tiny.keras_model(), clone_function=seeded)
    keras_impl.load_checkpoint(model, tiny.checkpoint())
    images = contiguous(nchw_to_nhwc(tiny.images()))
    called, training = model(images), model(images, training=True)
    return tiny.deviations(np.asarray(called)), tiny.deviations(np.asarray(training))


def _is_rounded(dropped: NDArray[np.float32], rate: float) -> bool:
    """Whether every element is 0 or 1 / (1 - rate), to two roundings of float32."""
    kept = dropped[dropped != 0]
    return bool(np.all(np.abs(kept * (1 - rate) - 1) < 4 * 2.0**-24))
