"""A port that has fewer bits than it claims stays broken and is told so; no other port is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from differences.arithmetic import tf32
from mistakes import in_torch
from mistakes.catalogue import MISTAKES, changed, prepared
from parity_tests.support.arithmetic.ports import DTYPES, run_in_modes
from parity_tests.support.helpers import PICTURES
from vgg16_parity.judge import diagnosis
from vgg16_parity.judge.evidence import WOULD_HOLD, Evidence
from vgg16_parity.own_port import Arbiter, explain
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_weights.comparison.known_mistakes import TO_BFLOAT16, TO_FLOAT16

# From which layers on a port computes in which mode -> what it is told.
TOLD: Final = {
    "float16": ({"block1_conv1": "float16"}, "as float16 throughout (a port is judged so with"),
    "bfloat16": ({"block1_conv1": "bfloat16"}, "as bfloat16 throughout (a port is judged so with"),
    "float16 from fc1 on": ({"fc1": "float16"}, "as float16 from fc1 on"),
    "bfloat16 from fc1 on": ({"fc1": "bfloat16"}, "as bfloat16 from fc1 on"),
    "one layer in bfloat16": (
        {"block2_conv1": "bfloat16", "block2_conv2": "float32"},
        "as bfloat16 in block2_conv1",
    ),
    "two layers in float16": (
        {"block3_conv2": "float16", "block3_pool": "float32"},
        "as float16 in block3_conv2, block3_conv3",
    ),
    "features in bfloat16": (
        {"block1_conv1": "bfloat16", "fc1": "float32"},
        "as bfloat16 from block1_conv1 to block5_conv3",
    ),
}


@pytest.fixture(scope="module")
def arbiter(tiny: Checkpoint) -> Iterator[Arbiter]:
    with Arbiter(tiny, PICTURES) as made:
        yield made


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the arbiter was asked to judge again."""
    asked: list[object] = []
    judge_as = Evidence.judge_as

    def counted(self: Evidence, *arguments: Any) -> CaseVerdict:
        asked.append(arguments)
        return judge_as(self, *arguments)

    monkeypatch.setattr(Evidence, "judge_as", counted)
    return asked


def notes_on(arbiter: Arbiter, computed: Any, **options: Any) -> str:
    """The notes on a port that must be broken."""
    row = arbiter.judge("mine", computed, **options)
    assert row.status == "broken"
    notes = "; ".join(row.cases[0].notes)
    assert notes in explain(row).replace("\n", "; ").replace("photographs: ", "")
    return notes


@pytest.mark.parametrize("name", TOLD)
def test_a_port_is_told_where_it_has_fewer_bits(
    arbiter: Arbiter, passes: list[object], name: str
) -> None:
    modes, told = TOLD[name]
    taps = run_in_modes(arbiter.checkpoint, arbiter.images, modes)
    assert notes_on(arbiter, taps).startswith(f"{WOULD_HOLD}{told}")
    assert len(passes) == 1


@pytest.mark.parametrize("mode", ["float16", "bfloat16"])
def test_logits_that_are_stored_in_fewer_bits_tell_the_mode(
    arbiter: Arbiter, passes: list[object], mode: str
) -> None:
    taps = run_in_modes(arbiter.checkpoint, arbiter.images, {"block1_conv1": mode})
    notes = notes_on(arbiter, taps["predictions"])
    assert notes.startswith(f"{WOULD_HOLD}as {mode} throughout (a port is judged so with")
    assert len(passes) == 1
    # What the note says is true.
    assert arbiter.judge("mine", taps, mode=mode).status == "holds"


@pytest.mark.parametrize("rounded", [tf32.nearest, tf32.truncated])
def test_products_in_tf32_are_told(arbiter: Arbiter, rounded: Any) -> None:
    taps = tf32.run_with_operands(arbiter.checkpoint, arbiter.images, rounded)
    del taps["flatten"]
    assert notes_on(arbiter, taps).startswith(f"{WOULD_HOLD}as tf32 throughout")
    # Logits alone could be a small mistake's.
    notes = notes_on(arbiter, taps["predictions"])
    assert notes.startswith("errors are no larger than in tf32 throughout: fewer bits, or a")


@pytest.mark.parametrize("change", [TO_FLOAT16, TO_BFLOAT16])
def test_weights_that_were_stored_in_fewer_bits_are_told(arbiter: Arbiter, change: Any) -> None:
    everywhere = replace(
        MISTAKES["weights in float16"], reweight=lambda _, values, __: change.make(values)
    )
    weights = changed(arbiter.checkpoint, everywhere)
    taps = run_in_modes(weights, arbiter.images, {})
    expected = f"{WOULD_HOLD}with the weights of all layers {change.words}"
    assert notes_on(arbiter, taps).startswith(expected)
    assert notes_on(arbiter, taps["predictions"]).startswith(expected)


