"""Which gradients and SGD steps are wrong, and which tensor is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from mistakes.in_training import (
    FIGURES,
    DropoutOn,
    PoolToTheFirst,
    ReluWithoutMask,
    exchanged,
    keras_step,
    model_of,
    trained,
)
from onnx_arbiter.expectations import ArbiterCase, Case
from onnx_arbiter.limits import GRADIENT_LIMITS, STEP_LIMITS
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.helpers import Batch
from vgg16_parity.judge.gradients.run import Results, judge_gradients
from vgg16_parity.network import sgd_step
from vgg16_parity.network.prediction import expect
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate

FLOAT32 = MODES["float32"]
# A mistake lands this many times beyond a limit.
FAR = 10


@pytest.fixture(scope="module")
def expectation(
    tiny: Checkpoint, batch: Batch, tmp_path_factory: pytest.TempPathFactory
) -> ArbiterCase:
    folder = tmp_path_factory.mktemp("gradients") / "expected"
    return expect(tiny, Case("photographs", batch(tiny), ("0", "1")), [FLOAT32], folder)


@pytest.fixture
def run(tiny: Checkpoint, expectation: ArbiterCase) -> Callable[..., Results]:
    def results(**changes: Any) -> Results:
        labels = sgd_step.labels(expectation)
        return trained(tiny, expectation.case.images, labels, **changes)

    return results


def verdict_of(tiny: Checkpoint, expectation: ArbiterCase, results: Results) -> tuple[str, str]:
    _, finding = judge_gradients(tiny, expectation, FLOAT32, results)
    return ("", "") if finding is None else (finding.first_wrong, finding.reason)


def test_what_is_right_passes(
    tiny: Checkpoint, expectation: ArbiterCase, run: Callable[..., Results]
) -> None:
    judged, finding = judge_gradients(tiny, expectation, FLOAT32, run())
    assert finding is None
    assert [verdict.tensor for verdict in judged] == [*reversed(list(tiny)), "images"]
    for verdict in judged[:-1]:
        assert verdict.parameter is not None
        assert verdict.velocity is not None
        assert verdict.gradient.passed
        assert verdict.parameter.passed
        assert verdict.velocity.passed
        # Not by a bound so wide that everything passes.
        assert verdict.gradient.ratio > GRADIENT_LIMITS.ratio.limit / 100


def test_no_seed_gives_a_false_alarm(batch: Batch, tiny: Checkpoint, tmp_path: Path) -> None:
    for seed in range(1, 21):
        checkpoint = generate(tiny.configuration, seed)
        case = Case("photographs", batch(checkpoint), ("0", "1"))
        expectation = expect(checkpoint, case, [FLOAT32], tmp_path / str(seed))
        results = trained(checkpoint, case.images, sgd_step.labels(expectation))
        assert verdict_of(checkpoint, expectation, results) == ("", ""), seed


Change: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]

GRADIENT_MISTAKES: tuple[tuple[str, dict[str, Change]], ...] = (
    ("fc2.weight", {"fc2.weight": lambda g: g.T}),
    ("block5_conv2.weight", {"block5_conv2.weight": lambda g: g.swapaxes(0, 1)}),
    ("block5_conv2.weight", {"block5_conv2.weight": lambda g: g[:, :, ::-1, ::-1]}),
    (
        "fc1.weight",
        {"fc1.weight": lambda g: g.reshape(-1, 12, 2, 2).transpose(0, 2, 3, 1).reshape(g.shape)},
    ),
    ("images", {"images": lambda g: g[:, ::-1]}),
    ("block3_conv1.bias", {"block3_conv1.bias": lambda g: g / 2}),
    # 10 bits of mantissa, as TF32 has.
    (
        "block2_conv2.weight",
        {"block2_conv2.weight": lambda g: (g.view(np.int32) & ~0x1FFF).view(np.float32)},
    ),
)


@pytest.mark.parametrize(("tensor", "changes"), GRADIENT_MISTAKES)
def test_a_wrong_gradient_is_named(
    tiny: Checkpoint,
    expectation: ArbiterCase,
    run: Callable[..., Results],
    tensor: str,
    changes: dict[str, Change],
) -> None:
    judged, finding = judge_gradients(tiny, expectation, FLOAT32, run(changes=changes))
    assert finding is not None
    assert finding.first_wrong == tensor
    assert finding.reason.startswith(f"the gradient of {tensor}: errors are ")
    wrong = [verdict for verdict in judged if not verdict.gradient.passed]
    assert [verdict.tensor for verdict in wrong] == [tensor]
    assert wrong[0].gradient.ratio > FAR * GRADIENT_LIMITS.ratio.limit


def test_a_loss_that_is_summed_over_the_batch_is_wrong_from_the_logits_down(
    tiny: Checkpoint, expectation: ArbiterCase, run: Callable[..., Results]
) -> None:
    results = run()
    summed = {name: 2 * np.asarray(values[:]) for name, values in results.gradients.items()}
    judged, finding = judge_gradients(
        tiny, expectation, FLOAT32, replace(results, gradients=summed)
    )
    assert finding is not None
    assert finding.first_wrong == "predictions.bias"
    assert not any(verdict.gradient.passed for verdict in judged)


def test_a_wrong_backward_pass_is_named_where_it_begins(
    tiny: Checkpoint, expectation: ArbiterCase, run: Callable[..., Results]
) -> None:
    for tap, module, tensor in (
        ("block4_conv2", ReluWithoutMask(), "block4_conv2.bias"),
        ("block3_pool", PoolToTheFirst(), "block3_conv3.bias"),
    ):
        model = model_of(tiny)
        # The tap's own hook needs a ReLU.
        key = model.tap_modules.pop(tap) if tap.endswith("conv2") else model.tap_modules[tap]
        results = run(model=exchanged(model, key, module))
        if tap.endswith("conv2"):
            taps = dict(results.taps)
            whole = trained(tiny, expectation.case.images, sgd_step.labels(expectation)).taps
            results = replace(results, taps=taps | {tap: whole[tap]})
        assert verdict_of(tiny, expectation, results)[0] == tensor


def test_dropout_that_is_on_is_another_activation_pattern(
    tiny: Checkpoint, expectation: ArbiterCase, run: Callable[..., Results]
) -> None:
    model = exchanged(model_of(tiny), "classifier.2", DropoutOn())
    first, reason = verdict_of(tiny, expectation, run(model=model))
    assert first == "fc2"
    assert "ReLUs unlike the arbiter's" in reason


def test_a_value_that_is_not_finite_and_a_tap_that_is_missing_are_told(
    tiny: Checkpoint, expectation: ArbiterCase, run: Callable[..., Results]
) -> None:
    results = run()
    gradients = {name: np.asarray(values[:]) for name, values in results.gradients.items()}
    gradients["fc1.bias"] = np.full_like(gradients["fc1.bias"], np.nan)
    found = verdict_of(tiny, expectation, replace(results, gradients=gradients))
    assert found == ("fc1.bias", "the gradient of fc1.bias: 32 of its 32 values are not finite")
    taps = {name: values for name, values in results.taps.items() if name != "block4_conv1"}
    judged, finding = judge_gradients(tiny, expectation, FLOAT32, replace(results, taps=taps))
    assert judged == ()
    assert finding is not None
    assert finding.first_wrong == "block4_conv1"
    assert finding.reason == "block4_conv1: there is no such output"


@pytest.mark.parametrize(
    ("figures", "what"),
    [
        ({"momentum": 0.0}, "value"),
        ({"momentum": 0.99}, "velocity"),
        ({"weight_decay": 0.0}, "velocity"),
        ({"learning_rate": 0.011}, "value"),
    ],
)
def test_a_wrong_step_is_named(
    tiny: Checkpoint,
    expectation: ArbiterCase,
    run: Callable[..., Results],
    figures: dict[str, float],
    what: str,
) -> None:
    results = run(figures={**FIGURES, **figures})
    first, reason = verdict_of(tiny, expectation, results)
    assert first == "predictions.bias"
    if "momentum" in figures and not figures["momentum"]:
        # PyTorch then leaves the velocity alone: that is what is wrong first.
        what = "velocity"
    assert reason.startswith(f"the {what} of predictions.bias after a step of SGD: ")


@pytest.mark.parametrize(
    ("scaled", "decay", "what"),
    [
        (True, "gradient", ""),
        # Keras's own weight decay moves the parameter as far in this step; it is not in the
        # velocity, and so not in any step that follows.
        (True, "keras", "velocity"),
        (False, "gradient", "velocity"),
    ],
)
def test_kerass_step_agrees_with_the_bridge_and_only_with_it(
    tiny: Checkpoint,
    expectation: ArbiterCase,
    run: Callable[..., Results],
    scaled: bool,
    decay: str,
    what: str,
) -> None:
    results = run()
    parameters, velocity = keras_step(tiny, results.gradients, scaled=scaled, decay=decay)
    judged, finding = judge_gradients(
        tiny, expectation, FLOAT32, replace(results, parameters=parameters, velocity=velocity)
    )
    reason = finding.reason if finding else ""
    assert reason.startswith(f"the {what} of predictions.bias" if what else "")
    assert bool(reason) is bool(what)
    for verdict in judged[:-1]:
        assert verdict.velocity is not None
        assert verdict.parameter is not None
        if what:
            assert verdict.velocity.ratio > FAR * STEP_LIMITS.ratio.limit, verdict.tensor
        assert verdict.parameter.passed is scaled, verdict.tensor
