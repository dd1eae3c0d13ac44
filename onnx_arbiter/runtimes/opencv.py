"""OpenCV's module ``dnn``.

OpenCV 5 has two engines. Its new one, the default, computes convolutions as direct sums and knows
no switch; the classic one, the only one of OpenCV 4, computes 3×3 convolutions by Winograd's
algorithm unless told not to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from onnx_arbiter.graph import Array, Node
from onnx_arbiter.runtimes.runtime import Compute, Runtime, refusals, refusals_alone
from onnx_arbiter.to_onnx import model_of

if TYPE_CHECKING:
    import onnx

Way: TypeAlias = Literal["default", "direct", "winograd"]
_NAME: Final = "OpenCV"


def open_graph(model: str | bytes, wanted: Sequence[str], way: Way = "default") -> Compute:
    """Open a graph.

    Args:
        model: a file's path, or its bytes. OpenCV needs the shape of every output in it.
        wanted: the outputs to give; all of them must be outputs of the graph.
        way: the default engine, or the classic one without or with Winograd's algorithm.
    """
    import cv2

    # OpenCV 4 has the classic engine alone, and no names for engines.
    classic = getattr(cv2.dnn, "ENGINE_CLASSIC", None)
    engine = (classic,) if way != "default" and classic is not None else ()
    source: Any = model if isinstance(model, str) else np.frombuffer(model, np.uint8)
    network = cv2.dnn.readNetFromONNX(source, *engine)
    if way != "default":
        network.enableWinograd(way == "winograd")

    def compute(inputs: Mapping[str, Array]) -> dict[str, Array]:
        for name, values in inputs.items():
            network.setInput(values, name)
        outputs: Any = network.forward(list(wanted))
        # Copies: a later run may write into what it returns.
        return {name: np.array(output) for name, output in zip(wanted, outputs, strict=True)}

    return compute


def run(
    way: Way, model: Path, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """Run a file in one of the ways of `open_graph`."""
    import onnx

    with refusals(_NAME, model):
        prepared = with_shapes(onnx.load(model), inputs)
        known = [value.name for value in prepared.graph.output if value.name in wanted]
        return open_graph(prepared.SerializeToString(), known, way)(inputs)


def run_node(
    node: Node,
    inputs: Mapping[str, Array],
    constants: Mapping[str, Array],
    types: Mapping[str, np.dtype[Any]],
) -> dict[str, Array]:
    """Compute a node alone; a `NodeRunner`."""
    with refusals_alone(_NAME):
        model = with_shapes(model_of([node], types, inputs, constants), inputs)
        names = [value.name for value in model.graph.output]
        return open_graph(model.SerializeToString(), names, "direct")(inputs)


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


RUNTIME: Final = Runtime(
    "opencv",
    {
        "default": partial(run, "default"),
        "winograd": partial(run, "winograd"),
        "direct": partial(run, "direct"),
    },
    run_node,
)
