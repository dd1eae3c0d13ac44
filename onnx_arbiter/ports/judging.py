"""Judge a port of a model that is in memory against the model, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import numpy as np

from onnx_arbiter.arbiter import Arbiter
from onnx_arbiter.graph import Array, Node
from onnx_arbiter.judge.records import Report, Run
from onnx_arbiter.judge.run import NodeRunner, NotRunAlone, Observed
from onnx_arbiter.models.onnx_file import printable
from onnx_arbiter.numeric_modes import MODES
from onnx_arbiter.ports import keras_layers, tf32, torch_modules
from onnx_arbiter.ports.layouts import fitted, moved
from onnx_arbiter.ports.matching import matched
from onnx_arbiter.ports.places import Computed, Place, Reference, Tap
from vgg16_spec.errors import BadInput, few

_NO_LAYER: Final = "no layer of the port computes this node alone"
_PADDED: Final = "the port's layer reads another shape, as where a layer of its own pads before it"


def judge(reference: Reference, port: Any, *, name: str, **options: Any) -> Report:
    """Judge what a port computes of the reference's inputs.

    Args:
        reference: the exported model.
        port: a PyTorch module, a Keras model, or a function of arrays.
        name: the port's name in the report.
        options: those of `Arbiter`.

    Raises:
        BadInput: the port gives nothing that can be compared.
    """
    with (
        Arbiter(reference.model, reference.inputs, **options) as arbiter,
        _computed(reference, port) as computed,
    ):
        found = matched(reference.places, computed.taps)
        values = _values(reference, computed, found.pairs)
        notes: tuple[str, ...] = (found.how,) if computed.taps else ()
        alone = _runner(found.pairs) if any(tap.call for _, tap in found.pairs) else None
        mode = None
        if arbiter.mode == MODES["float32"] and (switch := tf32.switch(port)):
            mode = MODES["tf32"]
            notes += (f"may compute in TF32 on this GPU, and is judged so; in float32: {switch}",)
        report = arbiter.judge_runs([Observed(name, values, alone, notes, mode)])
    if found.by_name or not computed.outputs:
        return report
    return replace(report, runs=tuple(_sure(run, reference) for run in report.runs))


def _sure(run: Run, reference: Reference) -> Run:
    """A run without pairs that were none: wrong layers, where all outputs are right."""
    outputs = {place.value for place in reference.outputs}
    if any(row.status != "holds" for row in run.rows if row.value in outputs):
        return run
    rows = tuple(row for row in run.rows if row.status != "broken")
    if len(rows) == len(run.rows):
        return run
    note = f"{len(run.rows) - len(rows)} of them are other layers: they differ, the outputs do not"
    return replace(run, rows=rows, guilty=None, notes=(*run.notes, note))


@contextmanager
def _computed(reference: Reference, port: Any) -> Iterator[Computed]:
    """Run a port of any kind; its layers can be run alone for as long as the context lasts."""
    inputs = list(reference.inputs.values())
    last = reference.channels_last
    # On its backend PyTorch, a Keras model is a PyTorch module, too.
    if keras_layers.is_model(port):
        yield keras_layers.computed(port, _arranged(inputs, last, keras_layers.channels_last()))
    elif torch_modules.is_module(port):
        with torch_modules.computed(port, _arranged(inputs, last, False)) as found:
            yield found
    elif callable(port):
        yield _called(reference, port, [values.copy() for values in inputs])
    else:
        expected = "a PyTorch module, a Keras model or a function of arrays"
        raise BadInput("port", f"is of the type {type(port).__name__}", expected)


def _arranged(inputs: Sequence[Array], from_last: bool, to_last: bool) -> list[Array]:
    """Inputs in another layout: images, which have four axes and more."""
    return [
        np.ascontiguousarray(moved(v, from_last=from_last, to_last=to_last))
        if v.ndim > 3
        else v.copy()
        for v in inputs
    ]


def _called(reference: Reference, port: Callable[..., Any], inputs: Sequence[Array]) -> Computed:
    """What a function gives: outputs, or the outputs of layers and values of the graph by name."""
    given = port(*inputs)
    if not isinstance(given, Mapping):
        several = isinstance(given, list | tuple)
        return Computed([as_array(v) for v in (given if several else [given])], (), None)
    known = {place.name: place for place in reference.places}
    if odd := [name for name in given if name not in known]:
        expected = few((printable(place.name) for place in reference.places), 8)
        raise BadInput("port", f"no layer is called {few(map(printable, odd))}", expected)
    taps = [Tap(name, known[name].kind, as_array(v), None) for name, v in given.items()]
    return Computed([], taps, None)


def as_array(values: Any) -> Array:
    """An array of NumPy from a tensor of any framework."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values)


def _values(
    reference: Reference, computed: Computed, pairs: Sequence[tuple[Place, Tap]]
) -> dict[str, Array]:
    """What a port computed, by the names of the graph's values and in their layout."""
    values = dict[str, Array]()
    for place, tap in pairs:
        found = fitted(tap.values, place.shape, tap.channels_last, place.channels_last)
        values.setdefault(place.value, tap.values if found is None else found)
    if computed.outputs:
        if len(computed.outputs) != len(reference.outputs):
            problem = f"gives {len(computed.outputs)} outputs"
            raise BadInput("port", problem, f"{len(reference.outputs)}, as the reference does")
        for place, given in zip(reference.outputs, computed.outputs, strict=True):
            found = fitted(given, place.shape, computed.channels_last, place.channels_last)
            values[place.value] = given if found is None else found
    if not values:
        raise BadInput("port", "nothing to compare", "one output or one layer at least")
    return values


def _runner(pairs: Sequence[tuple[Place, Tap]]) -> NodeRunner:
    """Computes a node by the port's layer that is this node alone."""
    known = {place.value: (place, tap) for place, tap in reversed(pairs) if place.one_node}

    def run(
        node: Node,
        inputs: Mapping[str, Array],
        constants: Mapping[str, Array],
        types: Mapping[str, np.dtype[Any]],
    ) -> dict[str, Array]:
        del constants, types  # the layer has its own
        place, tap = known.get(node.outputs[0], (None, None))
        if place is None or tap is None or tap.call is None or len(inputs) != 1:
            raise NotRunAlone(_NO_LAYER)
        [values] = inputs.values()
        if values.ndim > 3 and tap.channels_last is not None:
            values = moved(values, from_last=place.channels_last, to_last=tap.channels_last)
        elif values.ndim == 3 and tap.channels_last != place.channels_last:
            raise NotRunAlone(_NO_LAYER)
        if not tap.may_read(values.shape):
            raise NotRunAlone(_PADDED)
        try:
            result = tap.call(np.ascontiguousarray(values))
        except Exception as error:  # a layer's own
            raise NotRunAlone(f"the layer {tap.name} cannot be run alone ({error})") from error
        found = fitted(result, place.shape, tap.channels_last, place.channels_last)
        return {place.value: result if found is None else found}

    return run
