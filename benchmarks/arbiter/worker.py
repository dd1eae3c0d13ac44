"""The process that does one job of ``benchmarks.arbiter``.

Tasks: ``export`` writes a network's files; ``walk``, ``alone``, ``polygraphy`` and ``float64`` are
what is measured.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from math import prod
from typing import Any, Final

import numpy as np
import onnx

from benchmarks.arbiter.float64 import in_float64, lacking
from benchmarks.harness.worker import Recorder, serve
from benchmarks.siblings.networks import SIBLINGS, images, torch_model
from onnx_arbiter.arbiter import Arbiter
from onnx_arbiter.evaluate import Step, walk
from onnx_arbiter.judge.run import Observed
from onnx_arbiter.spill import Spill

_SEED: Final = 0
_SIZE: Final = 224
_MATRIX: Final = 1536
_PRODUCTS: Final = 5


def export(job: Mapping[str, Any], recorder: Recorder) -> None:
    """Write the network, its copy in float64, and the image."""
    import torch

    sibling = replace(SIBLINGS[job["network"]], size=_SIZE, options=())
    image = images(sibling, _SEED)
    np.save(job["image"], image)
    example = (torch.from_numpy(image),)
    network = torch_model(sibling, _SEED)
    program = torch.onnx.export(network, example, dynamo=True, optimize=False, verbose=False)
    assert program is not None
    program.save(job["model"], external_data=True)
    loaded = onnx.load(job["model"])
    recorder.result["lacking"] = narrow = lacking(loaded)
    onnx.save(in_float64(loaded, narrow), job["float64"])


def measure_walk(job: Mapping[str, Any], recorder: Recorder) -> None:
    """Walk the graph; the rate of matrix products is measured before and after."""
    with Arbiter(job["model"], _inputs(job)) as arbiter:
        graph, keep = arbiter.network.graph, Spill(arbiter.folder)
        rate, operations, values = _matrix_rate(), 0, 0
        with recorder.span("work"):
            start = time.process_time()
            for step in walk(graph, arbiter.inputs, [arbiter.mode], keep=keep):
                operations += _operations(step)
                values += sum(value.values.size for value in step.outputs.values())
            processor = time.process_time() - start
        rate = max(rate, _matrix_rate())
    recorder.result |= {
        "operations": operations,
        "rate": rate,
        "values": values,
        "processor": processor,
    }


def _matrix_rate() -> float:
    """Operations in a second of this process's own time, which other programs do not take."""
    rng = np.random.default_rng(0)
    left, right = rng.random((2, _MATRIX, _MATRIX))
    seconds = []
    for _ in range(_PRODUCTS):
        start = time.process_time()
        np.matmul(left, right)
        seconds.append(time.process_time() - start)
    return 2 * _MATRIX**3 / min(seconds)


def _operations(step: Step) -> int:
    """Products and sums of a node that is a sum of products."""
    if step.node.operator not in ("Conv", "Gemm", "MatMul"):
        return 0
    [output] = step.outputs.values()
    left, right = (value.values.shape for value in step.inputs[:2] if value is not None)
    if step.node.operator == "Conv":
        length = prod(right[1:])
    else:
        length = left[0] if step.node.get("transA", 0) else left[-1]
    return 2 * int(output.values.size) * length


def measure_alone(job: Mapping[str, Any], recorder: Recorder) -> None:
    """Walk the graph, and judge every node alone in ONNX Runtime."""
    from onnx_arbiter.runtimes.onnxruntime import run_node

    with Arbiter(job["model"], _inputs(job)) as arbiter:
        with recorder.span("work"):
            report = arbiter.judge_runs([Observed("ONNX Runtime", {}, run_node)])
        recorder.result["verdict"] = report.runs[0].status


def polygraphy(job: Mapping[str, Any], recorder: Recorder) -> None:
    """Polygraphy's command, in this process."""
    from polygraphy.tools import main

    arguments = [job["model"], "--onnxrt", "--onnx-outputs", "mark", "all"]
    sys.argv = ["polygraphy", "run", *arguments]
    with recorder.span("work"), redirect_stdout(StringIO()) as said:
        status = main()
    if status:
        raise RuntimeError(f"exit status {status}: {said.getvalue().strip().splitlines()[-1]}")


def float64(job: Mapping[str, Any], recorder: Recorder) -> None:
    """ONNX Runtime on the model in float64, every value an output."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    inputs = {name: values.astype(np.float64) for name, values in _inputs(job).items()}
    with recorder.span("work"):
        session = onnxruntime.InferenceSession(
            job["float64"], options, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        found = session.run(names, inputs)
    recorder.result["outputs"] = len(found)


def _inputs(job: Mapping[str, Any]) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    [given] = onnx.load(job["model"], load_external_data=False).graph.input
    return {given.name: np.load(job["image"])}


WORK: Final = {
    "export": export,
    "walk": measure_walk,
    "alone": measure_alone,
    "polygraphy": polygraphy,
    "float64": float64,
}

if __name__ == "__main__":
    raise SystemExit(serve(sys.argv[1], WORK))
