"""Dropout: the meaning of its rate, its scaling, and when it is active."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import keras_impl
from differences.harness import tiny
from differences.harness.experiment import Finding
from differences.harness.frameworks import frameworks
from vgg16_spec.layouts import contiguous, nchw_to_nhwc

TITLE = "Dropout"
RULE = (
    "Call `eval()` on a PyTorch model before comparing or exporting it, pass `training=False` "
    "in Keras, and never compare two frameworks with dropout active."
)

_RATE = 0.3
_COUNT = 100_000


def run() -> Finding:
    """Apply dropout to ones in both frameworks, and run ``tiny`` in its initial mode."""
    return _layers() | _network()


def _layers() -> Finding:
    """Each framework's layer on ones, in training mode."""
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
        {
            "dropped at 0.3, PyTorch": dropped[0],
            "dropped at 0.3, Keras": dropped[1],
            "value of a kept 1, PyTorch": float(ours.max()),
            "value of a kept 1, Keras": float(theirs.max()),
            "elements at which both masks of seed 0 agree": (100 * agree, "%"),
        },
        {
            "In both frameworks the rate is the share that is dropped; the observed share is "
            "within 0.005 of it.": all(abs(share - _RATE) < 0.005 for share in dropped),
            "Both divide kept values by 1 - 0.3 in training, up to rounding, so that nothing is "
            "scaled in inference.": all(_is_rounded(v, _RATE) for v in (ours, theirs)),
            "The same seed gives different masks: they agree as often as by chance.": (
                abs(agree - chance) < 0.01
            ),
        },
    )


def _network() -> Finding:
    """The logits of ``tiny`` with dropout active and inactive."""
    torch, _ = frameworks()
    model = tiny.torch_model()
    images = torch.from_numpy(tiny.images())
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        built = tiny.deviations(model.train()(images).numpy())
        evaluated = tiny.deviations(model.eval()(images).numpy())
    called, training = _keras_deviations()
    return Finding(
        {
            "error of the logits of a new model, PyTorch": (built, tiny.UNIT),
            "the same after `eval()`": (evaluated, tiny.UNIT),
            "error of the logits of a new model, Keras": (called, tiny.UNIT),
            "the same with `training=True`": (training, tiny.UNIT),
        },
        {
            "A PyTorch model drops until `eval()` is called; a Keras model drops only when "
            "called with `training=True`.": (
                torch.nn.Dropout().training
                and built > tiny.FAR >= tiny.LIMIT >= max(evaluated, called)
            ),
            "With dropout active, the logits of either are off by more than a thousand times "
            "the limit.": min(built, training) > tiny.FAR,
        },
    )


def _keras_deviations() -> tuple[float, float]:
    """The errors of Keras's logits, called without ``training`` and with ``training=True``."""
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
    """Whether every element is 0 or 1 / (1 - rate), up to two roundings of float32."""
    kept = dropped[dropped != 0]
    return bool(np.all(np.abs(kept * (1 - rate) - 1) < 4 * 2.0**-24))
