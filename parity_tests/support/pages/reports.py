"""Reports to test what is made of them: with everything that can be in one, and read from JSON."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from onnx_arbiter.compare import HISTOGRAM_EXPONENTS, Verdict
from vgg16_parity.records import CaseFacts, Image, Report, Row, Weights
from vgg16_parity.runtimes.job import Record
from vgg16_parity.verdicts import BesideCpu, CaseVerdict, Decision, GradientVerdict, LayerVerdict
from vgg16_spec.checkpoint.metadata import Metadata

DIGEST = "0123456789abcdef" * 4
METADATA = Metadata("torchvision", "seeded (version 1, seed 0)", "seeded", "", "CC0-1.0")
RECORD = Record(
    versions={"torch": "2.15.0"},
    device="cpu",
    threads=2,
    flags={"deterministic_algorithms": "True"},
    seconds={"import": 1.25, "run": 0.5},
    peak_bytes=1_500_000_000,
)
INFINITE = Verdict(
    False, math.inf, math.inf, math.inf, math.inf, math.inf, reason="its shape is (1, 2)"
)


def verdict(ratio: float = 0.5, deviations: float = 4.0, reason: str = "") -> Verdict:
    bins = [0] * (len(HISTOGRAM_EXPONENTS) + 1)
    bins[6:12] = [40, 90, 200, 260, 90, 3]
    return Verdict(
        passed=not reason,
        ratio=ratio,
        deviations=deviations,
        max_error=3e-6,
        rms_error=2e-7,
        rms_predicted=4e-7,
        worst=(0, 1, 2, 3),
        histogram=tuple(bins),
        reason=reason,
    )


def decision(**values: Any) -> Decision:
    facts: dict[str, Any] = {
        "top1": 281,
        "arbiter_top1": 281,
        "top5": (281, 282, 285, 287, 292),
        "arbiter_top5": (281, 282, 285, 287, 292),
        "margin": 0.25,
        "largest_error": 1e-5,
        "outcome": "agrees",
    }
    return Decision(**facts | values)


def row(runtime: str = "torch", lane: str = "strict", **values: Any) -> Row:
    """A row that holds, on one case with two taps."""
    layers = (
        LayerVerdict("block1_conv1", verdict(0.75, 5.0), verdict(0.7, 4.5)),
        LayerVerdict("predictions", verdict(), verdict()),
    )
    case = CaseVerdict("photographs", layers, (decision(),))
    facts: dict[str, Any] = {"cases": (case,), "record": RECORD}
    return Row(runtime, lane, "float32", **{"status": "holds"} | facts | values)


def report(*rows: Row, **values: Any) -> Report:
    """A report of these rows; with none, of one that holds."""
    facts: dict[str, Any] = {
        "weights": Weights("tiny", 1234567, True, "tiny.safetensors", DIGEST, METADATA),
        "cases": (
            CaseFacts("photographs", (Image("chelsea.png", DIGEST, (281, 282, 285, 287, 292)),)),
        ),
        "device": "cpu",
        "arbiter_seconds": 1.5,
        "peak_bytes": 500_000_000,
        "all_required": False,
        "rows": rows or (row(),),
    }
    return Report(**facts | values)


def everything() -> Report:
    """What can go wrong has gone wrong, and what can be missing is."""
    wrong = "errors are 5 times the predicted size (limit 2)"
    broken = CaseVerdict(
        "photographs",
        (
            LayerVerdict("block1_conv1", verdict(5.0, 31.0, wrong), INFINITE),
            LayerVerdict("predictions", INFINITE, None),
        ),
        (decision(top1=1, top5=(1, 2, 3, 4, 5), outcome="flipped", margin=math.inf),),
        reason="chelsea.png is of another class, and not by the allowed error",
    )
    lost = CaseVerdict("NaN", (), (), "", ("one NaN: nothing of it is left at block1_pool",))
    exact = CaseVerdict(
        "photographs",
        (LayerVerdict("predictions", verdict(0.0, 0.0)),),
        (decision(largest_error=0.0),),
    )
    cases = (
        report().cases[0],
        CaseFacts("NaN", (Image("one NaN", "", ()),)),
    )
    return report(
        row(),
        row("keras-jax", status="broken", reason=wrong, first_wrong="block1_conv1",
            cases=(broken, lost)),
        row("port", cases=(exact,)),
        row("keras-torch", status="failed", reason="the worker was killed by signal 9",
            cases=(), record=Record(error="the worker was killed by signal 9")),
        row("onnx-from-torch", status="not run", reason="onnxruntime is not installed",
            cases=(), record=None),
        row(lane="default", gradients=(
            GradientVerdict("predictions.weight", verdict(), verdict(0.2), verdict(0.3)),
            GradientVerdict("images", verdict(1.5)),
        )),
        cases=cases,
    )  # fmt: skip


def both() -> Report:
    """The same runtime on the CPU and on a GPU, where it is not the same twice."""
    layers = (
        LayerVerdict("block1_conv1", verdict(0.6, 4.5), verdict(0.55, 4.25)),
        LayerVerdict("predictions", verdict(0.25, 1.5)),
    )
    once = replace(RECORD, repeats="equal")
    other = replace(RECORD, device="a GPU", repeats="differs", differs_from="block3_conv2")
    return report(
        row(device="cpu", record=once),
        row(device="cuda", record=other, beside_cpu=(BesideCpu("photographs", layers),)),
        device="both",
    )
