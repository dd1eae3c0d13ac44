"""Weights with fewer bits than a run claims: what they explain, and how that is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pytest

from parity_tests.support.arithmetic.planted_errors import (
    ABOVE,
    FC1,
    FC2,
    FIRST,
    LAST,
    OF_BFLOAT16,
    SECOND,
    SMALL,
    run,
    told,
    walked,
)
from vgg16_parity.judge.evidence import WOULD_HOLD
from vgg16_parity.judge.precision import find_precision
from vgg16_parity.network.arithmetic import PLAIN
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_weights.comparison.known_mistakes import TO_BFLOAT16, TO_FLOAT16


@pytest.fixture(scope="module")
def small() -> Checkpoint:
    return generate(SMALL, 1)


ROUNDED: Final = {"bfloat16": TO_BFLOAT16, "float16": TO_FLOAT16}


def with_rounded(checkpoint: Checkpoint, change: Any, kinds: Sequence[str], *layers: str) -> Any:
    names = [f"{layer}.{kind}" for layer in layers for kind in kinds]
    return checkpoint.with_tensors({name: change.make(checkpoint[name]) for name in names})


@pytest.mark.parametrize("name", ROUNDED)
@pytest.mark.parametrize("kinds", [("weight", "bias"), ("weight",)])
@pytest.mark.parametrize("layers", [(FC1,), (SECOND, FC2), (FIRST, SECOND, FC1, FC2, LAST)])
def test_weights_that_were_rounded_explain_what_they_explain(
    small: Checkpoint, name: str, kinds: tuple[str, ...], layers: tuple[str, ...]
) -> None:
    biases = np.random.default_rng(4)
    checkpoint = small.with_tensors(
        {
            f"{each.name}.bias": biases.uniform(0.5, 1, small[f"{each.name}.bias"].shape).astype(
                np.float32
            )
            for each in SMALL.weighted_layers
        }
    )
    rounded = with_rounded(checkpoint, ROUNDED[name], kinds, *layers)
    taps = walked(rounded)
    # Further mistakes behind do not matter.
    taps[LAST] = taps[LAST] + (np.float32(0.5) if LAST not in layers else 0)
    evidence = run(checkpoint, taps, {layers[0]: 2.0**-9.5, LAST: 1.0}, worst=1)
    told_layers = layers if LAST in layers else (*layers, LAST)
    first, *_ = find_precision(evidence)
    where = "all layers" if len(layers) == 5 else ", ".join(told_layers)
    assert told([first]) == [f"{WOULD_HOLD}with the weights of {where} {ROUNDED[name].words}"]
    assert first.arithmetic is PLAIN
    assert first.checkpoint is not None
    for tensor in checkpoint:
        if not tensor.startswith(LAST) or LAST in layers:
            assert np.array_equal(first.checkpoint[tensor], rounded[tensor]), tensor
    # An error of another size is not looked into.
    assert not list(find_precision(run(checkpoint, taps, {layers[0]: 1.0, LAST: 1.0})))


@pytest.mark.parametrize(("left", "explains"), [(0.12, True), (0.13, False)])
def test_rounded_weights_explain_an_error_of_which_an_eighth_is_left(
    small: Checkpoint, left: float, explains: bool
) -> None:
    taps = walked(small)
    rounded = walked(with_rounded(small, TO_BFLOAT16, ("weight",), FC1))[FC1]
    away = rounded - taps[FC1]
    taps[FC1] = rounded + np.float32(left / (1 - left)) * away
    found = told(list(find_precision(run(small, taps, {FC1: OF_BFLOAT16}))))
    assert any("with the weights of" in note for note in found) == explains


def test_weights_beyond_float16_explain_nothing_and_warn_of_nothing(small: Checkpoint) -> None:
    weight = np.array(small[f"{FC1}.weight"])
    weight[:2] *= np.float32(1e7)
    large = small.with_tensors({f"{FC1}.weight": weight})
    taps = walked(large, {FC1: ABOVE})
    found = told(list(find_precision(run(large, taps, {FC1: OF_BFLOAT16}))))
    assert found == [f"{WOULD_HOLD}as bfloat16 in {FC1}"]
