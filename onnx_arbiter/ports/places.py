"""Where a model's layers are in its graph, and what a port's layers computed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from onnx_arbiter.graph import Array

if TYPE_CHECKING:
    import onnx_ir as ir

_RANK: Final = re.compile(r"[123]d$")
# Names of one kind of layer in PyTorch and in Keras, lower case and without the rank.
_KINDS: Final = {
    "adaptiveavgpool": "average pool",
    "adaptivemaxpool": "max pool",
    "averagepooling": "average pool",
    "avgpool": "average pool",
    "batchnormalization": "batch norm",
    "batchnorm": "batch norm",
    "convtranspose": "transposed conv",
    "conv2dtranspose": "transposed conv",
    "conv1dtranspose": "transposed conv",
    "conv3dtranspose": "transposed conv",
    "dense": "dense",
    "depthwiseconv": "conv",
    "globalaveragepooling": "average pool",
    "globalmaxpooling": "max pool",
    "hard_sigmoid": "hardsigmoid",
    "hard_silu": "hardswish",
    "hard_swish": "hardswish",
    "layernormalization": "layer norm",
    "layernorm": "layer norm",
    "leaky_relu": "leakyrelu",
    "linear": "dense",
    "maxpool": "max pool",
    "maxpooling": "max pool",
    "relu6": "relu",
    "swish": "silu",
}
# A layer of layers: its output is that of one of them.
CONTAINER: Final = "container"
# What moves values in an order that depends on the layout.
FLATTEN: Final = "flatten"


@dataclass(frozen=True)
class Place:
    """A layer of the reference in its graph.

    Attributes:
        name: the layer's.
        kind: as `kind_of` has it, or `CONTAINER`.
        value: the value of the graph that is its output.
        shape: of that value.
        channels_last: whether its last axis is that of channels; else it is the second.
        one_node: whether the node that computes the value is the whole layer.
        before: the kind of layer that an activation is part of, whose own output is not seen; empty
            if the layer has none, None in PyTorch, where activations are layers of their own.
    """

    name: str
    kind: str
    value: str
    shape: tuple[int, ...]
    channels_last: bool = False
    one_node: bool = False
    before: str | None = ""


@dataclass(frozen=True)
class Reference:
    """A model, exported.

    Attributes:
        model: its graph.
        inputs: its inputs by name, in its own layout.
        outputs: the values that are its outputs, in order.
        places: its layers, in the order of their outputs.
        channels_last: the layout of its inputs and outputs.
    """

    model: ir.Model
    inputs: Mapping[str, Array]
    outputs: Sequence[Place]
    places: Sequence[Place]
    channels_last: bool = False


@dataclass(frozen=True)
class Tap:
    """What one layer of a port computed.

    Attributes:
        name, kind: of the layer, as for `Place`.
        values: its output.
        channels_last: its layout; None if unknown.
        call: computes the layer alone; None where it cannot be.
        before: as for `Place`.
        read: the shape of what it read, None for an open axis; empty if it is unknown.
    """

    name: str
    kind: str
    values: Array
    channels_last: bool | None = False
    call: Callable[[Array], Array] | None = None
    before: str | None = ""
    read: tuple[int | None, ...] = ()

    def may_read(self, shape: tuple[int, ...]) -> bool:
        """Whether what the layer read may have had a shape."""
        if not self.read:
            return True
        same = (known in (None, size) for known, size in zip(self.read, shape, strict=False))
        return len(self.read) == len(shape) and all(same)


@dataclass(frozen=True)
class Computed:
    """What a port computed.

    Attributes:
        outputs: in order; those of a port that gives values by name are among the taps.
        taps: its layers, in the order in which they computed.
        channels_last: the layout of its outputs; None if unknown.
    """

    outputs: Sequence[Array]
    taps: Sequence[Tap] = field(default_factory=tuple)
    channels_last: bool | None = False


def kind_of(name: str) -> str:
    """A layer's kind by the name of its class or function, the same in both frameworks."""
    lower = name.lower()
    return _KINDS.get(lower) or _KINDS.get(short := _RANK.sub("", lower), short)
