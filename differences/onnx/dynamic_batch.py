"""The batch sizes that an exported graph accepts."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from differences.harness import tiny
from differences.harness.experiment import Finding
from differences.onnx import exported

TITLE: Final = "Batch size in exported graphs"
RULE: Final = (
    "Declare the batch as a dynamic axis when exporting, and run the file with more images than "
    "the example had."
)
PACKAGES: Final = ("onnx", "onnxruntime")

_BATCHES: Final = (1, 2, 5)


def run() -> Finding:
    """Export with an example of one image, then run batches of one, two and five."""
    models = dict(exported.models())
    models["PyTorch, input shape edited afterwards"] = _edited(models[exported.PYTORCH])
    taken = {name: [n for n in _BATCHES if _takes(model, n)] for name, model in models.items()}
    free = (exported.PYTORCH_DYNAMIC, exported.KERAS_TENSORFLOW, exported.KERAS_PYTORCH)
    errors = {name: tiny.deviations(exported.answer(models[name], tiny.images())) for name in free}
    return Finding(
        {
            **{
                f"{name}: batches of 1, 2 and 5 that run": (len(sizes), "of 3")
                for name, sizes in taken.items()
            },
            **{
                f"{name}: largest error of a batch of 2": (error, tiny.UNIT)
                for name, error in errors.items()
            },
        },
        {
            "Without dynamic_shapes, PyTorch's graph accepts only the example's batch size.": (
                taken[exported.PYTORCH] == [1]
            ),
            "With it, and from Keras on TensorFlow and on PyTorch, the graph accepts every "
            "batch, and its logits are within the limit of rounding.": (
                all(taken[name] == list(_BATCHES) for name in free)
                and max(errors.values()) <= tiny.LIMIT
            ),
            "Replacing the fixed axis by a dynamic one afterwards does not help: the example's "
            "size is also in the Reshape before fc1.": (
                _flattened(models[exported.PYTORCH])[0] == 1
                and taken["PyTorch, input shape edited afterwards"] == [1]
            ),
        },
    )


def _takes(model: onnx.ModelProto, count: int) -> bool:
    images: NDArray[np.float32] = np.resize(tiny.images(), (count, *tiny.images().shape[1:]))
    try:
        return len(exported.answer(model, images)) == count
    except Exception:  # ONNX Runtime has its own exceptions
        return False


def _edited(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with a dynamic batch in its inputs and outputs, otherwise unchanged."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.value_info[:]
    for end in (*changed.graph.input, *changed.graph.output):
        end.type.tensor_type.shape.dim[0].dim_param = "batch"
    return changed


def _flattened(model: onnx.ModelProto) -> tuple[int, ...]:
    """The target shape of the Reshape before the first dense layer."""
    (node,) = (node for node in model.graph.node if node.op_type == "Reshape")
    (shape,) = (each for each in model.graph.initializer if each.name == node.input[1])
    return tuple(int(size) for size in onnx.numpy_helper.to_array(shape))
