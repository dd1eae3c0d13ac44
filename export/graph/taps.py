"""A graph that gives out every layer's output, and one whose layers each stand alone."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from export.graph import naming


def with_taps(model: ir.Model, names: Sequence[str]) -> ir.Model:
    """A copy of the model with these values, in this order, as its outputs."""
    tapped = model.clone()
    values = {value.name: value for node in tapped.graph for value in node.outputs}
    tapped.graph.outputs[:] = [_as_read(values[name]) for name in names]
    return tapped


def layers_alone(model: ir.Model) -> ir.Model:
    """A copy of a named graph, cut at every tap.

    Its outputs are the taps. What read a tap reads an input instead, which follows the images in
    the taps' order and is called ``<tap>_given``.
    """
    apart = model.clone()
    taps = naming.taps(apart)
    for tap in taps[:-1]:
        given = ir.val(f"{tap.name}_given", type=tap.type, shape=tap.shape)
        for node, index in tuple(tap.uses()):
            node.replace_input_with(index, given)
        apart.graph.inputs.append(given)
    apart.graph.outputs[:] = taps
    return apart


def _as_read(value: ir.Value) -> ir.Value:
    """What the next layer reads of a value: of a quantised one, its 8 bits as a number again.

    They are its ReLU too, which the quantiser leaves out where the smallest of them is zero.
    """
    for kind in ("QuantizeLinear", "DequantizeLinear"):
        readers = list(value.consumers())
        if len(readers) != 1 or readers[0].op_type != kind:
            break
        (value,) = readers[0].outputs
    return value
