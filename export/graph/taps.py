"""A graph that outputs every layer, and one that computes each layer on its own input."""

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

    Its outputs are the taps. Readers of a tap read a new input ``<tap>_given`` instead; these
    follow the images in the taps' order. Each input has a number of images of its own, and maps of
    any height and width.
    """
    apart = model.clone()
    taps = naming.taps(apart)
    for value in (*apart.graph.inputs, *(out for node in apart.graph for out in node.outputs)):
        value.shape = _of_any_size(value)
    for tap in taps[:-1]:
        given = ir.val(f"{tap.name}_given", type=tap.type, shape=tap.shape)
        given.shape = _of_any_size(given)
        for node, index in tuple(tap.uses()):
            node.replace_input_with(index, given)
        apart.graph.inputs.append(given)
    apart.graph.outputs[:] = taps
    return apart


def _of_any_size(value: ir.Value) -> ir.Shape | None:
    """(N, C, H, W) or (N, features), with symbols of the value's own for all but C and features."""
    if value.shape is None:
        return None
    sizes: list[int | str | ir.SymbolicDim] = [f"{value.name}_{axis}" for axis in "NCHW"]
    sizes[1] = value.shape[1]
    return ir.Shape(sizes[: len(value.shape)])


def _as_read(value: ir.Value) -> ir.Value:
    """The value as the next layer reads it: a quantised one is dequantised.

    Quantising also replaces the ReLU, which the quantiser drops where the range starts at zero.
    """
    for kind in ("QuantizeLinear", "DequantizeLinear"):
        readers = list(value.consumers())
        if len(readers) != 1 or readers[0].op_type != kind:
            break
        (value,) = readers[0].outputs
    return value
