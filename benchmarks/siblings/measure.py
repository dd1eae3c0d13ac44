"""Judge one network with one seed, in a process of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from benchmarks.siblings.networks import SIBLINGS, Sibling, images, keras_model, torch_model
from benchmarks.siblings.planted import MISTAKES, Planted, planted
from onnx_arbiter.arbiter import Arbiter
from onnx_arbiter.judge.records import Run
from onnx_arbiter.judge.run import Observed
from onnx_arbiter.ports import keras_layers, torch_modules
from onnx_arbiter.ports.judging import judge
from onnx_arbiter.ports.places import Reference
from onnx_arbiter.runtimes.onnxruntime import run_unoptimised
from onnx_arbiter.runtimes.registry import runtime
from onnx_arbiter.runtimes.runtime import observe


@dataclass(frozen=True)
class Plan:
    """What is done with each network.

    Attributes:
        runtimes: of ``onnx_arbiter``; the first also computes each node alone.
        device: where the framework computes it, as PyTorch names it.
        mistakes: how many are planted.
    """

    runtimes: tuple[str, ...] = ("onnxruntime", "openvino")
    device: str = "cpu"
    mistakes: int = 8


@dataclass(frozen=True)
class Figures:
    """What a run came to.

    Attributes:
        run: the runtime, and how it ran.
        status: holds, broken or not judged.
        ratio, deviations: the largest R and Z of accumulated values; at the node of ``guilty``
            where there is one.
        local_ratio, local_deviations: the same of nodes alone.
        values: how many values were judged.
        guilty: the node where it goes wrong first, and why.
    """

    run: str
    status: str
    ratio: float
    deviations: float
    local_ratio: float
    local_deviations: float
    values: int
    guilty: str


@dataclass(frozen=True)
class Found:
    """What became of a planted mistake.

    Attributes:
        mistake, node: what was planted, and where.
        named: whether the first wrong value is that node's.
        guilty: the node that was named; empty where the run holds.
        ratio: R of that value.
        cause: what the report says of it.
    """

    mistake: str
    node: str
    named: bool
    guilty: str
    ratio: float
    cause: str


def measure(name: str, seed: int, folder: Path, plan: Plan) -> dict[str, Any]:
    """Judge a network, and the mistakes planted in it; a JSON object."""
    model, exported = _exported(SIBLINGS[name], seed)
    path = folder / "network.onnx"
    ir.save(exported.model, path, external_data="network.onnx.data")
    if SIBLINGS[name].library != "keras":
        model = model.to(plan.device)
    [of_framework] = judge(exported, model, name="the framework, every layer").runs
    with Arbiter(path, exported.inputs) as arbiter:
        runs = [
            run
            for engine in plan.runtimes
            for run in observe(arbiter.network, arbiter.inputs, runtime(engine), arbiter.folder)
        ]
        for run in runs:
            if not run.name.startswith(f"{plan.runtimes[0]},"):
                run.alone = None  # each node alone in one runtime is enough
        wrong = list(_planted(arbiter, path, seed, plan.mistakes))
        report = arbiter.judge_runs([*runs, *(observed for _, observed in wrong)])
    count = len(runs)
    found = [
        _found(mistake, run) for (mistake, _), run in zip(wrong, report.runs[count:], strict=True)
    ]
    return {
        "nodes": report.nodes,
        "seconds": report.seconds,
        "peak": report.peak_bytes,
        "not_judged": report.not_judged,
        "runs": [asdict(_figures(run)) for run in (*report.runs[:count], of_framework)],
        "mistakes": [asdict(each) for each in found],
    }


def _exported(sibling: Sibling, seed: int) -> tuple[Any, Reference]:
    """A network in its framework, and its graph as that exports it, nothing fused."""
    given = images(sibling, seed)
    if sibling.library == "keras":
        model = keras_model(sibling, seed)
        return model, keras_layers.reference(
            model, np.ascontiguousarray(given.transpose(0, 2, 3, 1))
        )
    module = torch_model(sibling, seed)
    return module, torch_modules.reference(module, given)


def _planted(
    arbiter: Arbiter, path: Path, seed: int, wanted: int
) -> Iterator[tuple[Planted, Observed]]:
    """Each mistake, and every value that ONNX Runtime computes with it."""
    model = ir.load(path)
    values = [name for node in arbiter.network.graph.nodes for name in node.outputs if name]
    made = {str(value.name): value for node in model.graph for value in node.outputs}
    given = {str(value.name) for value in model.graph.outputs}
    model.graph.outputs.extend(made[name] for name in values if name not in given)
    rng = np.random.default_rng(seed)
    plain = _taps(model, path, arbiter, values)
    count = 0
    for name in MISTAKES:
        if count == wanted:
            return
        with closing(planted(model, name, rng)) as places:
            for mistake in places:
                taps = _taps(model, path, arbiter, values)
                if all(np.array_equal(taps[value], plain[value]) for value in mistake.values):
                    continue  # it changes nothing there: no value is cut, say
                count += 1
                yield mistake, Observed(f"{name}, {mistake.node}", taps)
                break


def _taps(
    model: ir.Model, path: Path, arbiter: Arbiter, values: Sequence[str]
) -> Mapping[str, Any]:
    # Beside the network, whose weights it reads.
    changed = path.with_name("planted.onnx")
    ir.save(model, changed)
    return run_unoptimised(changed, arbiter.inputs, values)


def _found(mistake: Planted, run: Run) -> Found:
    row = run.guilty
    if row is None or row.accumulated is None:
        return Found(mistake.name, mistake.node, False, "", run.worst_ratio, "")
    return Found(
        mistake.name,
        mistake.node,
        row.value in mistake.values,
        row.node,
        _finite(row.accumulated.ratio),
        run.cause,
    )


def _figures(run: Run) -> Figures:
    accumulated = [row.accumulated for row in run.rows if row.accumulated is not None]
    local = [row.local for row in run.rows if row.local is not None]
    row = run.guilty
    return Figures(
        run.name,
        run.status,
        _finite(max((v.ratio for v in accumulated), default=0.0)),
        _finite(max((v.deviations for v in accumulated), default=0.0)),
        _finite(max((v.ratio for v in local), default=0.0)),
        _finite(max((v.deviations for v in local), default=0.0)),
        len(accumulated),
        "" if row is None else f"{row.operator} {row.node}",
    )


def _finite(figure: float) -> float:
    return figure if math.isfinite(figure) else 1e30
