"""What explains a wrong value: known mistakes of ports, each computed and compared with it.

A mistake explains a value if the value is within rounding of what the mistake gives, or if it
leaves a hundredth of the error. Several may: they are named together. Nothing is guessed: where
none does, there is no cause.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np

from onnx_arbiter.error_model import Float64
from onnx_arbiter.evaluate import Step, walk
from onnx_arbiter.graph import Array, Constant, Graph, Input, Node
from onnx_arbiter.judge.compare_values import compare
from onnx_arbiter.judge.hypotheses.bits import BFLOAT16_BITS, to_bits, to_float16
from onnx_arbiter.judge.hypotheses.catalogue import mistakes_at
from onnx_arbiter.judge.hypotheses.forward import Region
from onnx_arbiter.judge.hypotheses.images import misread
from onnx_arbiter.judge.hypotheses.mistake import Arrays, Mistake
from onnx_arbiter.judge.search import Search
from onnx_arbiter.judge.symptom import Candidate, Symptom, explained
from onnx_arbiter.numeric_modes import MODES

# The share of the time for the nodes one by one, where mistakes made throughout follow.
_SHARE_OF_NODES: Final = 0.5
# What ports get wrong throughout, the likelier first.
_LIKELY: Final = (
    "GELU", "epsilon of every BatchNormalization were 0.001",
    "epsilon of every BatchNormalization were 1e-05", "epsilon of every LayerNormalization",
    "SAME", "flattened", "ceil_mode", "in training", "same on both sides", "epsilon",
)  # fmt: skip
# So many nodes between given values are changed one by one; or more, evaluated in so many seconds.
_FEW: Final = 30
_MANY: Final = 300
_FAST: Final = 0.5
_MODES: Final = {"tf32": "TF32", "float16": "float16", "bfloat16": "bfloat16"}
# R of errors that a mode has: lower, they would be too small for it; and few may have none.
_LEAST_RATIO: Final = 0.3
_SHARE: Final = 0.6


def diagnose(step: Step, output: str, symptom: Symptom, search: Search) -> str:
    """What explains a value that a node computed from the arbiter's inputs.

    Args:
        step: the node.
        output: which of its outputs is wrong.
        symptom: how.
        search: how long to try.

    Returns:
        The cause in words, "as if its padding were on the other side"; empty if none is known.
    """
    node = step.node
    inputs = [None if value is None else value.values for value in step.inputs]
    index = node.outputs.index(output)

    def candidates() -> Iterator[Candidate]:
        for mistake in mistakes_at(node, inputs):
            yield mistake.words(), _computing(mistake, step, index)

    return explained(candidates(), symptom, search) or of_fewer_bits(step, output, symptom)


def _computing(mistake: Mistake, step: Step, index: int) -> Callable[[], Array]:
    def compute() -> Array:
        inputs = [None if value is None else value.values for value in step.inputs]
        outputs = mistake.change(step.node, inputs)
        if outputs is None:
            raise ValueError("not to be made here")
        return np.asarray(outputs[index])

    return compute


def of_fewer_bits(step: Step, output: str, symptom: Symptom) -> str:
    """The modes of fewer bits whose predicted errors a node's have."""
    named = {
        name: value for name, value in zip(step.node.inputs, step.inputs, strict=True) if value
    }
    graph = Graph(
        (step.node,),
        {n: Input(v.dtype, v.values.shape) for n, v in named.items() if not v.is_constant},
        (output,),
        {n: Constant.of(v.values) for n, v in named.items() if v.is_constant},
    )
    given = {n: named[n].values.astype(named[n].dtype) for n in graph.inputs}
    modes = [MODES[name] for name in _MODES]
    if not output or step.outputs[output].values.dtype.kind != "f":
        return ""
    [again] = walk(graph, given, modes)
    if again.why:
        return ""
    found = list[str]()
    for mode in modes:
        deviation = again.local_deviation(output, mode)
        verdict = compare(symptom.observed, symptom.value, deviation, np.inf, symptom.limits)
        fits = verdict.passed and verdict.ratio >= _LEAST_RATIO and _spread(symptom, deviation)
        if fits and (mode.stored > 0) == _is_stored_in(mode.name, symptom.observed):
            found.append(_MODES[mode.name])
    return f"as if it computed in {' or '.join(found)}" if found else ""


