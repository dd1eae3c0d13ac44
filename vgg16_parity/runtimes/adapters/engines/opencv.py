"""The exported graph in OpenCV's module ``dnn``.

OpenCV 5 has two engines. Its new one, the default, computes convolutions as direct sums and knows
no switch; the classic one, the only one of OpenCV 4, computes 3×3 convolutions by Winograd's
algorithm unless told not to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from vgg16_parity.runtimes.adapters.engines.graph import (
    Compute,
    EngineGraph,
    Graph,
    require_float32,
)
from vgg16_parity.runtimes.adapters.framework import Values
from vgg16_parity.runtimes.job import Job


def load(job: Job) -> EngineGraph:
    """The job's graph, in the engine and with the algorithm that its runtime names."""
    require_float32(job, "OpenCV")
    setting = job.runtime.setting
    # OpenCV 4 has the classic engine alone, and no names for engines.
    classic = getattr(cv2.dnn, "ENGINE_CLASSIC", None)

    engine = (classic,) if setting and classic is not None else ()

    def open_graph(graph: Graph) -> Compute:
        network = cv2.dnn.readNetFromONNX(str(graph.path), *engine)
        if setting:
            network.enableWinograd(setting == "winograd")

        def compute(inputs: Sequence[Values]) -> list[Values]:
            for name, values in zip(graph.inputs, inputs, strict=True):
                network.setInput(values, name)
            # Copies: a later run may write into what it returns.
            outputs: Any = network.forward(list(graph.outputs))
            return [np.array(output, np.float32) for output in outputs]

        return compute

    new = not setting and classic is not None
    flags = {"engine": "new, by default" if new else "classic"}
    if not new:
        flags["winograd"] = str(setting != "direct")
    return EngineGraph(job, open_graph, flags, threads=cv2.getNumThreads())
