"""Keras models: exported as references, tapped by a second model as ports."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import onnx_ir as ir

from onnx_arbiter.graph import Array
from onnx_arbiter.ports.keras_export import exported_model
from onnx_arbiter.ports.places import Computed, Place, Reference, Tap, kind_of
from vgg16_spec.errors import BadInput

# Layers that compute nothing where a model is not trained.
_NOTHING: Final = frozenset({"inputlayer", "dropout", "spatialdropout", "identity"})
_LINEAR: Final = "linear"
_MOVES: Final = frozenset({"Transpose", "Identity"})


def is_model(port: Any) -> bool:
    """Whether a port is a Keras model; imports nothing where Keras is not loaded."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(port, keras.Model)


def channels_last() -> bool:
    """Whether Keras has images as (N, H, W, C)."""
    import keras

    return bool(keras.config.image_data_format() == "channels_last")


def reference(model: Any, inputs: Any) -> Reference:
    """Export a functional model or a Sequential, its layers' outputs known by their order.

    Args:
        model: the model, on any backend that can export.
        inputs: an array, or a sequence or a mapping of them, as the model takes them.

    Raises:
        BadInput: for another backend, and for a model that Keras cannot export.
    """
    import keras

    layers = _layers(model)
    if not layers:
        raise BadInput(model.name, "its layers form no graph", "a functional model or a Sequential")
    arrays = _arrays(model, inputs)
    outputs = [*model.outputs, *(layer.output for layer in layers)]
    named = {tensor.name: array for tensor, array in zip(model.inputs, arrays, strict=True)}
    exported = exported_model(keras.Model(_one_or_all(model.inputs), outputs), named)
    exported.graph.name = model.name
    given = [str(value.name) for value in exported.graph.inputs]
    found = [_place(exported, index) for index in range(len(outputs))]
    count = len(model.outputs)
    places = [
        replace(place, name=layer.name, kind=_kind(layer), before=_before(layer))
        for layer, place in zip(layers, found[count:], strict=True)
    ]
    _trim(exported, count)
    read = _read(model, dict(zip((layer.name for layer in layers), places, strict=True)), given)
    places = _named(exported, places, read)
    inputs_by_name = dict(zip(given, arrays, strict=True))
    return Reference(exported, inputs_by_name, found[:count], places, channels_last())


def computed(model: Any, inputs: Sequence[Array]) -> Computed:
    """Run a model, and every layer of it if its layers form a graph."""
    import keras

    last = channels_last()
    layers = _layers(model)
    given = [keras.ops.convert_to_tensor(values) for values in inputs]
    if not layers:
        return Computed(_as_arrays(model(_one_or_all(given), training=False)), (), last)
    tapped = keras.Model(
        _one_or_all(model.inputs), [*model.outputs, *(layer.output for layer in layers)]
    )
    found = _as_arrays(tapped(_one_or_all(given), training=False))
    count = len(model.outputs)
    taps = [
        Tap(layer.name, _kind(layer), values, last, _call(layer), _before(layer), _read_by(layer))
        for layer, values in zip(layers, found[count:], strict=True)
    ]
    return Computed(found[:count], taps, last)


def _read_by(layer: Any) -> tuple[int | None, ...]:
    """The shape of what a layer of one input reads."""
    return () if isinstance(layer.input, list | tuple | dict) else tuple(layer.input.shape)


def _layers(model: Any) -> list[Any]:
    """The layers that compute one array once; none if they form no graph."""
    if not getattr(model, "inputs", None):
        return []
    return [
        layer
        for layer in model.layers
        if kind_of(type(layer).__name__) not in _NOTHING
        and len(layer._inbound_nodes) == 1
        and not isinstance(layer.output, list | tuple | dict)
    ]


def _kind(layer: Any) -> str:
    """The kind of what comes last in a layer: of its activation, if it has one."""
    fused = _activation(layer)
    return kind_of(type(layer).__name__ if fused == _LINEAR else fused)


def _before(layer: Any) -> str:
    """The kind of a layer that an activation is part of; empty if none is."""
    own = type(layer).__name__
    return "" if _activation(layer) == _LINEAR or own == "Activation" else kind_of(own)


