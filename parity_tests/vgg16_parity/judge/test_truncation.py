"""TF32 of truncated operands is told from rounded ones, and from mistakes of that size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from differences.arithmetic import tf32
from onnx_arbiter.expectations import ArbiterCase, given
from onnx_arbiter.numeric_modes import MODES, TRUNCATED_TF32
from parity_tests.support.arithmetic import rounding
from parity_tests.support.arithmetic.layers import Layer, run_layers
from parity_tests.support.helpers import PICTURES
from vgg16_parity.inputs import pictures
from vgg16_parity.judge.alternatives import judge_again
from vgg16_parity.judge.evidence import Evidence
from vgg16_parity.judge.layers import judge_case
from vgg16_parity.judge.truncation import LOGITS_ALONE, NOTE, _slope, find_truncation
from vgg16_parity.network import reference
from vgg16_parity.network.prediction import expect
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.architecture import MaxPooling
from vgg16_spec.checkpoint import Checkpoint

Float32 = NDArray[np.float32]
Operands = Callable[[Any], Any]
# By what share truncation shrinks a layer's products, on average.
SHRUNK: Final = 2 * TRUNCATED_TF32.truncation_bias
TF32: Final = MODES["tf32"]


def bfloat16(values: Any) -> Any:
    return rounding.stored(values, "bfloat16")


@pytest.fixture(scope="module")
def expectation(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> ArbiterCase:
    folder: Path = tmp_path_factory.mktemp("expectation") / "case"
    return expect(tiny, pictures(tiny, PICTURES), [TF32, MODES["float32"]], folder)


def run(
    checkpoint: Checkpoint,
    images: Float32,
    operands: Operands,
    inputs: Mapping[str, Float32] | None = None,
    exact: tuple[str, ...] = (),
) -> dict[str, Float32]:
    """The taps, or the layers for given inputs, with operands read so, but in ``exact`` layers."""

    def computed(layer: Layer, values: Float32) -> Float32:
        if isinstance(layer, MaxPooling):
            pooled: Float32 = reference.windows(values).max(axis=-1)
            return pooled
        weight, bias = (checkpoint[f"{layer.name}.{kind}"] for kind in ("weight", "bias"))
        if layer.name not in exact:
            weight, values = operands(weight), operands(values)
        if values.ndim == 4 and weight.ndim == 2:
            values = reference.flatten(values)
        values = reference.multiply(layer, weight, values)
        values = values + reference.for_channels(bias, values)
        return np.maximum(values, 0) if layer.relu else values

    return run_layers(checkpoint.configuration, images, computed, inputs)


def judged(
    tiny: Checkpoint,
    expectation: ArbiterCase,
    operands: Operands,
    *,
    kind: str = "layers",
    wrong: Checkpoint | None = None,
    exact: tuple[str, ...] = (),
) -> CaseVerdict:
    """The verdict as TF32 of layers and taps, of taps, or of logits alone."""
    used, images = wrong or tiny, expectation.case.images
    taps = run(used, images, operands, exact=exact)
    layers = dict[str, Float32]()
    if kind == "layers":
        inputs = given(expectation.folder, tiny.configuration.taps[:-1])
        layers = run(used, images, operands, inputs, exact)
    if kind == "logits":
        taps = {expectation.last: taps[expectation.last]}
    verdict = judge_case(expectation, TF32, taps, layers, taps_optional=kind == "logits")
    shown = Evidence(tiny, expectation, TF32, taps, layers, verdict, kind == "logits")
    return judge_again(shown)[0]


@pytest.mark.parametrize("kind", ["layers", "taps"])
@pytest.mark.parametrize("exact", [(), ("block1_conv1", "fc1", "fc2", "predictions")])
def test_truncated_operands_hold_and_are_noted(
    tiny: Checkpoint, expectation: ArbiterCase, kind: str, exact: tuple[str, ...]
) -> None:
    verdict = judged(tiny, expectation, tf32.truncated, kind=kind, exact=exact)
    assert verdict.holds
    assert verdict.notes == (NOTE,)


def test_biases_are_no_operands(tiny: Checkpoint, tmp_path: Path) -> None:
    """They are added after the products, and lose nothing, however large they are."""
    first, *_ = tiny.configuration.weighted_layers
    bias = tiny[f"{first.name}.bias"] + np.float32(100)
    shifted = tiny.with_tensors({f"{first.name}.bias": bias})
    expectation = expect(shifted, pictures(tiny, PICTURES), [TF32], tmp_path / "case")
    taps = run(shifted, expectation.case.images, tf32.truncated)
    verdict = judge_case(expectation, TF32, taps, {})
    slope = _slope(Evidence(shifted, expectation, TF32, taps, {}, verdict), first)
    assert slope is not None
    assert 0.4 * SHRUNK < -slope < 1.3 * SHRUNK


def test_logits_alone_do_not_tell(tiny: Checkpoint, expectation: ArbiterCase) -> None:
    verdict = judged(tiny, expectation, tf32.truncated, kind="logits")
    assert not verdict.holds
    assert verdict.notes == (LOGITS_ALONE,)


@pytest.mark.parametrize("kind", ["layers", "taps", "logits"])
def test_operands_rounded_to_nearest_hold_without_a_note(
    tiny: Checkpoint, expectation: ArbiterCase, kind: str
) -> None:
    verdict = judged(tiny, expectation, tf32.nearest, kind=kind)
    assert verdict.holds
    assert verdict.notes == ()


def _shrink(tiny: Checkpoint, names: list[str]) -> Checkpoint:
    return tiny.with_tensors(
        {f"{name}.weight": tiny[f"{name}.weight"] * np.float32(1 - SHRUNK) for name in names}
    )


@pytest.mark.parametrize("kind", ["layers", "taps"])
def test_weights_of_half_the_layers_that_shrink_as_much_are_a_mistake(
    tiny: Checkpoint, expectation: ArbiterCase, kind: str
) -> None:
    names = [layer.name for layer in tiny.configuration.weighted_layers]
    for some in (names[:1], names[::2]):
        verdict = judged(tiny, expectation, tf32.nearest, kind=kind, wrong=_shrink(tiny, some))
        assert not verdict.holds, some
        assert not any(NOTE in note or "as tf32" in note for note in verdict.notes)


@pytest.mark.parametrize("kind", ["layers", "taps", "logits"])
def test_operands_of_fewer_bits_are_not_truncated_ones(
    tiny: Checkpoint, expectation: ArbiterCase, kind: str
) -> None:
    verdict = judged(tiny, expectation, bfloat16, kind=kind)
    assert not verdict.holds
    assert NOTE not in verdict.notes


def test_only_a_mode_that_rounds_operands_is_asked(
    tiny: Checkpoint, expectation: ArbiterCase
) -> None:
    taps = run(tiny, expectation.case.images, tf32.truncated)
    float32 = MODES["float32"]
    verdict = judge_case(expectation, float32, taps, {})
    shown = Evidence(tiny, expectation, float32, taps, {}, verdict)
    assert list(find_truncation(shown)) == []
    assert not judge_again(shown)[0].holds
