"""``python -m benchmarks.siblings``: judge the networks, write the page."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.harness import command, machine, measure
from benchmarks.harness.pool import at_once
from benchmarks.siblings.networks import SIBLINGS
from benchmarks.siblings.report import markdown
from onnx_arbiter.runtimes.registry import RUNTIMES

_PACKAGE: Final = "benchmarks.siblings"
_WORKER: Final = f"{_PACKAGE}.worker"
_PACKAGES: Final = (
    "torch", "torchvision", "timm", "keras", "tensorflow", "onnx", "onnxruntime",
    "onnxruntime-gpu", "openvino", "numpy",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, and write the page."""
    parser = command.parser(_PACKAGE)
    known = list(SIBLINGS)
    parser.add_argument("--networks", type=command.names(known), default=known)
    parser.add_argument("--seeds", type=command.positive, default=5, help="seeds per network")
    parser.add_argument(
        "--runtimes", type=command.names(list(RUNTIMES)), default=["onnxruntime", "openvino"]
    )
    parser.add_argument("--device", default="cpu", help="where PyTorch computes a network itself")
    parser.add_argument("--mistakes", type=int, default=8, help="planted per network")
    parser.add_argument("--at-once", type=command.positive, default=1, help="processes")
    command.add_limits(parser)
    chosen = parser.parse_args(arguments)
    results: dict[str, dict[str, Any]] = {}
    if chosen.json is not None and chosen.json.exists():  # continue from it
        results = json.loads(chosen.json.read_text(encoding="utf-8"))
    missing = [
        (name, str(seed))
        for seed in range(chosen.seeds)
        for name in chosen.networks
        if results.get(name, {}).get(str(seed), {"error": "not run"})["error"]
    ]
    with at_once(chosen.at_once) as pool:
        started = [(*each, pool.submit(_judge, *each, chosen)) for each in missing]
        for name, seed, judged in started:
            results.setdefault(name, {})[seed] = judged.result()
            if chosen.json is not None:
                command.write(chosen.json, json.dumps(results, indent=1))
    facts = machine.measurement_facts(_PACKAGES, chosen.date)
    command.publish(markdown(results, command.line(_PACKAGE, arguments), facts), chosen)
    return 0


def _judge(name: str, seed: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """The record of a network with a seed, from a process of its own."""
    job = {
        "task": "judge", "name": name, "seed": int(seed), "runtimes": chosen.runtimes,
        "device": chosen.device, "mistakes": chosen.mistakes,
    }  # fmt: skip
    outcome = measure.run(_WORKER, job, command.limits(chosen), gpu=chosen.device != "cpu")
    command.say(f"{name}, seed {seed}: {outcome.seconds:.0f} s {outcome.error}")
    measured = {"process_seconds": outcome.seconds, "process_peak": outcome.peak}
    return {**outcome.result, "error": outcome.error, **measured}


if __name__ == "__main__":
    raise SystemExit(main())