def _activation(layer: Any) -> str:
    return str(getattr(getattr(layer, "activation", None), "__name__", _LINEAR))


def _call(layer: Any) -> Any:
    """Computes a layer alone; None where an activation is part of it, which is a node apart."""
    if _before(layer):
        return None

    def call(values: Array) -> Array:
        import keras

        [result] = _as_arrays(layer(keras.ops.convert_to_tensor(values)))
        return result

    return call


def _arrays(model: Any, inputs: Any) -> list[Array]:
    if isinstance(inputs, dict):
        names = [tensor.name for tensor in model.inputs]
        if missing := [name for name in names if name not in inputs]:
            raise BadInput("inputs", f"{missing[0]} is missing", ", ".join(names))
        return [np.asarray(inputs[name]) for name in names]
    several = isinstance(inputs, list | tuple)
    return [np.asarray(values) for values in (inputs if several else [inputs])]


def _one_or_all(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else list(values)


def _as_arrays(values: Any) -> list[Array]:
    import keras

    several = isinstance(values, list | tuple)
    return [keras.ops.convert_to_numpy(each) for each in (values if several else [values])]


def _place(model: ir.Model, index: int) -> Place:
    """Where an output is in the graph, before it is moved into Keras's layout."""
    value = model.graph.outputs[index]
    last = channels_last()
    while (node := value.producer()) is not None and node.op_type in _MOVES:
        source = node.inputs[0]
        if source is None or source.producer() is None or source.shape is None:
            break
        if node.op_type == "Transpose":
            rank = len(source.shape)
            if tuple(node.attributes["perm"].as_ints()) != (0, *range(2, rank), 1):
                break
            last = False
        value = source
    return Place("", "", str(value.name), _shape(value), last)


def _shape(value: ir.Value) -> tuple[int, ...]:
    return () if value.shape is None else tuple(s for s in value.shape if isinstance(s, int))


def _trim(model: ir.Model, count: int) -> None:
    """Leave a model its own outputs, without the nodes that only the others need."""
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    del model.graph.outputs[count:]
    RemoveUnusedNodesPass()(model)


def _read(
    model: Any, places: Mapping[str, Place], inputs: Sequence[str]
) -> dict[str, set[str | None]]:
    """Layer -> the values of the graph that it reads, behind layers that compute nothing."""
    values = dict[int, str | None](
        (id(tensor), name) for tensor, name in zip(model.inputs, inputs, strict=True)
    )
    read = dict[str, set[str | None]]()
    for layer in model.layers:
        for node in layer._inbound_nodes:
            given = {values.get(id(tensor)) for tensor in node.input_tensors}
            made: str | None = None
            if layer.name in places:
                read[layer.name], made = given, places[layer.name].value
            elif kind_of(type(layer).__name__) in _NOTHING and len(given) == 1:
                [made] = given
            for tensor in node.output_tensors:
                values.setdefault(id(tensor), made)
    return read


def _named(
    model: ir.Model, places: Sequence[Place], read: Mapping[str, set[str | None]]
) -> list[Place]:
    """Places that are still in the graph; the nodes that compute them are named after the layers.

    A layer is one node if that reads, behind moves, what the layer reads: exporters put a padding
    into the convolution behind it.
    """
    made = {str(value.name): node for node in model.graph for value in node.outputs}
    data = _on_data(model)
    found = list[Place]()
    for place in places:
        node = made.get(place.value)
        if node is None:
            continue
        node.name = place.name
        given = {_behind_moves(v) for v in node.inputs if v is not None and str(v.name) in data}
        found.append(replace(place, one_node=given == read.get(place.name)))
    return found


def _on_data(model: ir.Model) -> set[str]:
    """The values that are computed from the inputs, and the inputs."""
    known = {str(value.name) for value in model.graph.inputs}
    for node in model.graph:
        if any(value is not None and str(value.name) in known for value in node.inputs):
            known.update(str(value.name) for value in node.outputs)
    return known


def _behind_moves(value: ir.Value) -> str:
    while (node := value.producer()) is not None and node.op_type in _MOVES:
        if node.inputs[0] is None:
            break
        value = node.inputs[0]
    return str(value.name)
