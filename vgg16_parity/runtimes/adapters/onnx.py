"""The exported graph in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from export import MODEL_FILE
from onnx_arbiter.runtimes.cuda_libraries import CUDA_PROVIDER, load_cuda_libraries
from vgg16_parity.runtimes import settings
from vgg16_parity.runtimes.adapters.exported import Kind, write_graph
from vgg16_parity.runtimes.adapters.framework import Taps, Values, cores, thread_limit
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import pip_install
from vgg16_parity.runtimes.settings import Unavailable


class OnnxGraph:
    """The exported file; its taps and layers come from modified copies written beside it.

    Attributes:
        network: the open session. One at a time, since each holds the weights.
    """

    def __init__(self, job: Job) -> None:
        lane = LANES[job.lane]
        if lane.precision == "bfloat16":
            raise Unavailable("ONNX Runtime has no convolution in bfloat16")
        if job.device == "cuda":
            load_cuda_libraries()
        providers, self.flags = settings.onnx_providers(lane, job.device)
        self._session = partial(open_session, providers, deterministic=lane.deterministic)
        if job.runtime.framework == "keras":
            self.flags["exported from"] = job.runtime.computed_by
        self._path = Path(job.model) / MODEL_FILE
        self._kind: Kind | None = None
        self.network: Any
        self._open("logits" if job.depth == "logits" else "taps")
        self._size = tuple(self.network.get_inputs()[0].shape[2:])
        self.device: str = self.network.get_providers()[0]
        self.threads = cores()
        self.own_mode = ""

    def forward(self, images: Values, *, logits_only: bool) -> Taps:
        """As `Evaluator`."""
        return self._run("logits" if logits_only else "taps", [images])

    def layers(self, images: Values, given: Taps) -> Taps:
        """As `Evaluator`."""
        return self._run("layers", [images, *given.values()])

    def dense(self, images: Values) -> Values:
        """As `DenseEvaluator`."""
        # A convolution adds up in another order than the matrix product of the plain graph.
        if images.shape[2:] == self._size:
            return self.forward(images, logits_only=True)["predictions"]
        return self._run("dense", [images])["predictions"]

    def _run(self, kind: Kind, inputs: list[Values]) -> Taps:
        self._open(kind)
        feeds = {
            feed.name: np.asarray(values, np.float16 if "float16" in feed.type else np.float32)
            for feed, values in zip(self.network.get_inputs(), inputs, strict=True)
        }
        names = [output.name for output in self.network.get_outputs()]
        # The graph's last output is called `logits`; every other one has its tap's name.
        return dict(zip([*names[:-1], "predictions"], self.network.run(None, feeds), strict=True))

    def _open(self, kind: Kind) -> None:
        if kind == self._kind:
            return
        self._kind, self.network = kind, None
        self.network = self._session(write_graph(self._path, kind))


def open_session(providers: Sequence[Any], path: Path, *, deterministic: bool) -> Any:
    """A session of a model's file that holds every node on the requested device.

    Args:
        providers: as ``settings.onnx_providers`` lists them; if CUDA's is first, every node must be
            there.
        path: the model.
        deterministic: whether its kernels must give the same bits twice.

    Raises:
        Unavailable: CUDA's provider cannot be used.
        RuntimeError: it can, and does not hold every node.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    options.use_deterministic_compute = deterministic
    options.intra_op_num_threads = thread_limit()
    if isinstance(providers[0], str):  # the CPU's
        return onnxruntime.InferenceSession(path, options, providers=providers)
    offered = onnxruntime.get_available_providers()
    if CUDA_PROVIDER not in offered:
        raise Unavailable(
            f"this ONNX Runtime has no {CUDA_PROVIDER}, only {', '.join(offered)}: "
            f"pip uninstall onnxruntime, then {pip_install(['cuda'])}"
        )
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    # CUDA alone: without the Python layer's own second try on the CPU.
    session = onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)
    used = session.get_providers()
    if CUDA_PROVIDER not in used:
        # Its library, or one that this needs (CUDA, cuDNN), was not found or refused the GPU.
        raise Unavailable(
            f"ONNX Runtime could not load its {CUDA_PROVIDER} and offers {', '.join(used)}"
        )
    elsewhere = [
        f"{node.name} ({node.op_type}, {part.ep_name})"
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name != CUDA_PROVIDER
        for node in part.get_nodes()
    ]
    if elsewhere:
        raise RuntimeError(f"ONNX Runtime has no CUDA kernel for {', '.join(elsewhere[:5])}")
    return session
