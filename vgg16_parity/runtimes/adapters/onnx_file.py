"""A user's own ONNX file in ONNX Runtime, as it is: a bundle in fewer bits, or another exporter's.

What the graph takes is told by its input: float images or raw pixels, channels first or last, any
number of images or a fixed one, of the network's size or applied densely to any.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx_ir as ir

from export.load import open_model
from onnx_arbiter.runtimes.cuda_libraries import load_cuda_libraries
from vgg16_parity.runtimes import settings
from vgg16_parity.runtimes.adapters.framework import Taps, Values, cores
from vgg16_parity.runtimes.adapters.onnx import open_session
from vgg16_parity.runtimes.job import Job
from vgg16_parity.runtimes.lanes import LANES
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import normalise
from vgg16_spec.images.recipes import Recipe
from vgg16_spec.layouts import contiguous, nhwc_to_nchw

_TYPES: Final = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
_EXPECTED: Final = "one input of images (N, 3, H, W) or (N, H, W, 3), float32, float16 or uint8"


class OnnxFile:
    """The file that a runtime names.

    Attributes:
        network: the open session.
        any_size: whether it takes images of any size as they are, and gives logits of each.
    """

    def __init__(self, job: Job) -> None:
        path = Path(job.runtime.file)
        if job.device == "cuda":
            load_cuda_libraries()
        lane = LANES[job.lane]
        providers, self.flags = settings.onnx_providers(lane, job.device)
        graph = open_model(path).graph
        self._ends_in_softmax = _ends_in_softmax(graph)
        self.network: Any = open_session(providers, path, deterministic=lane.deterministic)
        self.device: str = self.network.get_providers()[0]
        self.threads = cores()
        self.own_mode = ""
        self._read_input(path, resizes=any(node.op_type == "Resize" for node in graph))
        precision = self.network.get_modelmeta().custom_metadata_map.get("precision", "")
        stated = {"precision": precision} if precision in ("fp32", "fp16", "int8") else {}
        self.flags |= stated | {
            "input": f"{np.dtype(self._type)} {self._layout}",
            "output": "probabilities, as their logarithms" if self._ends_in_softmax else "logits",
        }

    def _read_input(self, path: Path, *, resizes: bool) -> None:
        found = [(each.name, each.type, each.shape) for each in self.network.get_inputs()]
        if len(found) != 1 or found[0][1] not in _TYPES or len(found[0][2]) != 4:
            told = ", ".join(f"{name} {kind} {shape}" for name, kind, shape in found)
            raise BadInput(path, f"takes {told or 'nothing'}", _EXPECTED)
        self._name, kind, (batch, *sides) = found[0]
        self._type = _TYPES[kind]
        # As the canonical exports are; a side of 3 pixels is no VGG's.
        self._layout = "nhwc" if sides[-1] == 3 else "nchw"
        height, width = sides[:2] if self._layout == "nhwc" else sides[1:]
        fixed = isinstance(height, int) or isinstance(width, int)
        self.any_size = not fixed and not resizes
        if self._type == np.uint8 and resizes and not fixed:
            problem = "takes pictures of any size, which it resizes itself"
            raise BadInput(path, problem, "a graph for pixels of the network's size")
        self._batch = batch if isinstance(batch, int) and batch > 0 else None

    def pixel_logits(self, pixels: Values, recipe: Recipe) -> Values:
        """(N, classes) of RGB pixels (N, H, W, 3); of probabilities, their logarithms."""
        if self._type == np.uint8:
            images = nhwc_to_nchw(pixels) if self._layout == "nchw" else pixels
        else:
            prepared = normalise(pixels, recipe, layout=self._layout)  # type: ignore[arg-type]
            images = prepared.astype(self._type, copy=False)
        computed = self._in_batches(contiguous(images))
        values = np.asarray(computed, np.float32)
        if self._ends_in_softmax:
            # A probability that rounds to zero has no logarithm.
            values = np.log(np.maximum(values, np.finfo(np.float32).tiny))
        return values

    def _in_batches(self, images: Values) -> Values:
        """The last output, of as many images at once as the file takes."""
        step = self._batch or len(images)
        found = []
        for start in range(0, len(images), step):
            part = images[start : start + step]
            # What is missing of a fixed batch is the last image again.
            given = np.concatenate([part, np.repeat(part[-1:], step - len(part), axis=0)])
            found.append(self.network.run(None, {self._name: given})[-1][: len(part)])
        return np.concatenate(found)

    def forward(self, images: Values, *, logits_only: bool) -> Taps:
        """As `Evaluator`; a file's own taps have names that nobody knows."""
        raise NotImplementedError

    def layers(self, images: Values, given: Taps) -> Taps:
        """As `Evaluator`: none."""
        del images, given
        return {}


def _ends_in_softmax(graph: ir.Graph) -> bool:
    producer = graph.outputs[-1].producer()
    return producer is not None and producer.op_type == "Softmax"
