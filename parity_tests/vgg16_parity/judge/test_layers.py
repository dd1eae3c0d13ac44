"""Judging layers: every kind of verdict, and no false alarm on fifty networks and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pytest
import torch

from mistakes import in_keras, in_torch
from mistakes.catalogue import FRAMEWORKS, Port
from onnx_arbiter.expectations import ArbiterCase, Case, Prediction, write_case
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.helpers import Batch
from vgg16_parity.judge import layers
from vgg16_parity.judge.layers import Run, compare_with_cpu, judge_case, judge_not_finite
from vgg16_parity.judge.uneven import LayerError
from vgg16_parity.own_port import Arbiter, explain
from vgg16_parity.verdicts import CaseVerdict
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.images.photographs import PHOTOGRAPHS

SEEDS: Final = range(50)
# Rounding in fewer bits: a tenth of the seeds, which is what their time allows.
FEW_SEEDS: Final = range(5)
HALVES: Final = {"bfloat16": torch.bfloat16, "float16": torch.float16}
LABELS: Final = (*(photograph.path.name for photograph in PHOTOGRAPHS), "noise")

# A seed -> the arbiter of its network on the photographs and noise of that seed.
Arbiters = Callable[[int], Arbiter]


@pytest.fixture(scope="module")
def arbiters(batch: Batch) -> Iterator[Arbiters]:
    made: list[Arbiter] = []

    @lru_cache
    def arbiter(seed: int) -> Arbiter:
        checkpoint = generate(configuration("tiny"), seed)
        shape = checkpoint.configuration.input_shape
        noise = np.random.default_rng(seed).standard_normal((1, *shape), np.float32)
        images = np.concatenate([batch(checkpoint), noise])
        made.append(Arbiter(checkpoint, case=Case("photographs and noise", images, LABELS)))
        return made[-1]

    yield arbiter
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def ports() -> Mapping[str, Port]:
    """One model a framework; a seed's weights are loaded into it."""
    return {"torch": in_torch.Port("tiny"), "keras": in_keras.Port("tiny")}


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("seed", SEEDS)
def test_float32_raises_no_false_alarm(
    arbiters: Arbiters, ports: Mapping[str, Port], framework: str, seed: int
) -> None:
    arbiter, port = arbiters(seed), ports[framework]
    port.load(arbiter.checkpoint)
    layers = port.layers(arbiter.images, arbiter.given)
    row = arbiter.judge(framework, port.taps(arbiter.images), layers=layers)
    assert row.status == "holds", explain(row)
    assert all(row.worst(kind) for kind in ("accumulated", "local"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", HALVES)
@pytest.mark.parametrize("seed", FEW_SEEDS)
def test_fewer_bits_raise_no_false_alarm(arbiters: Arbiters, mode: str, seed: int) -> None:
    arbiter, port = arbiters(seed), in_torch.Port("tiny")
    port.load(arbiter.checkpoint)
    port.model.to(HALVES[mode])
    taps, layers = port.taps(arbiter.images), port.layers(arbiter.images, arbiter.given)
    row = arbiter.judge(mode, taps, layers=layers, mode=mode)
    assert row.status == "holds", explain(row)
    # Judged as float32, the same values are wrong.
    assert arbiter.judge(mode, taps, layers=layers).first_wrong == "block1_conv1"


# A network of two taps on two images; predicted errors are 0.01 everywhere.
HIDDEN: Final = np.array([[1.0, -1.0, 2.0], [3.0, 0.5, -2.0]])
LOGITS: Final = np.array([[9.0, 8.0, 7.0], [5.0, 4.9, 1.0]])
RIGHT: Final = {"hidden": np.maximum(HIDDEN, 0), "logits": LOGITS}


def small_case(folder: Path, *, extreme: bool = False, scale: float = 1.0) -> ArbiterCase:
    sizes = {mode: np.full((2, 3), 0.01, np.float32) for mode in MODES}
    predictions = (
        Prediction("hidden", HIDDEN * scale, True, sizes, sizes),
        Prediction("logits", LOGITS, False, sizes, sizes),
    )
    images = np.ones((2, 3, 4, 4), np.float32)
    case = Case("small", images, ("one.png", "two.png"), extreme=extreme)
    return write_case(case, predictions, folder / "case")


def verdict_on(folder: Path, taps: Mapping[str, Any], **options: Any) -> CaseVerdict:
    return judge_case(small_case(folder), MODES["float32"], taps, {}, **options)


def test_taps_are_judged_in_the_networks_order(tmp_path: Path) -> None:
    verdict = verdict_on(tmp_path, dict(reversed(RIGHT.items())))
    assert [layer.tap for layer in verdict.layers] == ["hidden", "logits"]
    assert all(layer.accumulated.passed and layer.local is None for layer in verdict.layers)
    assert (verdict.reason, verdict.notes, len(verdict.decisions)) == ("", (), 2)


def test_a_missing_tap_fails_unless_it_may_be_missing(tmp_path: Path) -> None:
    logits = {"logits": LOGITS}
    expectation = small_case(tmp_path)
    hidden, _ = judge_case(expectation, MODES["float32"], logits, {}).layers
    assert hidden.accumulated.reason == "there is no such output"
    verdict = judge_case(expectation, MODES["float32"], logits, {}, taps_optional=True)
    assert [layer.tap for layer in verdict.layers] == ["logits"]
    # With local outputs, one of them may not be missing.
    local = judge_case(expectation, MODES["float32"], RIGHT, logits)
    assert [layer.local.passed for layer in local.layers if layer.local] == [False, True]


def test_an_unknown_tap_and_nothing_to_compare_fail(tmp_path: Path) -> None:
    verdict = verdict_on(tmp_path, {"conv9": HIDDEN}, taps_optional=True)
    assert verdict.reason == "no layer is called conv9; nothing was compared"


def test_classes_that_rounding_cannot_swap_fail_and_name_their_image(tmp_path: Path) -> None:
    swapped = {"hidden": RIGHT["hidden"], "logits": LOGITS[:, [1, 0, 2]]}
    verdict = verdict_on(tmp_path, swapped)
    # 0.1 apart in the second image: each logit may be off by 0.16.
    assert verdict.reason == "top classes differ by more than rounding allows: one.png"
    assert verdict.notes == ("top classes changed places within the allowed error: two.png",)


@pytest.mark.parametrize("extreme", [False, True])
def test_a_case_beyond_the_mode_fails_unless_it_is_extreme(tmp_path: Path, extreme: bool) -> None:
    expectation = small_case(tmp_path, extreme=extreme, scale=1e5)
    verdict = judge_case(expectation, MODES["float16"], RIGHT, {})
    message = "the arbiter's hidden reaches 3e+05, beyond float16: not compared"
    assert (verdict.reason, verdict.notes) == (("", (message,)) if extreme else (message, ()))


def test_what_is_not_finite_is_noted_where_it_disappears(tmp_path: Path) -> None:
    expectation = small_case(tmp_path, scale=np.nan)
    assert judge_not_finite(expectation, {"hidden": HIDDEN * np.nan}).notes == ()
    verdict = judge_not_finite(expectation, RIGHT)
    assert verdict.notes == ("one.png: disappears at hidden", "two.png: disappears at hidden")
    assert verdict.reason == ""
    for taps in (
        {"hidden": HIDDEN[:1]},
        {"hidden": HIDDEN, "other": HIDDEN},
        {"logits": LOGITS[:1]},
        {"hidden": HIDDEN[:1], "logits": LOGITS[:1]},
    ):
        names = [name for name, values in taps.items() if len(values) == 1 or name == "other"]
        wrong = judge_not_finite(expectation, taps)
        assert wrong.reason == f"no outputs of the network's shape: {', '.join(names)}"


def test_where_what_is_not_finite_disappears_and_whether_from_the_logits(tmp_path: Path) -> None:
    nan = np.full((2, 3), np.nan)
    sizes = {"float32": np.ones((2, 3), np.float32)}
    predictions = [Prediction(tap, nan, False, sizes, sizes) for tap in ("a", "b", "logits")]
    images = np.full((2, 3, 4, 4), np.nan, np.float32)
    expectation = write_case(Case("NaN", images, ("one", "two")), predictions, tmp_path / "case")
    half = np.array([[1.0, 2.0, 3.0], [np.nan, 2.0, 3.0]])
    for lost, noted in (
        ((), ()),
        (("b",), ("one: disappears at b",)),
        (("a", "b"), ("one: disappears at a",)),
        (("logits",), ("one: disappears at logits, the logits are finite",)),
        (("a", "logits"), ("one: disappears at a, the logits are finite",)),
    ):
        taps = {tap: half if tap in lost else nan for tap in expectation.relus}
        assert judge_not_finite(expectation, taps).notes == noted


@pytest.mark.parametrize("local", [RIGHT, {}], ids=["layers", "taps"])
def test_layers_are_compared_with_each_other_by_their_fewest_independent_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: Mapping[str, Any]
) -> None:
    shown = dict[str, Sequence[LayerError]]()

    def noting(kind: str) -> Callable[[Sequence[LayerError]], list[str]]:
        def note(errors: Sequence[LayerError]) -> list[str]:
            shown[kind] = errors
            return [f"uneven {kind}"]

        return note

    monkeypatch.setattr(layers, "uneven_alone", noting("layers"))
    monkeypatch.setattr(layers, "uneven_taps", noting("taps"))
    expectation, kind = small_case(tmp_path), "layers" if local else "taps"
    monkeypatch.setattr(
        type(expectation),
        "independent_at",
        lambda _, tap, mode, image: (
            {"hidden": (7.0, 5.0), "logits": (2.0, 3.0)}[tap][image] + 10 * (mode.name != "float32")
        ),
    )
    judged = partial(judge_case, expectation, MODES["float32"])
    off = RIGHT | {"logits": LOGITS + 1}
    assert judged(RIGHT, local).notes == (f"uneven {kind}",)
    assert list(shown) == [kind]
    assert [(each.tap, each.independent()) for each in shown[kind]] == [
        ("hidden", 5.0),
        ("logits", 2.0),
    ]
    # There is nothing to compare where one is wrong, or where they are computed in two ways.
    assert judged(off, local).notes == judged(RIGHT, local, alike=False).notes == ()


class Finished:
    """A job of which only the results are left."""

    def __init__(self, accumulated: Mapping[str, Any], local: Mapping[str, Any]) -> None:
        self.results = {"accumulated": accumulated, "local": local}

    def result(self, folder: str, kind: str) -> Mapping[str, Any]:
        assert Path(folder, "images.npy").is_file()
        return self.results[kind]


def test_two_runs_differ_in_units_of_both_predictions(tmp_path: Path, tiny: Checkpoint) -> None:
    (tmp_path / "beyond").mkdir()
    expectation, beyond = small_case(tmp_path), small_case(tmp_path / "beyond", scale=1e5)
    lifted, moved = RIGHT["hidden"].copy(), LOGITS.copy()
    lifted[0, 1] = 0.25  # the arbiter has -1 before the ReLU
    moved[1, 2] += 0.5
    gpu, cpu = (
        Run(cast("Any", Finished(*results)), MODES["float16"])
        for results in (
            ({"hidden": lifted, "logits": LOGITS}, {"logits": moved}),
            (RIGHT, {"logits": LOGITS, "hidden": lifted}),
        )
    )
    (found,) = compare_with_cpu(gpu, cpu, [beyond, expectation], tiny)
    assert found.case == "small"
    hidden, logits = found.layers
    both = 0.01 * np.sqrt(2)
    assert (hidden.tap, logits.tap, hidden.local) == ("hidden", "logits", None)
    assert hidden.accumulated.deviations == pytest.approx(1.25 / both)
    assert hidden.accumulated.worst == (0, 1)
    assert logits.accumulated.deviations == 0
    assert logits.local is not None
    assert logits.local.deviations == pytest.approx(0.5 / both)


def test_errors_before_a_tap_are_counted_where_its_own_are_large(
    tmp_path: Path, tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[tuple[str, ...]]()

    def count(*of: Any) -> float:
        asked.append(tuple(map(str, of)))
        return np.inf

    monkeypatch.setattr(
        ArbiterCase,
        "independent_before",
        lambda _, tap, mode, image: count("before", tap, mode.name, image),
    )
    monkeypatch.setattr(
        ArbiterCase, "independent_inputs", lambda _, tap, image: count("inputs", tap, image)
    )
    expectation, off = small_case(tmp_path), RIGHT | {"logits": LOGITS + np.array([[0], [0.03]])}
    before, inputs = ("before", "logits", "float16", "1"), ("inputs", "logits", "1")
    for taps, local, counted in ((off, RIGHT, before), (RIGHT, off, inputs)):
        judge_case(expectation, MODES["float16"], taps, local)
        gpu, cpu = (
            Run(cast("Any", Finished(*results)), MODES[mode])
            for mode, results in (("float16", (taps, local)), ("float32", (RIGHT, RIGHT)))
        )
        compare_with_cpu(gpu, cpu, [expectation], tiny)
        assert asked == [counted, counted]
        asked.clear()
