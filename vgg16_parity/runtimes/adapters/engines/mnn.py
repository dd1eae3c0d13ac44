"""The exported graph in MNN, converted by MNN's own converter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

# MNN's converter. The script `mnnconvert` calls it too, but then reports each use to a server.
import _tools
import numpy as np
from MNN import expr, nn

from vgg16_parity.runtimes.adapters.engines.graph import (
    Compute,
    EngineGraph,
    Graph,
    require_float32,
)
from vgg16_parity.runtimes.adapters.framework import Values, cores
from vgg16_parity.runtimes.job import Job

# Of its precisions, "low" may be bfloat16 or float16; "normal" is the default. On a CPU both
# "normal" and "high" compute in float32.
_PRECISION: Final = {"strict": "high", "default": "normal"}


def load(job: Job) -> EngineGraph:
    """The job's graph, converted into the job's folder."""
    require_float32(job, "MNN")
    settings: dict[str, Any] = {
        "backend": expr.Backend.CPU,
        "precision": _PRECISION[job.lane],
        "numThread": cores(),
    }

    def open_graph(graph: Graph) -> Compute:
        converted = str(graph.own.with_suffix(".mnn"))
        source = ("-f", "ONNX", "--modelFile", str(graph.path))
        if not _tools.mnnconvert(
            ["mnnconvert", *source, "--MNNModel", converted, "--bizCode", "vgg16"]
        ):
            raise RuntimeError("MNN's converter refused the exported graph")
        runtime = nn.create_runtime_manager((settings,))
        network = nn.load_module_from_file(
            converted, list(graph.inputs), list(graph.outputs), runtime_manager=runtime
        )

        def compute(inputs: Sequence[Values]) -> list[Values]:
            given = [expr.const(values, list(values.shape), expr.NCHW) for values in inputs]
            results = network.forward(given)
            # MNN packs channels by four; `read` returns a view.
            return [np.array(expr.convert(each, expr.NCHW).read()) for each in results]

        return compute

    flags = {"precision": _PRECISION[job.lane], "backend": "CPU"}
    return EngineGraph(job, open_graph, flags)
