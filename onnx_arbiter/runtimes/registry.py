"""The runtimes that `onnx-arbiter --runtime` knows."""

from __future__ import annotations

from onnx_arbiter.runtimes.runtime import Runtime
from vgg16_spec.errors import BadInput, require_one_of


def runtime(name: str) -> Runtime:
    """A runtime by its name.

    Raises ``BadInput`` for one that is unknown or not installed.
    """
    require_one_of("--runtime", name, ("onnxruntime",))
    from importlib.util import find_spec

    if find_spec("onnxruntime") is None:
        raise BadInput("--runtime", "onnxruntime is not installed", "pip install onnxruntime")
    from onnx_arbiter.runtimes.onnxruntime import RUNTIME

    return RUNTIME
