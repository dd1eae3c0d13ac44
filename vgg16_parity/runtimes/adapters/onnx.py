"""The exported graph in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vgg16_parity.runtimes import settings
from vgg16_parity.runtimes.adapters.framework import Taps, Values, cores
from vgg16_parity.runtimes.adapters.sessions import cuda_libraries, open_session
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.process import Depth, RunJob
from vgg16_parity.runtimes.settings import Unavailable
from vgg16_parity.runtimes.stopwatch import Stopwatch


class OnnxGraph:
    """The exported file; its taps and layers come from modified copies written beside it.

    Attributes:
        network: the open session. One at a time, since each holds the weights.
    """

    def __init__(self, job: RunJob, stopwatch: Stopwatch) -> None:
        lane = LANES[job.lane]
        if lane.precision == "bfloat16":
            raise Unavailable("ONNX Runtime has no convolution in bfloat16")
        assert job.model is not None
        with stopwatch.stage("import"):
            import onnxruntime

            from export import MODEL_FILE
        if job.device == "cuda":
            cuda_libraries(onnxruntime)
        self._runtime = onnxruntime
        self._deterministic = lane.deterministic
        self._providers, self.flags = settings.onnx_providers(lane, job.device)
        if job.runtime.framework == "keras":
            self.flags["exported from"] = job.runtime.computed_by
        self._path = Path(job.model) / MODEL_FILE
        self._kind: Depth | None = None
        self.network: Any = None
        with stopwatch.stage("load"):
            self._open("logits" if job.depth == "logits" else "taps")
        session: Any = self.network
        self.device: str = session.get_providers()[0]
        self.threads = cores()

    def logits(self, images: Values) -> Values:
        """As `Evaluator`."""
        return self._run("logits", [images])["predictions"]

    def taps(self, images: Values) -> Taps:
        """As `Evaluator`."""
        return self._run("taps", [images])

    def layers(self, images: Values, given: Taps) -> Taps:
        """As `Evaluator`."""
        return self._run("layers", [images, *given.values()])

    def _run(self, kind: Depth, inputs: list[Values]) -> Taps:
        self._open(kind)
        feeds = {
            feed.name: np.asarray(values, np.float16 if "float16" in feed.type else np.float32)
            for feed, values in zip(self.network.get_inputs(), inputs, strict=True)
        }
        names = [output.name for output in self.network.get_outputs()]
        # The graph's last output is called `logits`; every other one has its tap's name.
        return dict(zip([*names[:-1], "predictions"], self.network.run(None, feeds), strict=True))

    def _open(self, kind: Depth) -> None:
        if kind == self._kind:
            return
        self._kind, self.network = kind, None
        path = self._path if kind == "logits" else self._written(kind)
        self.network = open_session(
            self._runtime, path, self._providers, deterministic=self._deterministic
        )

    def _written(self, kind: Depth) -> Path:
        import onnx_ir as ir

        from export.graph import naming
        from export.graph.taps import layers_alone, with_taps
        from export.load import open_model

        model = open_model(self._path)
        if kind == "taps":
            changed = with_taps(model, [str(value.name) for value in naming.taps(model)])
        else:
            changed = layers_alone(model)
        path = self._path.with_name(f"{kind}.onnx")
        path.write_bytes(ir.to_proto(changed).SerializeToString())
        return path
