"""The variance predicted at each layer of a network is that of real arithmetic, from both sides."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.limits import Tolerance
from parity_tests.support.arithmetic import rounding
from parity_tests.support.arithmetic.rounding import ALL
from parity_tests.support.tolerances import UNIFORM_MANTISSAS
from vgg16_parity.network.prediction import predict
from vgg16_spec.architecture import Configuration
from vgg16_spec.checkpoint.seeded import generate

# Of every kind of layer, and no two of one size.
NETWORK: Final = Configuration(
    "small", ("3-8 1-6", "3-12"), hidden_units=40, input_size=8, classes=30
)
SEEDS: Final = range(3)
IMAGES: Final = 48
ROUNDED: Final = Tolerance(
    UNIFORM_MANTISSAS.limit,
    "observed over predicted variance where values are rounded to the nearest: their mantissas'",
)
TRUNCATED: Final = Tolerance(
    0.93,
    "the same where operands are truncated: inputs of one sign lose their mean, which is predicted "
    "as it is, and what is left varies as a rounding does",
)
FIT: Final = Tolerance(
    1.5,
    "How far the observed variance of a layer may lie from that share, as a factor either way, "
    "summed over three seeds: 0.69 to 1.19 times it were measured. The least are sums of inputs "
    "that are zero behind a ReLU or at an edge, whose terms do not round.",
)


def taken(values: NDArray[np.float32], shown: NDArray[np.bool_]) -> float:
    return float(np.square(np.where(shown, values, 0), dtype=np.float64).sum())


@pytest.mark.parametrize("kind", ["accumulated", "local"])
@pytest.mark.parametrize("mode", ALL)
def test_each_layer_rounds_as_predicted(mode: str, kind: str) -> None:
    observed, predicted = dict[str, float](), dict[str, float]()
    for seed in SEEDS:
        checkpoint = generate(NETWORK, seed)
        shape = (IMAGES, *NETWORK.input_shape)
        images = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        taps = list(predict(checkpoint, images, [ALL[mode]]))
        given = {tap.tap: tap.values.astype(np.float32) for tap in taps}
        found = rounding.network(checkpoint, images, mode, given if kind == "local" else None)
        assert list(found) == list(NETWORK.taps)
        for tap in taps:
            shown = (tap.preactivation > 0) | np.array(not tap.relu)
            errors = np.square(found[tap.tap] - tap.values).sum()
            deviation = getattr(tap, kind)[mode]
            observed[tap.tap] = observed.get(tap.tap, 0) + float(errors)
            predicted[tap.tap] = predicted.get(tap.tap, 0) + taken(deviation, shown)
    for name, variance in observed.items():
        # What pooling is given is rounded to the nearest in any mode.
        alone = kind == "local" and name.endswith("pool")
        expected = TRUNCATED if mode == rounding.TRUNCATED and not alone else ROUNDED
        share = variance / predicted[name] / expected.limit
        assert 1 / FIT.limit < share < FIT.limit, (name, share)