@pytest.mark.parametrize("name", MISTAKES)
def test_no_planted_mistake_passes_for_a_mode(
    arbiter: Arbiter, passes: list[object], name: str
) -> None:
    mistake, port = MISTAKES[name], in_torch.Port("tiny")
    port.load(changed(arbiter.checkpoint, mistake))
    port.plant(name)
    taps = port.taps(prepared(arbiter.checkpoint, mistake, PICTURES))
    layers = port.layers(arbiter.images, arbiter.given)
    told = f"{WOULD_HOLD}with the weights of block2_conv2 rounded to float16"
    for options in ({"layers": layers}, {}):
        notes = notes_on(arbiter, taps, **options)
        assert notes.startswith(told) if name == "weights in float16" else WOULD_HOLD not in notes
    assert WOULD_HOLD not in notes_on(arbiter, taps["predictions"])
    assert len(passes) <= 3


@pytest.mark.parametrize("seed", range(3))
def test_a_port_in_float32_is_never_told_another_mode(
    passes: list[object], batch: Any, seed: int
) -> None:
    checkpoint = generate(configuration("tiny"), seed)
    with Arbiter(checkpoint, PICTURES) as arbiter:
        taps = run_in_modes(checkpoint, batch(checkpoint), {})
        for computed in (taps, {"predictions": taps["predictions"]}):
            row = arbiter.judge("mine", computed)
            assert row.status == "holds"
            assert not any("float" in note or "tf32" in note for note in row.cases[0].notes)
    assert passes == []


def test_a_port_that_is_judged_in_its_mode_is_not_told(
    arbiter: Arbiter, passes: list[object]
) -> None:
    for mode in set(DTYPES) - {"float32"}:
        taps = run_in_modes(arbiter.checkpoint, arbiter.images, {"block1_conv1": mode})
        row = arbiter.judge("mine", taps, mode=mode)
        assert (row.status, row.cases[0].notes) == ("holds", ())
    assert passes == []


def test_a_mistake_is_not_searched_for_where_fewer_bits_explain_a_port(
    arbiter: Arbiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diagnose(*_: object) -> str:
        raise AssertionError("searched")

    monkeypatch.setattr(diagnosis, "diagnose", diagnose)
    taps: Mapping[str, Any] = run_in_modes(arbiter.checkpoint, arbiter.images, {"fc1": "float16"})
    assert notes_on(arbiter, taps).startswith(WOULD_HOLD)


def test_without_every_tap_all_layers_behind_the_last_that_holds_are_meant(
    arbiter: Arbiter, passes: list[object]
) -> None:
    taps = run_in_modes(arbiter.checkpoint, arbiter.images, {"fc1": "float16"})
    names = ("block1_conv1", "block3_conv3", "block5_pool", "fc2", "predictions")
    some = {name: taps[name] for name in names}
    assert notes_on(arbiter, some).startswith(f"{WOULD_HOLD}as float16 from fc1 on")
    assert len(passes) == 1
    # The layers between two taps may have fewer bits as well as that of the second.
    del some["block5_pool"]
    assert notes_on(arbiter, some).startswith(f"{WOULD_HOLD}as float16 from block4_conv1 on")


@pytest.mark.parametrize("image", range(len(PICTURES)))
def test_the_image_that_is_furthest_off_tells_which_layers_have_fewer_bits(
    arbiter: Arbiter, passes: list[Any], image: int
) -> None:
    right = run_in_modes(arbiter.checkpoint, arbiter.images, {})
    weight = TO_FLOAT16.make(arbiter.checkpoint["block3_conv2.weight"])
    rounded = arbiter.checkpoint.with_tensors({"block3_conv2.weight": weight})
    taps = run_in_modes(rounded, arbiter.images, {})
    for name, values in right.items():
        others = np.arange(len(values)) != image
        taps[name][others] = values[others]
    arbiter.judge("mine", taps)
    (_, tried), *_ = passes
    assert np.array_equal(tried["block3_conv2.weight"], weight)


@pytest.mark.full
@pytest.mark.weekly
def test_vgg16_in_float16_from_fc1_on_is_told_in_one_pass(
    full: Checkpoint, passes: list[object]
) -> None:
    with Arbiter(full, PICTURES[:1]) as arbiter:
        taps = run_in_modes(full, arbiter.images, {"fc1": "float16"})
        assert notes_on(arbiter, taps).startswith(f"{WOULD_HOLD}as float16 from fc1 on")
    assert len(passes) == 1


def test_values_that_are_not_finite_are_no_precision(
    arbiter: Arbiter, passes: list[object]
) -> None:
    taps = run_in_modes(arbiter.checkpoint, arbiter.images, {})
    taps["fc1"][0, 0] = np.nan
    assert WOULD_HOLD not in notes_on(arbiter, taps)
    assert passes == []
