"""Which batches an exported graph takes."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from differences.harness import exported, tiny
from differences.harness.experiment import Claim, Figure, Finding

TITLE: Final = "Batch size in exported graphs"
RULE: Final = (
    "Name the batch as a free axis when exporting, and run the file with more images than the "
    "example had."
)

_BATCHES: Final = (1, 2, 5)


def run() -> Finding:
    """Export with an example of one image, and run batches of one, two and five."""
    models = dict(exported.models())
    models["PyTorch, the input's shape edited afterwards"] = _edited(models[exported.PYTORCH])
    taken = {name: [n for n in _BATCHES if _takes(model, n)] for name, model in models.items()}
    free = (exported.PYTORCH_FREE, exported.KERAS_TENSORFLOW, exported.KERAS_PYTORCH)
    errors = {name: tiny.deviations(exported.answer(models[name], tiny.images())) for name in free}
    return Finding(
        (
            *(
                Figure(f"{name}: batches of 1, 2 and 5 that run", len(sizes), "of 3")
                for name, sizes in taken.items()
            ),
            *(
                Figure(f"{name}: largest error of a batch of 2", error, tiny.UNIT)
                for name, error in errors.items()
            ),
        ),
        (
            Claim(
                "Without dynamic_shapes, PyTorch's graph takes the example's batch size alone.",
                taken[exported.PYTORCH] == [1],
            ),
            Claim(
                "With it, and from Keras on TensorFlow and on PyTorch, the graph takes every "
                "batch, and its logits are within the limit of rounding.",
                all(taken[name] == list(_BATCHES) for name in free)
                and max(errors.values()) <= tiny.LIMIT,
            ),
            Claim(
                "To write a free axis over the fixed one afterwards does not help: the example's "
                "size is in the Reshape before fc1 as well.",
                _flattened(models[exported.PYTORCH])[0] == 1
                and taken["PyTorch, the input's shape edited afterwards"] == [1],
            ),
        ),
    )


def _takes(model: onnx.ModelProto, count: int) -> bool:
    images: NDArray[np.float32] = np.resize(tiny.images(), (count, *tiny.images().shape[1:]))
    try:
        return len(exported.answer(model, images)) == count
    except Exception:  # whatever ONNX Runtime raises for a shape that does not fit
        return False


def _edited(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its ends' batch declared free, and nothing else changed."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.value_info[:]
    for end in (*changed.graph.input, *changed.graph.output):
        end.type.tensor_type.shape.dim[0].dim_param = "batch"
    return changed


def _flattened(model: onnx.ModelProto) -> tuple[int, ...]:
    """The shape that the Reshape before the first dense layer names."""
    (node,) = (node for node in model.graph.node if node.op_type == "Reshape")
    (shape,) = (each for each in model.graph.initializer if each.name == node.input[1])
    return tuple(int(size) for size in onnx.numpy_helper.to_array(shape))