def _spread(symptom: Symptom, deviation: Float64) -> bool:
    """Whether most elements have an error of the size, as rounding gives."""
    error = np.abs(symptom.observed.astype(np.float64) - symptom.value.values)
    may = deviation > 0
    return bool(np.mean(error[may] > 0.1 * deviation[may]) > _SHARE) if may.any() else False


def _is_stored_in(mode: str, observed: Array) -> bool:
    """Whether all values are numbers of the type that a mode stores; of any, if it stores none."""
    roundings = {"float16": to_float16, "bfloat16": to_bits(BFLOAT16_BITS)}
    asked = [roundings[mode]] if mode in roundings else list(roundings.values())
    return any(np.array_equal(rounding(observed), observed) for rounding in asked)


def diagnose_between(
    graph: Graph,
    given: Mapping[str, Array],
    target: str,
    symptom: Symptom,
    search: Search,
    *,
    throughout: bool = True,
) -> str:
    """What explains a value that several nodes computed from values that are given.

    First each node's own mistakes, if there are few nodes, the last ones first: what follows a
    change is computed again. Then those in the inputs, and those made throughout, the likelier
    first; then each node's own, if there are many that are evaluated fast.

    Args:
        graph: the network.
        given: the graph's inputs, and what a runtime computed, by name.
        target: the value.
        symptom: what is wrong with it.
        search: how long to try.
        throughout: whether to try more than the mistakes of few nodes.
    """
    region = Region(graph, given, target, search.tick)
    count = len(region.nodes)
    tries: list[tuple[Iterator[Candidate], float]] = []
    if count <= _FEW:
        tries.append((_at_each(region, search), _SHARE_OF_NODES if throughout else 1.0))
    if throughout:
        tries.append((_throughout(graph, region), 1.0))
        if _FEW < count <= _MANY:
            tries.append((_at_each(region, search, _FAST, likely=True), 1.0))
    search.was_cut |= throughout and count > _MANY
    for candidates, share in tries:
        with search.at_most(share * search.left):
            if cause := explained(candidates, symptom, search):
                return cause
    return ""


def _at_each(
    region: Region, search: Search, most: float = np.inf, *, likely: bool = False
) -> Iterator[Candidate]:
    """Each node's own mistakes, the last nodes first; none if all nodes take longer than ``most``.

    ``likely`` leaves out operands of fewer bits: a port has them at all nodes, or at none.
    """
    start = time.monotonic()
    known = region.all_values()
    if time.monotonic() - start > most:
        search.was_cut = True
        return
    for node in reversed(region.nodes):
        inputs = region.read(node, known)
        other = None if region.target in node.outputs else node
        for mistake in mistakes_at(node, inputs):
            if likely and mistake.is_of_bits:
                continue
            yield mistake.words(other), partial(_changed, region, known, node, mistake)


def _changed(region: Region, known: Mapping[str, Array], node: Node, mistake: Mistake) -> Array:
    outputs = mistake.change(node, region.read(node, known))
    if outputs is None:
        raise ValueError("not to be made here")
    return region.after(node, outputs, known)


def _misread(graph: Graph, region: Region) -> Iterator[Candidate]:
    """Mistakes in the network's inputs, where the region reads them."""
    for name in graph.inputs:
        for words, values in misread(name, region.given[name]) if region.reads(name) else ():
            other = region.with_given(name, values)
            yield f"as if {words}", partial(other.evaluate, lambda _node, _inputs: None)


def _throughout(graph: Graph, region: Region) -> Iterator[Candidate]:
    """Mistakes in the inputs, and those that a port makes at every node of a kind."""
    found = dict[str, None]()

    def note(node: Node, inputs: Arrays) -> None:
        for mistake in mistakes_at(node, inputs):
            found.update(dict.fromkeys(mistake.throughout))

    region.evaluate(note)
    yield from _misread(graph, region)
    for words in sorted(found, key=_likelihood):
        yield f"as if {words}", partial(region.evaluate, partial(_made_everywhere, words))


def _made_everywhere(words: str, node: Node, inputs: Arrays) -> Sequence[Array] | None:
    for mistake in mistakes_at(node, inputs):
        if words in mistake.throughout:
            return mistake.change(node, inputs)
    return None


def _likelihood(words: str) -> int:
    """The place in the order of what is tried."""
    return next((place for place, word in enumerate(_LIKELY) if word in words), len(_LIKELY))
