"""The exported graph in OpenVINO, on the CPU.

By its default hint, "performance", OpenVINO computes in bfloat16 on a processor that multiplies it,
and in float16 on some ARM processors. The strict lane asks for float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino

from vgg16_parity.runtimes import settings
from vgg16_parity.runtimes.adapters.engines.graph import Compute, EngineGraph, Graph
from vgg16_parity.runtimes.adapters.framework import Values
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.lanes import LANES


def load(job: Job) -> EngineGraph:
    """The job's graph, in the precision that its lane asks for or that OpenVINO chooses."""
    config, flags = settings.openvino_config(LANES[job.lane])
    core = openvino.Core()

    def open_graph(graph: Graph) -> Compute:
        compiled: Any = core.compile_model(str(graph.path), "CPU", config)

        def compute(inputs: Sequence[Values]) -> list[Values]:
            results = compiled(list(inputs))
            # Copies: the results are views of buffers that the next run writes into.
            return [np.array(results[name], np.float32) for name in graph.outputs]

        return compute

    return EngineGraph(job, open_graph, flags, settings.openvino_mode(flags))
