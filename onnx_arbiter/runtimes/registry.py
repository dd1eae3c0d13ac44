"""The runtimes for any graph, by name."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from onnx_arbiter.runtimes.cuda_libraries import CUDA_PROVIDER
from onnx_arbiter.runtimes.runtime import Runtime
from vgg16_spec.errors import BadInput, require_one_of


@dataclass(frozen=True)
class Entry:
    """A runtime of the table.

    Attributes:
        module: has it as ``constant``.
        needs: the module that must be installed.
        remedy: the command that installs it.
        provider: the execution provider that ONNX Runtime must have; empty if it is another's.
    """

    module: str
    needs: str
    remedy: str
    constant: str = "RUNTIME"
    provider: str = ""

    def missing(self) -> str:
        """What is not installed, and the remedy; empty if all is."""
        if not find_spec(self.needs):
            return f"{self.needs} is not installed: {self.remedy}"
        if not self.provider:
            return ""
        import onnxruntime

        offered = onnxruntime.get_available_providers()
        if self.provider in offered:
            return ""
        return (
            f"this ONNX Runtime has no {self.provider}, only {', '.join(offered)}: "
            f"pip uninstall onnxruntime, then {self.remedy}"
        )


_ENGINES: Final = 'pip install "vgg16-parity[engines]"'

RUNTIMES: Final = {
    "onnxruntime": Entry(
        "onnx_arbiter.runtimes.onnxruntime", "onnxruntime", 'pip install "vgg16-parity[onnx]"'
    ),
    "onnxruntime-cuda": Entry(
        "onnx_arbiter.runtimes.onnxruntime_cuda",
        "onnxruntime",
        'pip install "vgg16-parity[cuda]"',
        provider=CUDA_PROVIDER,
    ),
    "openvino": Entry("onnx_arbiter.runtimes.openvino", "openvino", _ENGINES),
    "opencv": Entry("onnx_arbiter.runtimes.opencv", "cv2", _ENGINES),
    "opencv-winograd": Entry("onnx_arbiter.runtimes.opencv", "cv2", _ENGINES, "WINOGRAD"),
    "mnn": Entry("onnx_arbiter.runtimes.mnn", "MNN", _ENGINES),
    "torch": Entry("onnx_arbiter.runtimes.pytorch", "onnx2pytorch", _ENGINES),
    "reference": Entry("onnx_arbiter.runtimes.reference", "onnx", "pip install onnx"),
}


def runtime(name: str) -> Runtime:
    """A runtime of the table.

    Raises:
        BadInput: there is none of this name, or what it needs is not installed.
    """
    entry = RUNTIMES[require_one_of("--runtime", name, tuple(RUNTIMES))]
    if reason := entry.missing():
        raise BadInput(f"--runtime {name}", reason)
    found: Runtime = getattr(import_module(entry.module), entry.constant)
    return found
