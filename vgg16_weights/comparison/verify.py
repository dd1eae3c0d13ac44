"""Whether two checkpoints hold the same values, tensor by tensor, whatever files they are in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from vgg16_spec.architecture import Configuration, Shape
from vgg16_spec.blocks import BLOCK_BYTES
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_weights.comparison.which_mistake import (
    PIECES,
    Difference,
    Pieces,
    known_mistake,
    output_order,
)

Verdict: TypeAlias = Literal["equal", "differs", "missing"]
# Tensor -> the mistake that turns one side into the other, or the size of the difference.
Findings: TypeAlias = dict[str, str | Difference]
ABSENT: Final = ""
# Largest rms, relative to the values, of rounding errors and of differences of related weights.
_ROUNDING: Final = 1e-6
_ALIKE: Final = 0.5


class Row(NamedTuple):
    """One tensor on both sides: its shape and the sha256 of its values in canonical layout.

    If a side lacks the tensor, its digest is ``ABSENT`` and the shape is the other's.
    """

    tensor: str
    shape: Shape
    ours: str
    theirs: str

    @property
    def verdict(self) -> Verdict:
        """Whether both sides have the tensor, and in the same bits."""
        if ABSENT in (self.ours, self.theirs):
            return "missing"
        return "equal" if self.ours == self.theirs else "differs"


def digests(checkpoint: Checkpoint, block_bytes: int = BLOCK_BYTES) -> dict[str, str]:
    """Tensor name -> sha256 of its values in canonical layout, in hexadecimal."""
    return {name: checkpoint.tensor(name).digest(block_bytes) for name in checkpoint}


def compare(ours: Checkpoint, theirs: Checkpoint, block_bytes: int = BLOCK_BYTES) -> list[Row]:
    """A row for each tensor of either side; tensors of different shapes differ.

    Values are read in blocks of ``block_bytes`` at most.
    """
    left, right = digests(ours, block_bytes), digests(theirs, block_bytes)
    shapes = theirs.configuration.weight_shapes | ours.configuration.weight_shapes
    names = list(dict.fromkeys([*ours, *theirs]))
    return [
        Row(name, shapes[name], left.get(name, ABSENT), right.get(name, ABSENT)) for name in names
    ]


def known_mistakes(
    rows: Sequence[Row], ours: Checkpoint, theirs: Checkpoint, pieces: Pieces = PIECES
) -> Findings:
    """The known mistake that explains each tensor that differs, or else by how much it differs.

    Values are looked at in ``pieces``. Tensors that one side lacks, or that have different shapes,
    are left out.
    """
    found: Findings = {}
    differing = {row.tensor: row for row in rows if row.verdict == "differs"}
    for name, row in differing.items():
        if ours.configuration.weight_shapes[name] != theirs.configuration.weight_shapes[name]:
            continue
        before = next((each for each in found.values() if isinstance(each, str)), "")
        found[name] = _elsewhere(row, rows, theirs) or _of_values(
            name, ours, theirs, before, pieces
        )
    if any(isinstance(each, Difference) and each.relative > _ALIKE for each in found.values()):
        found |= _untrained(differing, found, ours.configuration)
    return found


def _elsewhere(row: Row, rows: Sequence[Row], theirs: Checkpoint) -> str:
    """The tensor of A whose values B has here, in words; empty if there is none or all are zero."""
    source = next((other for other in rows if other.ours == row.theirs), None)
    if source is None or not theirs[row.tensor].any():
        return ""
    if source.theirs != row.ours:
        return f"B has the values of A's {source.tensor}"
    pair = [each.tensor.rpartition(".")[0] for each in rows if each in (row, source)]
    return f"B is A with {pair[0]} and {pair[1]} exchanged"


def _of_values(
    name: str, ours: Checkpoint, theirs: Checkpoint, likely: str, pieces: Pieces
) -> str | Difference:
    layer, _, part = name.rpartition(".")
    order = None
    if part == "bias":
        order = output_order(*(side.tensor(f"{layer}.weight").view() for side in (ours, theirs)))
    left, right = (side.tensor(name).view() for side in (ours, theirs))
    maps = ours.configuration.feature_shape
    return known_mistake(name, left, right, maps, order=order, likely=likely, pieces=pieces)


def _untrained(
    differing: Mapping[str, Row], found: Findings, configuration: Configuration
) -> dict[str, str]:
    """The tensors that have the seeded default's values on one side, and which side."""
    default, words = generate(configuration), dict[str, str]()
    for name, row in differing.items():
        # A weight takes up to a second to generate: only if its bias is the default's.
        bias = differing.get(f"{name.rpartition('.')[0]}.bias")
        if bias is None or not isinstance(found.get(name), Difference):
            continue
        expected = default.tensor(bias.tensor).digest()
        for side, ours, theirs in (("A", bias.ours, row.ours), ("B", bias.theirs, row.theirs)):
            if ours == expected and theirs == default.tensor(name).digest():
                words[name] = f"{side} has the seeded default's values, which are untrained"
    return words


def sentences(findings: Findings, configuration: Configuration) -> Iterator[str]:
    """The findings in plain English, one sentence for all tensors that share a mistake."""
    groups: dict[str | tuple[str, str], list[str]] = {}
    for tensor, found in findings.items():
        kind = found if isinstance(found, str) else (found.arrangement, _called(found))
        groups.setdefault(kind, []).append(tensor)
    for kind, tensors in groups.items():
        words = kind
        if not isinstance(words, str):
            arrangement, called = words
            several = [each for each in map(findings.get, tensors) if isinstance(each, Difference)]
            moved = f" with {arrangement}" if arrangement else ""
            words = (
                f"B differs from A{moved} in {sum(each.differing for each in several):,} of "
                f"{sum(each.size for each in several):,} values, by up to "
                f"{max(each.largest for each in several):.2g} "
                f"(rms {max(each.relative for each in several):.2g} of A's): {called}"
            )
        yield f"{subject(tensors, configuration)}: {words}."


def _called(found: Difference) -> str:
    """The likely cause of a difference, from its size and the share of values that differ."""
    if found.relative <= _ROUNDING:
        return "rounding errors"
    if 2 * found.differing <= found.size:
        return "most values are equal"
    return (
        "trained further, or stored in fewer bits" if found.relative <= _ALIKE else "other weights"
    )


def subject(tensors: Sequence[str], configuration: Configuration) -> str:
    """Tensors in few words: ``all 13 convolutions``, or three names and a count."""
    every = list(configuration.weight_shapes)
    kinds: Mapping[str, Sequence[str]] = {
        "tensors": every,
        "weights": [name for name in every if name.endswith(".weight")],
        "biases": [name for name in every if name.endswith(".bias")],
        "convolutions": [f"{layer.name}.weight" for layer in configuration.convolutions],
    }
    for kind, names in kinds.items():
        if set(tensors) == set(names):
            return f"all {len(names)} {kind}"
    named: list[str] = []
    for tensor in tensors:
        layer = tensor.rpartition(".")[0]
        both = {f"{layer}.weight", f"{layer}.bias"} <= set(tensors)
        named.append(layer if both else tensor)
    named = list(dict.fromkeys(named))
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return ", ".join(named[:3]) + more
