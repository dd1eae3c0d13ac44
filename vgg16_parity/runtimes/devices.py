"""Whether it is the device itself that cannot be used, by what a framework says as it fails."""

from __future__ import annotations

import re
from typing import Final

from vgg16_parity.runtimes.lanes import Device

# What the CUDA runtime, cuDNN, cuBLAS and the frameworks say where a GPU is missing, too old or too
# new for what they were built for, taken, out of memory, or where its driver or libraries are.
_UNUSABLE: Final = re.compile(
    "|".join(
        (
            "no kernel image is available",
            "no CUDA-capable device",
            "no (?:NVIDIA|CUDA) (?:driver|device|GPU)",
            "driver (?:version is insufficient|on your system is too old)",
            "forward compatibility was attempted",
            "devices? (?:is|are|is/are) (?:busy|unavailable|busy or unavailable)",
            "system not yet initialized",
            "CUDA unknown error",
            "unsupported (?:GPU|PTX|toolchain)",
            "CU(?:DNN|BLAS)_STATUS_(?:NOT_INITIALIZED|ALLOC_FAILED|ARCH_MISMATCH)",
            r"CUDNN_STATUS_SUBLIBRARY_\w+",
            r"lib(?:cuda|cudart|cudnn|cublas|cufft|nvrtc)\w*\.so[.\d]*: cannot open",
            "DNN library (?:is not found|initialization failed)",
            "CUDA out of memory",
            "out of memory.*(?:GPU|CUDA|device)|(?:GPU|CUDA|device).*out of memory",
            "RESOURCE_EXHAUSTED",
            "CUDA_ERROR_(?:OUT_OF_MEMORY|NO_DEVICE|INVALID_DEVICE|SYSTEM_DRIVER_MISMATCH)",
        )
    ),
    re.IGNORECASE,
)


def unusable(device: Device, said: str) -> bool:
    """Whether a failure means that the device cannot be used, not that a runtime is wrong.

    Args:
        device: where it ran; the CPU is always usable.
        said: the error's text, or what a process that died printed last.
    """
    return device == "cuda" and _UNUSABLE.search(said) is not None


def first_sentence(said: str) -> str:
    """The beginning of an error's text, for a reason of one line."""
    line = " ".join(said.split())
    return re.split(r"(?<=[a-z0-9)])[.;] ", line, maxsplit=1)[0].rstrip(".")
