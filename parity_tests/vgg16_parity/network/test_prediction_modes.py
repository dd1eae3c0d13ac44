"""The predicted errors of a network that changes its mode on the way are those of its roundings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from differences.arithmetic import tf32
from onnx_arbiter.numeric_modes import MODES, TRUNCATED_TF32
from parity_tests.support.arithmetic import rounding
from parity_tests.support.arithmetic.ports import run_in_modes
from parity_tests.support.helpers import Batch
from parity_tests.support.tolerances import MODE_FIT, MODEL_FIT
from vgg16_parity.network import reference
from vgg16_parity.network.arithmetic import Arithmetic
from vgg16_parity.network.prediction import predict
from vgg16_spec.checkpoint import Checkpoint

# Layer -> the mode from there on.
MODES_ON_THE_WAY: Final[tuple[dict[str, str], ...]] = (
    {"fc1": "float16"},
    {"fc1": "bfloat16"},
    {"block1_conv1": "float16"},
    {"block2_pool": "bfloat16"},
    {"block2_conv1": "bfloat16", "block2_conv2": "float32"},
    {"block3_conv2": "float16", "block3_pool": "float32"},
)


def ratios(
    checkpoint: Checkpoint, images: NDArray[np.float32], modes: Mapping[str, str], local: bool
) -> Iterator[tuple[str, float]]:
    """Tap and rms(error) over rms(predicted)."""
    arithmetic = Arithmetic(modes={layer: MODES[mode] for layer, mode in modes.items()})
    predictions = list(predict(checkpoint, images, arithmetic=arithmetic))
    given = {tap.tap: tap.values.astype(np.float32) for tap in predictions} if local else None
    taps = run_in_modes(checkpoint, images, modes, given)
    for tap in predictions:
        deviation = (tap.local if local else tap.accumulated)["float32"]
        # A maximum of rounded values has the error of one of them.
        if not (local and tap.tap.endswith("pool")):
            yield tap.tap, rounding.ratio(tap, taps[tap.tap], deviation)


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("modes", MODES_ON_THE_WAY, ids=str)
def test_a_mode_that_begins_or_ends_on_the_way_is_predicted(
    tiny: Checkpoint, batch: Batch, modes: Mapping[str, str], local: bool
) -> None:
    found, mode = dict(ratios(tiny, batch(tiny), modes, local)), "float32"
    for layer in tiny.configuration.layers:
        mode = modes.get(layer.name, mode)
        if layer.name not in found:
            continue
        ratio = found[layer.name]
        assert ratio < MODE_FIT.limit, layer.name
        # Alone, a layer in float32 adds up in blocks, better than predicted.
        if mode != "float32" or not local:
            assert ratio > 1 / MODE_FIT.limit, layer.name


def test_a_whole_network_in_a_mode_is_one_that_begins_in_it(tiny: Checkpoint, batch: Batch) -> None:
    for mode in (MODES["float16"], MODES["bfloat16"]):
        switched = Arithmetic(modes={"block1_conv1": mode})
        pairs = zip(
            predict(tiny, batch(tiny), [mode]),
            predict(tiny, batch(tiny), arithmetic=switched),
            strict=True,
        )
        for plain, other in pairs:
            for kind in ("accumulated", "local"):
                ours, theirs = getattr(plain, kind)[mode.name], getattr(other, kind)["float32"]
                assert np.array_equal(ours, theirs), (plain.tap, kind)


def test_truncated_operands_begin_and_end_on_the_way(tiny: Checkpoint, batch: Batch) -> None:
    images = batch(tiny)
    exact = {tap.tap: tap for tap in predict(tiny, images)}
    modes = {"block2_conv1": TRUNCATED_TF32, "block2_conv2": MODES["float32"]}
    predicted = {t.tap: t for t in predict(tiny, images, arithmetic=Arithmetic(modes=modes))}
    layers = [layer for layer in tiny.configuration.weighted_layers if layer.name in modes]
    values: NDArray[Any] = exact["block1_pool"].values
    for layer, cut in zip(layers, (True, False), strict=True):
        weight, bias = (tiny[f"{layer.name}.{kind}"] for kind in ("weight", "bias"))
        if cut:
            weight, values = (tf32.truncated(each.astype(np.float32)) for each in (weight, values))
        values = reference.multiply(layer, weight, values.astype(np.float64))
        values = np.maximum(values + reference.for_channels(bias, values), 0)
        tap = predicted[layer.name]
        ratio = rounding.ratio(tap, values, tap.accumulated["float32"])
        assert 1 / MODEL_FIT.limit < ratio < MODEL_FIT.limit, layer.name
    # What follows carries the mean error and adds none.
    assert np.array_equal(
        predicted["block3_conv1"].local["float32"], exact["block3_conv1"].local["float32"]
    )
