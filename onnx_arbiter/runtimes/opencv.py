"""OpenCV's module ``dnn``.

OpenCV 5 has two engines. Its new one, the default, computes convolutions as direct sums and knows
no switch; the classic one, the only one of OpenCV 4, computes 3×3 convolutions by Winograd's
algorithm unless told not to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from onnx_arbiter.graph import Array
from onnx_arbiter.numeric_modes import MODES, Mode
from onnx_arbiter.runtimes.runtime import Compute, Runtime, each_alone, of_file
from vgg16_spec.files.scratch import scratch_folder

if TYPE_CHECKING:
    import onnx

Way: TypeAlias = Literal["default", "direct", "winograd"]
_NAME: Final = "OpenCV"
# Of tiles of 6 by 6 outputs, as its errors show (docs/measured/engines.md).
_ALGORITHM: Final = "Winograd F(6×6, points 0, ±1, ±2, ±1/2)"
_WINOGRAD: Final = replace(MODES["float32"], name=f"float32 by {_ALGORITHM}", algorithm=_ALGORITHM)


def open_graph(model: Path, wanted: Sequence[str], way: Way = "default") -> Compute:
    """Open a graph.

    Args:
        model: a file in which every output has a shape. (OpenCV 5.0 reads bytes too, but always by
            its default engine.)
        wanted: the outputs to give; all of them must be outputs of the graph.
        way: the default engine, or the classic one without or with Winograd's algorithm.
    """
    import cv2

    # OpenCV 4 has the classic engine alone, and no names for engines.
    classic = getattr(cv2.dnn, "ENGINE_CLASSIC", None)
    engine = (classic,) if way != "default" and classic is not None else ()
    network = cv2.dnn.readNetFromONNX(str(model), *engine)
    if way != "default":
        network.enableWinograd(way == "winograd")

    def compute(inputs: Mapping[str, Array]) -> dict[str, Array]:
        for name, values in inputs.items():
            network.setInput(values, name)
        outputs: Any = network.forward(list(wanted))
        # Copies: a later run may write into what it returns.
        return {name: np.array(output) for name, output in zip(wanted, outputs, strict=True)}

    return compute


@each_alone(_NAME)
def run_node(
    model: onnx.ModelProto, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Compute a node alone, by direct sums; a `NodeRunner`."""
    return _run("direct", model, inputs, wanted)


def _run(
    way: Way, model: onnx.ModelProto, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    prepared = with_shapes(model, inputs)
    known = [value.name for value in prepared.graph.output if value.name in wanted]
    with scratch_folder("onnx-arbiter") as folder, _silent():
        path = folder / "opencv.onnx"
        path.write_bytes(prepared.SerializeToString())
        return open_graph(path, known, way)(inputs)


@contextmanager
def _silent() -> Iterator[None]:
    """OpenCV writes what it refuses to the standard error too."""
    import cv2

    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(before)


def with_shapes(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> onnx.ModelProto:
    """A model whose inputs have the shapes of ``inputs``, and whose outputs have types and shapes.

    Outputs whose shape cannot be inferred are left out.
    """
    import onnx

    for value in model.graph.input:
        if value.name in inputs:
            _set_shape(value, inputs[value.name].shape)
    for value in model.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")  # a symbolic one, that is now a number
    del model.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    outputs = [value for value in inferred.graph.output if _has_shape(value)]
    del inferred.graph.output[:]
    inferred.graph.output.extend(outputs)
    return inferred


def _has_shape(value: onnx.ValueInfoProto) -> bool:
    kind = value.type.tensor_type
    return bool(kind.elem_type) and kind.HasField("shape")


def _set_shape(value: onnx.ValueInfoProto, shape: Iterable[int]) -> None:
    axes = value.type.tensor_type.shape.dim
    del axes[:]
    for size in shape:
        axes.add(dim_value=size)


def mode(way: Way) -> Mode:
    """The mode of a way: Winograd's algorithm for 3×3 convolutions, if it uses it."""
    import cv2

    if way == "winograd" or (way == "default" and not hasattr(cv2.dnn, "ENGINE_CLASSIC")):
        return _WINOGRAD
    return MODES["float32"]


def _runtime(name: str, *ways: Way) -> Runtime:
    return Runtime(
        name,
        {way: of_file(_NAME, partial(_run, way)) for way in ways},
        run_node,
        modes={way: partial(mode, way) for way in ways},
    )


RUNTIME: Final = _runtime("opencv", "default", "direct")
WINOGRAD: Final = _runtime("opencv-winograd", "winograd")
