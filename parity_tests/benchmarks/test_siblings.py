"""A sample of networks that are not VGG16: no false alarm, every planted mistake at its node."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from benchmarks.harness.measure import Limits, run
from benchmarks.siblings.measure import Plan
from benchmarks.siblings.networks import SIBLINGS
from benchmarks.siblings.planted import MISTAKES
from benchmarks.siblings.report import markdown

LIMITS = Limits(seconds=300, resident=8 << 30)


def measured(name: str) -> dict[str, Any]:
    """A network with seed 0, in a process of its own."""
    job = {"task": "judge", "name": name, "seed": 0} | asdict(Plan())
    outcome = run("benchmarks.siblings.worker", job, LIMITS)
    assert not outcome.error, outcome.error
    return outcome.result


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "SqueezeNet",
        *(pytest.param(n, marks=pytest.mark.weekly) for n in ("MobileNetV2", "DeiT-Tiny")),
    ],
)
def test_a_sibling_holds_and_its_mistakes_are_named(name: str) -> None:
    found = measured(name)
    assert not found["not_judged"]
    assert {each["run"]: each["status"] for each in found["runs"]} == dict.fromkeys(
        [
            "onnxruntime, the file as it is",
            "onnxruntime, optimised, every value",
            "onnxruntime, not optimised, every value",
            "openvino, the file as it is",
            "openvino, default, every value",
            "openvino, float32, every value",
            "the framework, every layer",
        ],
        "holds",
    )
    mistakes = found["mistakes"]
    assert len(mistakes) == Plan().mistakes
    assert [each["mistake"] for each in mistakes if not each["named"]] == []


def test_the_page_counts_what_was_measured() -> None:
    record = {
        "error": "",
        "seconds": 3.0,
        "runs": [
            {
                "status": status,
                "ratio": 0.5,
                "deviations": 4.0,
                "local_ratio": 0.7,
                "local_deviations": 5.0,
                "values": 10,
            }
            for status in ("holds", "broken")
        ],
        "mistakes": [
            {"mistake": name, "node": "n", "named": name != last, "guilty": "m", "ratio": 9.0}
            | {"cause": ""}
            for names in [list(MISTAKES)[:3]]
            for last in [names[-1]]
            for name in names
        ],
    }
    name = next(iter(SIBLINGS))
    failed = {"error": "stopped", "runs": [], "mistakes": [], "seconds": 0.0}
    text = markdown({name: {"0": record, "1": failed}}, "python -m x", {"date": "today"})
    whole = "Of 2 runs of 1 network without a mistake, one seed each, **1** did not hold; 20 values"
    assert whole in text
    assert "Of 3 planted mistakes, **2** were named" in text
    assert f"- {name}, seed 1: stopped" in text
    assert f"- {name}: {list(MISTAKES)[2]} at n, named at m" in text


def test_without_planted_mistakes_the_page_speaks_of_none() -> None:
    record = {"error": "", "seconds": 3.0, "runs": [], "mistakes": []}
    text = markdown({next(iter(SIBLINGS)): {"0": record}}, "python -m x", {"date": "today"})
    assert "planted" not in text.lower()
