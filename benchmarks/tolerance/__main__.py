"""``python -m benchmarks.tolerance``: run the studies, write the page."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import command, machine
from benchmarks.tolerance.report import markdown, plot
from onnx_arbiter.expectations import Case
from vgg16_parity import inputs
from vgg16_parity.records import Row
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_parity.workspace import Workspace, in_file
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import preprocess, read_image

_PACKAGE: Final = "benchmarks.tolerance"
_PACKAGES: Final = ("keras", "tensorflow", "jax", "torch", "onnx", "onnxruntime", "numpy")
_SYMMETRIES: Final = 8


@dataclass(frozen=True)
class Study:
    """One set of runs.

    Attributes:
        network: the configuration's name.
        seeds: the number of seeds, from 0.
        lanes: the lanes' names.
        hard: whether the stress inputs are run too, besides the image of the seed.
    """

    network: str
    seeds: int
    lanes: tuple[str, ...]
    hard: bool


STUDIES: Final = MappingProxyType(
    {
        "float32": Study("D", 20, ("strict",), hard=False),
        "fewer-bits": Study("D", 2, ("bfloat16", "float16"), hard=False),
        "hard-inputs": Study("tiny", 50, ("strict",), hard=True),
    }
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, and write the page."""
    parser = command.parser(_PACKAGE)
    known = list(STUDIES)
    listed = f"comma-separated (default: {','.join(known)})"
    parser.add_argument("--studies", type=command.names(known), default=known, help=listed)
    parser.add_argument(
        "--seeds", type=int, default=0, help="run at most this many seeds per study"
    )
    parser.add_argument("--json", type=Path, help="keep every figure here, and continue from it")
    chosen = parser.parse_args(arguments)
    results: dict[str, dict[str, Any]] = {}
    if chosen.json is not None and chosen.json.exists():
        results = json.loads(chosen.json.read_text(encoding="utf-8"))
    for name in chosen.studies:
        study = STUDIES[name]
        found = results.setdefault(name, {})
        for seed in range(min(study.seeds, chosen.seeds or study.seeds)):
            if str(seed) in found:
                continue
            start = time.perf_counter()
            found[str(seed)] = run(study, seed)
            command.say(f"{name}, seed {seed}: {time.perf_counter() - start:.0f} s")
            if chosen.json is not None:
                command.write(chosen.json, json.dumps(results))
    facts = machine.measurement_facts(_PACKAGES, chosen.date)
    drawn = chosen.markdown.with_suffix(".png") if chosen.markdown is not None else None
    picture = "" if drawn is None else drawn.name
    command.publish(markdown(results, command.line(_PACKAGE, arguments), facts, picture), chosen)
    if drawn is not None:
        plot(results, drawn)
    return 0


def run(study: Study, seed: int) -> list[dict[str, Any]]:
    """Run one seed of a study: a record for each runtime, lane, case, tap and kind."""
    checkpoint = generate(configuration(study.network), seed)
    cases = [Case(f"image {seed}", image(checkpoint, seed), (f"image {seed}",))]
    if study.hard:
        cases += [case for case in inputs.hard(checkpoint) if case.finite]
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="vgg16-tolerance-") as folder:
        stored = in_file(checkpoint, Path(folder), nullcontext)
        workspace = Workspace(stored, Path(folder), None, nullcontext)
        lanes = [LANES[name] for name in study.lanes]
        modes = [mode for lane in lanes if (mode := lane.mode("cpu")) is not None]
        expected = workspace.expect(cases, modes, logits_only=False)
        for runtime in RUNTIMES.values():
            for lane in lanes:
                (row,) = workspace.rows(runtime, lane, ["cpu"], expected, "layers")
                found += _records(row)
    return found


def image(checkpoint: Checkpoint, seed: int) -> NDArray[np.float32]:
    """The image of a seed, (1, 3, H, W)."""
    size = checkpoint.configuration.input_size
    if seed >= len(PHOTOGRAPHS) * _SYMMETRIES:
        noise = np.random.Generator(np.random.Philox(seed))
        return noise.standard_normal((1, 3, size, size), np.float32)
    recipe = checkpoint.recipe
    photograph = PHOTOGRAPHS[seed % len(PHOTOGRAPHS)]
    prepared = preprocess(read_image(photograph.path), recipe, size=size)
    turns, mirrored = divmod(seed // len(PHOTOGRAPHS), 2)
    turned = np.rot90(prepared, turns, axes=(2, 3))
    return np.ascontiguousarray(turned[..., ::-1] if mirrored else turned)


def _records(row: Row) -> list[dict[str, Any]]:
    if row.status == "not run":
        return []
    if row.status == "failed":
        raise SystemExit(f"{row.runtime} ({row.lane}): {row.reason}")
    return [
        {
            "runtime": row.runtime,
            "mode": row.mode,
            "case": case.case,
            "tap": layer.tap,
            "kind": kind,
            "ratio": verdict.ratio,
            "ratio_limit": verdict.ratio_limit,
            "deviations": verdict.deviations,
            "observed": verdict.rms_error,
            "predicted": verdict.rms_predicted,
            "noted": any(note.startswith(f"{layer.tap}: ") for note in case.notes),
        }
        for case in row.cases
        for layer in case.layers
        for kind, verdict in (("accumulated", layer.accumulated), ("local", layer.local))
        if verdict is not None
    ]


if __name__ == "__main__":
    raise SystemExit(main())
