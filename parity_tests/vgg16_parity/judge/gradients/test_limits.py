"""What is just within a limit passes and what is just beyond it fails, tensor by tensor.

The runtime's results are the arbiter's own, with errors of a chosen size in one tensor.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.error_model import Float64
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.arithmetic.right_gradients import FIELDS, FLOAT32, Run, right_run
from parity_tests.support.tolerances import FLOAT64
from vgg16_parity.judge.gradients.backward import IMAGES
from vgg16_parity.judge.gradients.run import Results, applies, judge_gradients
from vgg16_parity.network import reference, sgd_step
from vgg16_parity.runtimes.registry import RUNTIMES

# What is judged -> R and Z.
LIMITS: Final = {"gradient": (4.0, 20.0), "parameter": (2.0, 10.0), "velocity": (2.0, 10.0)}
WORDS: Final = {
    "gradient": "the gradient of {}: ",
    "parameter": "the value of {} after a step of SGD: ",
    "velocity": "the velocity of {} after a step of SGD: ",
}
INSIDE, OUTSIDE = 0.995, 1.005


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return right_run(tmp_path_factory.mktemp("limits") / "case")


def changed(run: Run, kind: str, name: str, errors: NDArray[np.float64]) -> Results:
    """The results with errors, in predicted standard deviations, in one tensor."""
    tensors = dict(getattr(run.results, FIELDS[kind]))
    tensors[name] = tensors[name] + errors * run.deviation[kind][name]
    results = replace(run.results, **{FIELDS[kind]: tensors})
    if kind == "gradient" and name != IMAGES:
        # A step from the runtime's own gradient.
        before = sgd_step.velocity(run.checkpoint)
        stepped = sgd_step.step(run.checkpoint[name], tensors[name], before[name], FLOAT32)
        parameters, velocity = (
            {**getattr(results, FIELDS[each]), name: value.values}
            for each, value in zip(("parameter", "velocity"), stepped, strict=True)
        )
        results = replace(results, parameters=parameters, velocity=velocity)
    return results


def assert_judged(run: Run, kind: str, name: str, errors: Float64, figure: str) -> None:
    """Whether errors of that size pass, unless it is beyond a limit, which is named with it."""
    verdicts, finding = judge_gradients(
        run.checkpoint, run.expectation, FLOAT32, changed(run, kind, name, errors)
    )
    assert [verdict.tensor for verdict in verdicts] == [*reversed(list(run.checkpoint)), IMAGES]
    failed = [
        (verdict.tensor, each)
        for verdict in verdicts
        for each in LIMITS
        if (found := getattr(verdict, each)) is not None and not found.passed
    ]
    if not figure:
        assert (failed, finding) == ([], None)
        return
    assert failed == [(name, kind)]
    assert finding is not None
    assert finding.first_wrong == name
    assert finding.reason.startswith(WORDS[kind].format(name))
    ratio, deviations = LIMITS[kind]
    limit = {"R": f"predicted size (limit {ratio:g})", "Z": f"deviations (limit {deviations:g})"}
    assert finding.reason.endswith(limit[figure])


# The bias of the logits, whose gradient comes first; one that is judged in blocks; the last.
TENSORS: Final = ("predictions.bias", "fc1.weight", "block1_conv1.weight")
JUDGED: Final = [(kind, name) for kind in LIMITS for name in TENSORS] + [("gradient", IMAGES)]


def test_the_arbiters_own_results_pass(run: Run) -> None:
    nothing = np.zeros_like(run.results.gradients[IMAGES])
    assert_judged(run, "gradient", IMAGES, nothing, "")


@pytest.mark.parametrize(("kind", "name"), JUDGED)
@pytest.mark.parametrize(("factor", "figure"), [(INSIDE, ""), (OUTSIDE, "R")])
def test_the_size_of_errors_is_held(
    run: Run, kind: str, name: str, factor: float, figure: str
) -> None:
    signs = np.random.default_rng(1).choice([-1.0, 1.0], run.deviation[kind][name].shape)
    assert_judged(run, kind, name, factor * LIMITS[kind][0] * signs, figure)


@pytest.mark.parametrize(("kind", "name"), JUDGED)
@pytest.mark.parametrize(("factor", "figure"), [(INSIDE, ""), (OUTSIDE, "Z")])
def test_the_largest_error_is_held(
    run: Run, kind: str, name: str, factor: float, figure: str
) -> None:
    deviation = run.deviation[kind][name]
    errors, half = np.zeros_like(deviation), deviation.size // 2
    # In the last block, where no large error is predicted: R stays small.
    errors.flat[half + deviation.flat[half:].argmin()] = factor * LIMITS[kind][1]
    assert_judged(run, kind, name, errors, figure)


def test_each_image_is_judged_by_itself(run: Run) -> None:
    errors = np.zeros_like(run.deviation["gradient"][IMAGES])
    errors[1] = OUTSIDE * LIMITS["gradient"][0]
    assert_judged(run, "gradient", IMAGES, errors, "R")


def test_what_is_wrong_goes_before_what_is_unknown(run: Run) -> None:
    errors = np.full_like(run.deviation["gradient"]["fc2.bias"], 1000)
    results = changed(run, "gradient", "fc2.bias", errors)
    more = {**results.gradients, "fc9.bias": errors}
    _, finding = judge_gradients(
        run.checkpoint, run.expectation, FLOAT32, replace(results, gradients=more)
    )
    assert finding is not None
    assert finding.first_wrong == "fc2.bias"


def test_the_worst_element_of_a_tensor_in_blocks_is_named_by_its_place(run: Run) -> None:
    errors = np.zeros_like(run.deviation["gradient"]["fc1.weight"])
    errors[67, 3] = 30
    results = changed(run, "gradient", "fc1.weight", errors)
    verdicts, _ = judge_gradients(run.checkpoint, run.expectation, FLOAT32, results)
    (verdict,) = (each.gradient for each in verdicts if each.tensor == "fc1.weight")
    assert verdict.worst == (67, 3)
    assert verdict.deviations == pytest.approx(30, rel=FLOAT64.limit * 1e6)


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("what", ["missing", "of another shape", "unknown"])
def test_a_tensor_that_cannot_be_compared_is_told(run: Run, kind: str, what: str) -> None:
    tensors, name = dict(getattr(run.results, FIELDS[kind])), "fc2.weight"
    if what == "missing":
        del tensors[name]
        reason = WORDS[kind].format(name) + "there is no such output"
    elif what == "unknown":
        tensors["fc9.weight"] = tensors[name]
        name, reason = "", "no parameter is called fc9.weight"
    else:
        tensors[name] = tensors[name][:, :-1]
        reason = f"{WORDS[kind].format(name)}its shape is (70, 69), the arbiter's is (70, 70)"
    results = replace(run.results, **{FIELDS[kind]: tensors})
    _, finding = judge_gradients(run.checkpoint, run.expectation, FLOAT32, results)
    assert finding is not None
    assert (finding.first_wrong, finding.reason) == (name, reason)


@pytest.mark.parametrize("tap", ["block1_conv1", "block2_conv1", "fc2"])
@pytest.mark.parametrize("what", ["missing", "of another shape"])
def test_along_a_tap_that_cannot_be_read_no_gradient_is_judged(
    run: Run, tap: str, what: str
) -> None:
    taps = dict(run.results.taps)
    shorter = taps.pop(tap)[:, :-1]
    if what != "missing":
        taps[tap] = shorter
    results = replace(run.results, taps=taps)
    verdicts, finding = judge_gradients(run.checkpoint, run.expectation, FLOAT32, results)
    assert verdicts == ()
    assert finding is not None
    assert finding.first_wrong == tap


@pytest.mark.parametrize("tap", ["block1_conv1", "block2_conv1", "fc1", "fc2"])
def test_a_relu_on_the_other_side_is_named(run: Run, tap: str) -> None:
    taps = dict(run.results.taps)
    taps[tap] = taps[tap].copy()
    place = np.unravel_index(np.abs(taps[tap]).argmax(), taps[tap].shape)
    taps[tap][place] *= -1
    verdicts, finding = judge_gradients(
        run.checkpoint, run.expectation, FLOAT32, replace(run.results, taps=taps)
    )
    assert finding is not None
    assert finding.first_wrong == tap
    assert finding.reason.startswith(
        f"in the forward pass of the gradients, {tap}: 1 ReLU unlike the arbiter's, up to "
    )
    assert len(verdicts) == len(run.checkpoint) + 1


@pytest.mark.parametrize("block", [1, 2])
def test_another_winner_of_a_window_is_named(run: Run, block: int) -> None:
    taps, tap = dict(run.results.taps), f"block{block}_conv1"
    taps[tap] = taps[tap].copy()
    # The window whose two largest values are furthest apart, both lit: they change places.
    windows = reference.windows(taps[tap])
    ordered = np.sort(windows, axis=-1)
    gaps = np.where(ordered[..., 2] > 0, ordered[..., 3] - ordered[..., 2], 0)
    place = np.unravel_index(gaps.argmax(), gaps.shape)
    window = windows[place]
    largest, next_one = np.argsort(window)[[3, 2]]
    window[[largest, next_one]] = window[[next_one, largest]]
    reference.window_views(taps[tap])[place] = window.reshape(2, 2)
    _, finding = judge_gradients(
        run.checkpoint, run.expectation, FLOAT32, replace(run.results, taps=taps)
    )
    assert finding is not None
    assert finding.first_wrong == f"block{block}_pool"
    assert ": 1 window unlike the arbiter's" in finding.reason


@pytest.mark.parametrize(("mode", "expected"), [("float32", True), ("tf32", False)])
def test_gradients_are_judged_in_float32_alone(mode: str, expected: bool) -> None:
    assert applies(RUNTIMES["torch"], MODES[mode]) is expected
    assert not applies(RUNTIMES["onnx-from-torch"], MODES[mode])
