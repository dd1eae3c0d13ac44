"""How well the error model predicts: what justifies R and Z of ``vgg16_parity/network/prediction.py``.

Runs every runtime on seeded networks, a seed and an image each, and holds the errors against the
predicted standard deviations, layer by layer, accumulated and alone. Three studies:

- ``float32``: VGG16 at full size, 20 seeds, every runtime, the strict lane. Seeds 0 to 15 see the
  two photographs in the eight symmetries of a square, 16 to 19 see noise;
- ``fewer bits``: the same in bfloat16 and float16, 2 seeds;
- ``hard inputs``: the tiny network, 20 seeds, on the inputs that can hurt.

    python -m benchmarks.tolerance --json build/tolerance.json --markdown docs/measured/tolerance.md

takes about an hour on 2 cores; with ``--json`` it goes on where it was stopped. ``--studies``
runs some of them.
"""

from __future__ import annotations

import argparse
import datetime
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

from benchmarks.harness import machine
from benchmarks.tolerance.report import markdown, plot
from onnx_arbiter.expectations import Case
from vgg16_parity import inputs
from vgg16_parity.records import Row
from vgg16_parity.run import Workspace, in_file
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.files.atomic import whole_file
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import preprocess, read_image, recipe_named

_PACKAGES: Final = ("keras", "tensorflow", "jax", "torch", "onnx", "onnxruntime", "numpy")
_SYMMETRIES: Final = 8


@dataclass(frozen=True)
class Study:
    """One set of runs.

    Attributes:
        network: the configuration's name.
        seeds: how many, from 0.
        lanes: which.
        hard: whether the inputs that can hurt are run, beside the image of the seed.
    """

    network: str
    seeds: int
    lanes: tuple[str, ...]
    hard: bool


STUDIES: Final = MappingProxyType(
    {
        "float32": Study("D", 20, ("strict",), hard=False),
        "fewer bits": Study("D", 2, ("bfloat16", "float16"), hard=False),
        "hard inputs": Study("tiny", 20, ("strict",), hard=True),
    }
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is missing, and write the report."""
    chosen = _parser().parse_args(arguments)
    names = [name.strip() for name in chosen.studies.split(",")]
    results: dict[str, dict[str, Any]] = {}
    if chosen.json is not None and chosen.json.exists():
        results = json.loads(chosen.json.read_text(encoding="utf-8"))
    for name in names:
        study = STUDIES[name]
        found = results.setdefault(name, {})
        for seed in range(min(study.seeds, chosen.seeds or study.seeds)):
            if str(seed) in found:
                continue
            start = time.perf_counter()
            found[str(seed)] = run(study, seed)
            print(f"{name}, seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
            if chosen.json is not None:
                _write(chosen.json, json.dumps(results))
    facts = machine.describe(_PACKAGES, chosen.date)
    drawn = chosen.markdown.with_suffix(".png") if chosen.markdown is not None else None
    text = markdown(results, facts, "" if drawn is None else drawn.name)
    print(text)
    if chosen.markdown is not None and drawn is not None:
        _write(chosen.markdown, text)
        plot(results, drawn)
    return 0


def run(study: Study, seed: int) -> list[dict[str, Any]]:
    """One seed in every runtime and lane of a study: a record for each case, runtime and tap."""
    checkpoint = generate(configuration(study.network), seed)
    cases = [Case(f"image {seed}", image(checkpoint, seed), (f"image {seed}",))]
    if study.hard:
        cases += [case for case in inputs.hard(checkpoint) if case.finite]
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="vgg16-tolerance-") as folder:
        workspace = Workspace(
            in_file(checkpoint, Path(folder), nullcontext), Path(folder), None, nullcontext
        )
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
    recipe = recipe_named(checkpoint.metadata.recipe, checkpoint.label)
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
            "deviations": verdict.deviations,
            "observed": verdict.rms_error,
            "predicted": verdict.rms_predicted,
        }
        for case in row.cases
        for layer in case.layers
        for kind, verdict in (("accumulated", layer.accumulated), ("local", layer.local))
        if verdict is not None
    ]


def _write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tolerance", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--studies", default=",".join(STUDIES), help="which, with commas")
    add("--seeds", type=int, default=0, help="at most this many of each")
    add("--date", default=datetime.date.today().isoformat(), help="printed with the results")
    add("--json", type=Path, help="keep every figure here, and go on from what is there")
    add("--markdown", type=Path, help="write the report here, and its plot beside it")
    return parser
