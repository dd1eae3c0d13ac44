"""Which layers compute in fewer bits than a run claims, and how that is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from onnx_arbiter.numeric_modes import MODES, Mode
from parity_tests.support.arithmetic.planted_errors import (
    ABOVE,
    BELOW,
    BFLOAT16,
    FC1,
    FC2,
    FIRST,
    FLOAT16,
    FLOAT32,
    LARGEST,
    LAST,
    OF_BFLOAT16,
    SECOND,
    SMALL,
    TF32,
    run,
    told,
    walked,
)
from vgg16_parity.judge.evidence import WOULD_HOLD
from vgg16_parity.judge.precision import find_precision
from vgg16_parity.network.arithmetic import Arithmetic
from vgg16_parity.network.reference import layer_alone
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_weights.comparison.known_mistakes import TO_BFLOAT16, TO_FLOAT16


@pytest.fixture(scope="module")
def small() -> Checkpoint:
    return generate(SMALL, 1)


@pytest.mark.parametrize(
    ("layers", "words", "modes"),
    [
        ((FIRST, SECOND, FC1, FC2, LAST), "throughout", {FIRST: BFLOAT16}),
        ((SECOND, FC1, FC2, LAST), f"from {SECOND} on", {SECOND: BFLOAT16}),
        ((FC2, LAST), f"from {FC2} on", {FC2: BFLOAT16}),
        ((LAST,), f"in {LAST}", {LAST: BFLOAT16}),
        ((FIRST, SECOND, FC1), f"from {FIRST} to {FC1}", {FIRST: BFLOAT16, FC2: FLOAT32}),
        (
            (SECOND, FC1, FC2),
            f"from {SECOND} to {FC2}",
            {SECOND: BFLOAT16, LAST: FLOAT32},
        ),
        ((FIRST, SECOND), f"in {FIRST}, {SECOND}", {FIRST: BFLOAT16, FC1: FLOAT32}),
        ((FC1,), f"in {FC1}", {FC1: BFLOAT16, FC2: FLOAT32}),
        (
            (FIRST, FC1, FC2),
            f"in {FIRST}, {FC1}, {FC2}",
            {FIRST: BFLOAT16, SECOND: FLOAT32, FC1: BFLOAT16, LAST: FLOAT32},
        ),
    ],
)
def test_the_layers_with_larger_errors_of_their_own_are_named(
    small: Checkpoint, layers: tuple[str, ...], words: str, modes: Mapping[str, Mode]
) -> None:
    own = {layer.name: ABOVE if layer.name in layers else BELOW for layer in SMALL.weighted_layers}
    taps = walked(small, own)
    (only,) = find_precision(run(small, taps, {FIRST: OF_BFLOAT16, LAST: 1.0}))
    assert only.arithmetic == Arithmetic(modes=modes)
    assert told([only]) == [f"{WOULD_HOLD}as bfloat16 {words}"]
    (only,) = find_precision(run(small, taps, {FIRST: OF_BFLOAT16, LAST: 1.0}, optional=True))
    more = " (a port is judged so with --port-mode bfloat16)"
    assert told([only]) == [f"{WOULD_HOLD}as bfloat16 {words}{more if len(layers) == 5 else ''}"]


@pytest.mark.parametrize(
    ("mode", "error", "tried"),
    [
        (FLOAT32, OF_BFLOAT16, [BFLOAT16]),
        (FLOAT32, 2.0**-11, [TF32, FLOAT16]),
        (FLOAT32, 2.0**-19, []),
        # No other mode has as few bits or fewer.
        (FLOAT16, 2.0**-11, [TF32]),
        (MODES["tf32"], 2.0**-11, [FLOAT16]),
        (BFLOAT16, 2.0**-9.5, []),
    ],
)
def test_modes_of_that_size_with_no_more_bits_are_tried(
    small: Checkpoint, mode: Mode, error: float, tried: list[Mode]
) -> None:
    taps = walked(small, {FC1: 2.0**-6})
    found = list(find_precision(run(small, taps, {FC1: error, FC2: 1.0, LAST: 2.0}, mode)))
    assert [each.arithmetic for each in found] == [
        Arithmetic(modes={FC1: each, FC2: mode}) for each in tried
    ]
    assert told(found) == [f"{WOULD_HOLD}as {each.name} in {FC1}" for each in tried]


@pytest.mark.parametrize(
    ("every", "error", "tried"),
    [
        # In unit roundoffs of bfloat16, for values of rms 1.
        (True, 0.124, False),
        (True, 0.126, True),
        (True, 7.9, True),
        (True, 8.1, False),
        # Where taps are missing, an error may have come a long way.
        (False, 0.24, False),
        (False, 0.26, True),
        (False, 31.9, True),
        (False, 32.1, False),
    ],
)
def test_a_mode_is_tried_on_errors_of_about_its_roundoff(
    small: Checkpoint, every: bool, error: float, tried: bool
) -> None:
    taps = walked(small, {FC1: 2.0**-6})
    some = taps if every else {FC1: taps[FC1], LAST: taps[LAST]}
    found = told(list(find_precision(run(small, some, {FC1: error * 2.0**-8}))))
    assert any("bfloat16" in note for note in found) is tried


def test_a_layer_of_a_mode_that_stores_fewer_bits_may_err_by_two_roundoffs(
    small: Checkpoint,
) -> None:
    for factor, named in ((0.95, ()), (1.05, (FC1,))):
        taps = walked(small, {FC1: factor * 2 * FLOAT16.stored})
        found = list(find_precision(run(small, taps, {FC1: OF_BFLOAT16}, FLOAT16)))
        assert told(found) == [f"{WOULD_HOLD}as bfloat16 in {name}" for name in named]


def test_nothing_is_said_of_what_holds_is_not_finite_or_is_extreme(small: Checkpoint) -> None:
    taps = walked(small, {FC1: ABOVE})
    error = {FC1: OF_BFLOAT16}
    assert len(list(find_precision(run(small, taps, error)))) == 1
    assert not list(find_precision(run(small, taps, {})))
    assert not list(find_precision(run(small, taps, error | {LAST: np.inf})))
    assert not list(find_precision(run(small, taps, error, extreme=True)))
    assert not list(find_precision(run(small, walked(small), error)))


def test_where_the_arbiter_has_nothing_but_zeros_no_mode_has_that_size(small: Checkpoint) -> None:
    dark = small.with_tensors(
        {f"{FC1}.bias": np.full(30, -1e3, np.float32), f"{FC2}.bias": np.zeros(30, np.float32)}
    )
    taps = walked(dark) | {FC1: np.full((3, 30), 0.5, np.float32)}
    assert not list(find_precision(run(dark, taps, {FC1: 1.0})))


@pytest.mark.parametrize(
    ("given", "failing", "start"),
    [
        ((LAST,), (LAST,), FIRST),
        ((FIRST, FC1, LAST), (FIRST, LAST), FIRST),
        ((FIRST, FC1, LAST), (FC1, LAST), SECOND),
        ((FIRST, "block1_pool", FC1, LAST), (FC1, LAST), SECOND),
        ((SECOND, FC1, LAST), (FC1,), FC1),
        ((SECOND, FC2, LAST), (LAST,), LAST),
    ],
)
def test_without_every_tap_the_layers_behind_the_last_that_holds_may_have_them(
    small: Checkpoint, given: tuple[str, ...], failing: tuple[str, ...], start: str
) -> None:
    everything = walked(small, {layer.name: ABOVE for layer in SMALL.weighted_layers})
    taps = {name: everything[name] for name in given}
    error = dict.fromkeys(failing, 1.0) | {failing[0]: 2.0**-5}
    (only,) = find_precision(run(small, taps, error))
    where = f"from {start} on" if start != FIRST else "throughout"
    where = f"in {LAST}" if start == LAST else where
    size = f"errors are no larger than in bfloat16 {where}"
    assert told([only]) == [f"{size}: fewer bits, or a small mistake; taps tell which"]
    assert only.arithmetic == Arithmetic(modes={start: BFLOAT16})


@pytest.mark.parametrize("mode", [BFLOAT16, FLOAT16])
def test_values_that_are_stored_in_fewer_bits_tell_the_mode(small: Checkpoint, mode: Mode) -> None:
    stored = {BFLOAT16: TO_BFLOAT16, FLOAT16: TO_FLOAT16}[mode].make
    taps = walked(small, {FC2: ABOVE, LAST: ABOVE})
    # Between the roundoffs of both, at which either is tried.
    error = {FC2: 2.0**-9, LAST: 1.0}
    for rounded, modes in (
        ((), ["tf32", "bfloat16", "float16"]),
        ((FC2,), ["tf32", "bfloat16", "float16"]),
        ((LAST,), ["tf32", "bfloat16", "float16"]),
        ((FC2, LAST), [mode.name]),
        ((*taps,), [mode.name]),
    ):
        some = {
            name: stored(values) if name in rounded else values for name, values in taps.items()
        }
        found = list(find_precision(run(small, some, error)))
        assert [each.note.split()[3] for each in found] == modes, rounded
    # Of logits alone, too.
    logits = {LAST: stored(taps[LAST])}
    (only,) = find_precision(run(small, logits, {LAST: 2.0**-9}))
    assert told([only]) == [f"{WOULD_HOLD}as {mode.name} throughout"]
    whole = {LAST: np.round(taps[LAST])}
    (only,) = find_precision(run(small, whole, {LAST: 2.0**-9}))
    assert only.note.startswith(f"{WOULD_HOLD}as bfloat16")


@pytest.mark.parametrize("image", range(3))
def test_the_image_that_is_furthest_off_at_the_last_tap_tells(
    small: Checkpoint, image: int
) -> None:
    taps = walked(small, {FC1: ABOVE}, image)
    for worst in range(3):
        found = list(find_precision(run(small, taps, {FC1: OF_BFLOAT16}, worst=worst)))
        assert len(found) == (worst == image)


@pytest.mark.parametrize(
    ("dark", "wrong", "named"),
    [
        # Of 30 units: those that are dark, and those that err.
        (range(0), range(14), False),
        (range(0), range(17), True),
        (range(20), range(20, 30), True),
        (range(20), range(20, 24), False),
        (range(20), range(20), True),
        (range(30), range(0), False),
    ],
)
def test_most_of_the_units_that_are_lit_or_err_must_err(
    small: Checkpoint, dark: range, wrong: range, named: bool
) -> None:
    bias = np.full(30, 1e3, np.float32)
    bias[list(dark)] = -1e3
    checkpoint = small.with_tensors({f"{FC1}.bias": bias})
    taps = walked(checkpoint)
    right = taps[FC1].copy()
    errors = np.zeros(right.shape, np.float32)
    errors[:, list(wrong)] = 100 * LARGEST * max(float(np.sqrt(np.square(right).mean())), 1e-3)
    taps[FC1] = right + errors
    for name in (FC2, LAST):
        layer: Any = next(each for each in SMALL.layers if each.name == name)
        before = taps[{FC2: FC1, LAST: FC2}[name]]
        taps[name] = layer_alone(checkpoint, layer, before).values.astype(np.float32)
    evidence = run(checkpoint, taps, {FC2: OF_BFLOAT16})
    found = told(list(find_precision(evidence)))
    assert bool(found) is named
    assert all(note == f"{WOULD_HOLD}as bfloat16 in {FC1}" for note in found)
