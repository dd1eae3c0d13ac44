"""Which mistakes can be made at which operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from onnx_arbiter.graph import Node
from onnx_arbiter.judge.hypotheses import (
    activations,
    bits,
    general,
    products,
    statistics,
    windows,
)
from onnx_arbiter.judge.hypotheses.mistake import Arrays, Finder, Mistake

_POOLS: Final = (
    "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool",
    "ReduceMean", "ReduceSum", "ReduceMax",
)  # fmt: skip
_LAYOUTS: Final = ("Flatten", "Reshape", "DepthToSpace", "Pad")
# The likelier ones first: time may run out.
FINDERS: Final[dict[str, tuple[Finder, ...]]] = {
    "Conv": (products.convolutions, bits.bits),
    "ConvTranspose": (products.convolutions, bits.bits),
    "Gemm": (products.matrices, bits.bits),
    "MatMul": (products.matrices, bits.bits),
    "BatchNormalization": (statistics.epsilons, statistics.batch),
    "LayerNormalization": (statistics.epsilons, statistics.layers),
    "InstanceNormalization": (statistics.epsilons, statistics.instances),
    "GroupNormalization": (statistics.epsilons, statistics.instances),
    "LRN": (statistics.responses,),
    "Add": (statistics.added_epsilons,),
    "Softmax": (activations.softmaxes,),
    "LogSoftmax": (activations.softmaxes,),
    "Resize": (windows.resizing,),
    **dict.fromkeys(_POOLS, (windows.pools,)),
    "ReduceMean": (windows.pools, statistics.spelt_out),
    **dict.fromkeys(_LAYOUTS, (general.layouts,)),
    **dict.fromkeys(("Sub", "Mul", "Div", "Concat"), (general.arithmetic,)),
}


def mistakes_at(node: Node, inputs: Arrays) -> Iterator[Mistake]:
    """Every mistake that is known of a node with these inputs."""
    yield from activations.activations(node, inputs)
    for finder in FINDERS.get(node.operator, ()):
        yield from finder(node, inputs)
    yield from general.left_out(node, inputs)
