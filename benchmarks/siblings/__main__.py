"""``python -m benchmarks.siblings``: judge the networks, write the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.harness import command, machine, measure
from benchmarks.siblings.networks import SIBLINGS
from benchmarks.siblings.report import markdown

_PACKAGE: Final = "benchmarks.siblings"
_PACKAGES: Final = (
    "torch", "torchvision", "timm", "keras", "tensorflow", "onnx", "onnxruntime", "openvino",
    "numpy",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, and write the page."""
    parser = command.parser(_PACKAGE)
    known = list(SIBLINGS)
    parser.add_argument("--networks", type=command.names(known), default=known)
    parser.add_argument("--seeds", type=command.positive, default=5, help="seeds per network")
    command.add_limits(parser)
    chosen = parser.parse_args(arguments)
    results: dict[str, dict[str, Any]] = {}
    if chosen.json is not None and chosen.json.exists():  # continue from it
        results = json.loads(chosen.json.read_text(encoding="utf-8"))
    for seed in range(chosen.seeds):
        for name in chosen.networks:
            found = results.setdefault(name, {})
            if str(seed) in found and not found[str(seed)]["error"]:
                continue
            job = {"task": "judge", "name": name, "seed": seed}
            outcome = measure.run("benchmarks.siblings.worker", job, command.limits(chosen))
            found[str(seed)] = {
                **outcome.result, "error": outcome.error, "process_seconds": outcome.seconds,
                "process_peak": outcome.peak,
            }  # fmt: skip
            command.say(f"{name}, seed {seed}: {outcome.seconds:.0f} s {outcome.error}")
            if chosen.json is not None:
                command.write(chosen.json, json.dumps(results, indent=1))
    facts = machine.measurement_facts(_PACKAGES, chosen.date)
    command.publish(markdown(results, command.line(_PACKAGE, arguments), facts), chosen)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
