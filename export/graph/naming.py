"""Names of nodes and values, taken from the weights that they depend on, never from positions.

``block1_conv1`` is the Conv that reads ``block1_conv1.weight``. The values between the nodes have
the taps' names: ``block1_conv1`` after its ReLU, ``block1_pool``, ``fc1``.
"""

from __future__ import annotations

import itertools
from typing import Final

import onnx_ir as ir

from export.constants import FEATURES, LOGITS

PREACTIVATION: Final = "_preactivation"
_POOLING: Final = ("MaxPool", "AveragePool")
_LAYERS: Final = ("Conv", "Gemm", "Relu", *_POOLING)


def name(model: ir.Model) -> None:
    """Name the nodes of a canonical graph and the values between them, in place.

    The second occurrence of a layer is numbered: ``block1_conv1_2``.
    """
    graph = model.graph
    images, final = graph.inputs[0], graph.outputs[0]
    taken = {str(value.name) for value in graph.inputs} | {LOGITS, FEATURES}
    layer = read = str(images.name)

    def free(wanted: str) -> str:
        names = itertools.chain([wanted], (f"{wanted}_{number}" for number in itertools.count(2)))
        chosen = next(name for name in names if name not in taken)
        taken.add(chosen)
        return chosen

    activated: dict[ir.Value, str] = {}
    for node in graph:
        (result,) = node.outputs
        if node.op_type in ("Conv", "Gemm"):
            assert node.inputs[1] is not None
            read = str(node.inputs[1].name).rpartition(".")[0]
            layer = free(read)
            node.name = result.name = layer
            if (relu := _only_relu(result)) is not None:
                result.name = free(layer + PREACTIVATION)
                (active,) = relu.outputs
                activated[active] = layer
        elif result in activated:
            node.name, result.name = free(f"{activated[result]}_relu"), activated[result]
        else:
            block = read.rpartition("_")[0] or read
            wanted = {"Flatten": "flatten", "Relu": f"{layer}_relu"}
            wanted |= dict.fromkeys(_POOLING, f"{block}_pool")
            node.name = result.name = free(wanted[node.op_type])
    final.name = LOGITS if final.shape is not None and len(final.shape) == 2 else FEATURES


def taps(model: ir.Model) -> list[ir.Value]:
    """The values of a named graph at which runtimes are compared, in order up to the logits.

    They are the layers' outputs after the ReLU, and pooling's; flattening only moves values. Of a
    network that is applied densely, both the map of the scores and the logits, their means, are.
    """
    return [
        value
        for node in model.graph
        for value in node.outputs
        if node.op_type in _LAYERS or _is_mean(node.inputs[0])
        if not str(value.name).endswith(PREACTIVATION)
    ]


def _is_mean(value: ir.Value | None) -> bool:
    producer = None if value is None else value.producer()
    return producer is not None and producer.op_type == "GlobalAveragePool"


def _only_relu(value: ir.Value) -> ir.Node | None:
    users = list(value.consumers())
    return users[0] if len(users) == 1 and users[0].op_type == "Relu" else None
