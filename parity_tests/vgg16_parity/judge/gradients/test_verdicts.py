"""What of training is judged wrong, and which tensor is named."""

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
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.numeric_modes import MODES
from parity_tests.support.helpers import Batch
from vgg16_parity.inputs import Case
from vgg16_parity.judge.gradients import verdicts
from vgg16_parity.judge.gradients.activation_pattern import (
    ActivationPattern,
    first_unexplained_flip,
)
from vgg16_parity.judge.gradients.verdicts import Results
from vgg16_parity.network import sgd_step
from vgg16_parity.network.expectations import ArbiterCase, expect
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
        labels = sgd_step.labels(expectation, FLOAT32)
        return trained(tiny, expectation.case.images, labels, **changes)

    return results


def verdict_of(tiny: Checkpoint, expectation: ArbiterCase, results: Results) -> tuple[str, str]:
    _, first, reason = verdicts.judge(tiny, expectation, FLOAT32, results)
    return first, reason


def test_what_is_right_passes(
    tiny: Checkpoint, expectation: ArbiterCase, run: Callable[..., Results]
) -> None:
    judged, first, reason = verdicts.judge(tiny, expectation, FLOAT32, run())
    assert (first, reason) == ("", "")
    assert [verdict.tensor for verdict in judged] == [*reversed(list(tiny)), "images"]
    for verdict in judged[:-1]:
        assert verdict.parameter is not None
        assert verdict.velocity is not None
        assert verdict.gradient.passed
        assert verdict.parameter.passed
        assert verdict.velocity.passed
        # Not by a bound so wide that everything passes.
        assert verdict.gradient.ratio > LIMITS.ratio.limit / 100


def test_no_seed_gives_a_false_alarm(batch: Batch, tiny: Checkpoint, tmp_path: Path) -> None:
    for seed in range(1, 21):
        checkpoint = generate(tiny.configuration, seed)
        case = Case("photographs", batch(checkpoint), ("0", "1"))
        expectation = expect(checkpoint, case, [FLOAT32], tmp_path / str(seed))
        results = trained(checkpoint, case.images, sgd_step.labels(expectation, FLOAT32))
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
    judged, first, reason = verdicts.judge(tiny, expectation, FLOAT32, run(changes=changes))
    assert first == tensor
    assert reason.startswith(f"the gradient of {tensor}: errors are ")
    wrong = [verdict for verdict in judged if not verdict.gradient.passed]
    assert [verdict.tensor for verdict in wrong] == [tensor]
    assert wrong[0].gradient.ratio > FAR * verdicts.LIMITS.ratio.limit


def test_a_loss_that_is_summed_over_the_batch_is_wrong_from_the_logits_down(
    tiny: Checkpoint, expectation: ArbiterCase, run: Callable[..., Results]
) -> None:
    results = run()
    summed = {name: 2 * np.asarray(values[:]) for name, values in results.gradients.items()}
    judged, first, _ = verdicts.judge(
        tiny, expectation, FLOAT32, replace(results, gradients=summed)
    )
    assert first == "predictions.bias"
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
            whole = trained(
                tiny, expectation.case.images, sgd_step.labels(expectation, FLOAT32)
            ).taps
            results = replace(results, taps=taps | {tap: whole[tap]})
        assert verdict_of(tiny, expectation, results)[0] == tensor


def test_dropout_that_is_on_is_another_branch(
    tiny: Checkpoint, expectation: ArbiterCase, run: Callable[..., Results]
) -> None:
    model = exchanged(model_of(tiny), "classifier.2", DropoutOn())
    first, reason = verdict_of(tiny, expectation, run(model=model))
    assert first == "fc2"
    assert "ReLUs went another way than the arbiter" in reason


def test_a_branch_may_differ_by_as_much_as_rounding_explains(
    tiny: Checkpoint, expectation: ArbiterCase, run: Callable[..., Results]
) -> None:
    taps = dict(run().taps)
    for distance, allowed in ((5.0, True), (50.0, False)):
        expected = expectation.tap("block2_conv1", FLOAT32)
        flat = np.array(taps["block2_conv1"])
        # Where the arbiter is about so many deviations above zero, the runtime is below.
        closest = np.abs(expected.before / expected.accumulated - distance).argmin()
        there = np.unravel_index(closest, flat.shape)
        scale = distance * expected.accumulated[there] / expected.before[there]
        moved = _Nearer(expectation, "block2_conv1", there, float(scale))
        flat[there] = 0
        branch = ActivationPattern(taps | {"block2_conv1": flat})
        reason = first_unexplained_flip(
            branch, tiny.configuration, moved, FLOAT32, LIMITS.deviations
        )
        assert (reason == "") is allowed, reason
        assert allowed or reason.startswith("block2_conv1: 1 ReLUs went another way")


class _Nearer(ArbiterCase):
    """An expectation with one value of a tap brought nearer to its kink."""

    def __init__(self, whole: ArbiterCase, tap: str, there: Any, scale: float) -> None:
        super().__init__(whole.case, whole.folder, whole.relus, whole.reached)
        object.__setattr__(self, "_change", (tap, there, scale))

    def tap(self, name: str, mode: Any) -> Any:
        expected = super().tap(name, mode)
        tap, there, scale = self.__dict__["_change"]
        if name != tap:
            return expected
        before = np.array(expected.before)
        before[there] *= scale
        return replace(expected, before=before)


def test_what_is_missing_unknown_or_misshapen_is_told(
    tiny: Checkpoint, expectation: ArbiterCase, run: Callable[..., Results]
) -> None:
    results = run()
    gradients = {name: np.asarray(values[:]) for name, values in results.gradients.items()}

    def told(**changes: Any) -> tuple[str, str]:
        return verdict_of(tiny, expectation, replace(results, **changes))

    without = {name: values for name, values in gradients.items() if name != "fc1.bias"}
    assert told(gradients=without) == (
        "fc1.bias",
        "the gradient of fc1.bias: there is no such output",
    )
    longer = gradients | {"fc1.bias": np.append(gradients["fc1.bias"], 0)}
    assert "its shape is (33,), the arbiter's is (32,)" in told(gradients=longer)[1]
    assert told(gradients=gradients | {"fc9.bias": gradients["fc1.bias"]}) == (
        "",
        "no parameter is called fc9.bias",
    )
    bad = gradients | {"fc1.bias": np.full_like(gradients["fc1.bias"], np.nan)}
    assert "32 of 32 values are not finite" in told(gradients=bad)[1]
    taps = {name: values for name, values in results.taps.items() if name != "block4_conv1"}
    assert told(taps=taps) == ("block4_conv1", "block4_conv1: there is no such output")
    assert "no parameter" not in told()[1]


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
    judged, _, reason = verdicts.judge(
        tiny, expectation, FLOAT32, replace(results, parameters=parameters, velocity=velocity)
    )
    assert reason.startswith(f"the {what} of predictions.bias" if what else "")
    assert bool(reason) is bool(what)
    for verdict in judged[:-1]:
        assert verdict.velocity is not None
        assert verdict.parameter is not None
        if what:
            assert verdict.velocity.ratio > FAR * verdicts.STEP_LIMITS.ratio.limit, verdict.tensor
        assert verdict.parameter.passed is scaled, verdict.tensor
