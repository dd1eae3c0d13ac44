"""Exporting and running the tiny network, as several test files do it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray

from vgg16_spec.architecture import Configuration
from vgg16_spec.checkpoint import Checkpoint

# Options -> the ONNX file of the tiny network, traced in Keras on TensorFlow, which is the fastest.
Export: TypeAlias = Callable[..., Path]


_TRACED: Final[dict[Configuration, onnx.ModelProto]] = {}


@contextmanager
def remembered_traces() -> Iterator[None]:
    """Trace each configuration in Keras once in this process: for tests of what follows a trace."""
    from export.trace import from_keras

    trace = from_keras.trace

    def remembered(configuration: Configuration) -> ir.Model:
        if configuration not in _TRACED:
            _TRACED[configuration] = ir.to_proto(trace(configuration))
        return ir.from_proto(_TRACED[configuration])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(from_keras, "trace", remembered)
        yield


def run(model: Path, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """ONNX Runtime's outputs by name."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (graph_input,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {graph_input.name: np.ascontiguousarray(images)})
    return dict(zip(names, map(np.asarray, values), strict=True))


def noise(checkpoint: Checkpoint, images: int, *, side: int | None = None) -> NDArray[np.float32]:
    """(images, 3, side, side) of standard normal values, the same every time."""
    size = side or checkpoint.configuration.input_size
    return np.random.default_rng(images).standard_normal((images, 3, size, size), np.float32)


def structure(model: Path) -> onnx.ModelProto:
    """The graph without its external weights."""
    return onnx.load(model, load_external_data=False)


def files(folder: Path) -> dict[str, bytes]:
    """Path within a folder -> content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
