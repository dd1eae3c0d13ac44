"""The exported graph in OpenCV's module ``dnn``."""

from __future__ import annotations

import cv2

from onnx_arbiter.runtimes import opencv
from vgg16_parity.runtimes.adapters.engines.graph import (
    Compute,
    EngineGraph,
    Graph,
    by_order,
    require_float32,
)
from vgg16_parity.runtimes.job import Job


def load(job: Job) -> EngineGraph:
    """The job's graph, in the engine and with the algorithm that its runtime names."""
    require_float32(job, "OpenCV")
    setting = job.runtime.setting
    way: opencv.Way = "direct" if setting == "direct" else "winograd" if setting else "default"
    classic = getattr(cv2.dnn, "ENGINE_CLASSIC", None)

    def open_graph(graph: Graph) -> Compute:
        return by_order(graph, opencv.open_graph(graph.path, graph.outputs, way))

    new = not setting and classic is not None
    flags = {"engine": "new, by default" if new else "classic"}
    if not new:
        flags["winograd"] = str(setting != "direct")
    return EngineGraph(job, open_graph, flags, threads=cv2.getNumThreads())
