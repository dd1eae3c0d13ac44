"""What ONNX Runtime needs to compute on an NVIDIA GPU."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

CUDA_PROVIDER: Final = "CUDAExecutionProvider"


def load_cuda_libraries() -> None:
    """Load CUDA's and cuDNN's libraries from their packages, wherever those are installed.

    ONNX Runtime alone looks for the packages beside its own folder, and then where the system does.
    """
    import onnxruntime

    packages = find_spec("nvidia")
    places = (packages.submodule_search_locations or ()) if packages else ()
    for folder in sorted(found for place in places for found in Path(place).glob("*/lib")):
        onnxruntime.preload_dlls(directory=str(folder))
    onnxruntime.preload_dlls()
