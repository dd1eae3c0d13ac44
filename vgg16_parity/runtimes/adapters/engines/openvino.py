"""The exported graph in OpenVINO, on the CPU; the strict lane asks for float32."""

from __future__ import annotations

from onnx_arbiter.runtimes import openvino
from vgg16_parity.runtimes import settings
from vgg16_parity.runtimes.adapters.engines.graph import Compute, EngineGraph, Graph, by_order
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.lanes import LANES


def load(job: Job) -> EngineGraph:
    """The job's graph, in the precision that its lane asks for or that OpenVINO chooses."""
    config, flags = settings.openvino_config(LANES[job.lane])

    def open_graph(graph: Graph) -> Compute:
        return by_order(graph, openvino.open_graph(str(graph.path), graph.outputs, config))

    return EngineGraph(job, open_graph, flags, settings.openvino_mode(flags))
