"""``vgg16 weights verify``: the digests of a file's tensors, and whether another has the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from vgg16_parity.cli.console import print_json, print_table, working
from vgg16_spec.checkpoint import Checkpoint

# Of a digest in hexadecimal, enough for people to tell tensors apart; --json has all of it.
_SHOWN: Final = 16


def verify(ours: str, theirs: str | None, as_json: bool) -> int:
    """1 where a tensor differs or is missing on one side."""
    from vgg16_parity.cli.options import resolve

    if theirs is None:
        return _list(ours, resolve(ours, None), as_json)
    return _compare((ours, theirs), (resolve(ours, None), resolve(theirs, None)), as_json)


def _list(name: str, checkpoint: Checkpoint, as_json: bool) -> int:
    from vgg16_weights.verify import digests

    with working(f"digest {name}"):
        found = digests(checkpoint)
    shapes = checkpoint.configuration.weight_shapes
    if as_json:
        tensors = [
            {"tensor": tensor, "shape": list(shapes[tensor]), "sha256": sha256}
            for tensor, sha256 in found.items()
        ]
        print_json({"file": _described(name, checkpoint), "tensors": tensors})
        return 0
    rows = [(tensor, _shape(shapes[tensor]), sha256[:_SHOWN]) for tensor, sha256 in found.items()]
    print_table(("tensor", "shape", "sha256"), rows, text_columns=3)
    print(_line(name, checkpoint))
    return 0


def _compare(
    names: tuple[str, str], checkpoints: tuple[Checkpoint, Checkpoint], as_json: bool
) -> int:
    from vgg16_weights.verify import compare

    with working(f"compare {names[0]} with {names[1]}"):
        compared = compare(*checkpoints)
    equal = all(row.verdict == "equal" for row in compared)
    if as_json:
        print_json(
            {
                "files": [_described(*side) for side in zip(names, checkpoints, strict=True)],
                "equal": equal,
                "tensors": [
                    {
                        "tensor": row.tensor,
                        "shape": list(row.shape),
                        "verdict": row.verdict,
                        "sha256": [row.ours or None, row.theirs or None],
                    }
                    for row in compared
                ],
            }
        )
        return 0 if equal else 1
    rows = [
        (row.tensor, row.verdict, _shape(row.shape), row.ours[:_SHOWN], row.theirs[:_SHOWN])
        for row in compared
    ]
    print_table(("tensor", "verdict", "shape", "sha256 of A", "sha256 of B"), rows, text_columns=5)
    for letter, name, checkpoint in zip("AB", names, checkpoints, strict=True):
        print(f"{letter}: {_line(name, checkpoint)}")
    same = sum(row.verdict == "equal" for row in compared)
    print(f"{same} of {len(compared)} tensors are equal, bit for bit.")
    return 0 if equal else 1


def _described(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "name": name,
        "configuration": checkpoint.configuration.name,
        "recipe": checkpoint.metadata.recipe,
        "source": checkpoint.metadata.source,
        "source_sha256": checkpoint.metadata.source_sha256,
        "licence": checkpoint.metadata.licence,
    }


def _line(name: str, checkpoint: Checkpoint) -> str:
    facts = checkpoint.metadata
    return (
        f"{name}, configuration {checkpoint.configuration.name}, recipe {facts.recipe}, "
        f"source {facts.source}, licence {facts.licence}"
    )


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
