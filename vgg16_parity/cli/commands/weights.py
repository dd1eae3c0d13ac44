"""``vgg16 weights list``, ``fetch`` and ``verify``."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from onnx_arbiter.cli.console import print_json, print_table, receiving, shape_text, show, working
from vgg16_parity.cli.options import JsonOption, resolve
from vgg16_spec.errors import BadInput

if TYPE_CHECKING:
    from vgg16_spec.checkpoint import Checkpoint
    from vgg16_weights.comparison.verify import Findings
    from vgg16_weights.comparison.verify import Row as VerifyRow
    from vgg16_weights.comparison.which_mistake import Difference

app = typer.Typer(no_args_is_help=True, help="List and fetch published weights; compare files.")

_LIST_COLUMNS: Final = (
    "weights",
    "network",
    "recipe",
    "licence",
    "cached",
    "MB",
    "top-1 %",
    "top-5 %",
)
# Hexadecimal digits of a digest in tables, enough to tell tensors apart; --json prints all 64.
_SHOWN: Final = 16


@app.command("list")
def list_weights(*, as_json: JsonOption = False) -> None:
    """List the published weights: network, preprocessing, licence, accuracy, cached or not."""
    from vgg16_weights.published.fetch import is_cached, location
    from vgg16_weights.published.pretrained import PUBLISHED

    records = PUBLISHED.values()
    if as_json:
        facts = [
            asdict(record) | {"path": str(location(record)), "cached": is_cached(record)}
            for record in records
        ]
        print_json({"weights": facts})
        return
    rows = [
        (
            record.name,
            record.configuration + (" features" if record.features_only else ""),
            record.recipe,
            record.licence,
            "yes" if is_cached(record) else "no",
            f"{record.size / 1e6:.0f}",
            "" if record.top1 is None else f"{record.top1:g}",
            "" if record.top5 is None else f"{record.top5:g}",
        )
        for record in records
    ]
    print_table(_LIST_COLUMNS, rows, text_columns=5)
    for record in records:
        if record.features_only:
            show(f"{record.name}: features only, because {record.features_only}.")


@app.command()
def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Names that `vgg16 weights list` shows."),
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Fetch all of them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch published weights into the cache folder and print their paths."""
    from vgg16_weights.published.fetch import fetch
    from vgg16_weights.published.pretrained import PUBLISHED, published

    if not (names or everything):
        raise BadInput("weights fetch", "no name is given", f"{', '.join(PUBLISHED)}, or --all")
    if names and everything:
        raise BadInput("weights fetch", "names and --all are both given", "one of the two")
    # Look up every name before the first fetch.
    records = [published(name) for name in dict.fromkeys(names or PUBLISHED)]
    paths: dict[str, str] = {}
    for record in records:
        with receiving(f"fetch {record.name}") as progress:
            paths[record.name] = str(fetch(record, progress))
        if not as_json:
            show(paths[record.name])
    if as_json:
        print_json({"files": paths})


@app.command()
def verify(
    ours: Annotated[
        str,
        typer.Argument(metavar="A", help="Weights or ONNX file, published name, or seeded[:N]."),
    ],
    theirs: Annotated[
        str | None,
        typer.Argument(
            metavar="[B]", help="Another, of any format. Without it, print A's digests."
        ),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> int:
    """Compare two weights files tensor by tensor, and name the mistake that makes A into B.

    The exit status is 1 if they differ.
    """
    if theirs is None:
        _print_digests(ours, resolve(ours), as_json=as_json)
        return 0
    files = {"A": (ours, resolve(ours)), "B": (theirs, resolve(theirs))}
    return _compare(files, as_json=as_json)


def _print_digests(name: str, checkpoint: Checkpoint, *, as_json: bool) -> None:
    from vgg16_weights.comparison.verify import digests

    with working(f"digest {name}"):
        found = digests(checkpoint)
    shapes = checkpoint.configuration.weight_shapes
    if as_json:
        tensors = [
            {"tensor": tensor, "shape": list(shapes[tensor]), "sha256": sha256}
            for tensor, sha256 in found.items()
        ]
        print_json({"file": _facts(name, checkpoint), "tensors": tensors})
        return
    rows = [
        (tensor, shape_text(shapes[tensor]), sha256[:_SHOWN]) for tensor, sha256 in found.items()
    ]
    print_table(("tensor", "shape", "sha256"), rows, text_columns=3)
    show(_line(name, checkpoint))


def _compare(files: dict[str, tuple[str, Checkpoint]], *, as_json: bool) -> int:
    """Print the digests of both files' tensors; 1 if a tensor differs or one side lacks it."""
    from vgg16_weights.comparison.verify import compare, known_mistakes, sentences

    (ours, left), (theirs, right) = files.values()
    with working(f"compare {ours} with {theirs}"):
        compared = compare(left, right)
    equal = sum(row.verdict == "equal" for row in compared)
    found: Findings = {}
    if any(row.verdict == "differs" for row in compared):
        with working("known mistakes"):
            found = known_mistakes(compared, left, right)
    if as_json:
        print_json(
            {
                "files": [_facts(*file) for file in files.values()],
                "equal": equal == len(compared),
                "recipes_equal": _same_recipe(left, right),
                "tensors": [_compared(row, found.get(row.tensor)) for row in compared],
            }
        )
    else:
        rows = [
            (row.tensor, row.verdict, shape_text(row.shape), row.ours[:_SHOWN], row.theirs[:_SHOWN])
            for row in compared
        ]
        columns = ("tensor", "verdict", "shape", "sha256 of A", "sha256 of B")
        print_table(columns, rows, text_columns=5)
        for letter, file in files.items():
            show(f"{letter}: {_line(*file)}")
        for sentence in sentences(found, left.configuration):
            show(sentence)
        if equal == len(compared) and not _same_recipe(left, right):
            show(f"The values are equal, the recipes are not: {_recipes(left, right)}.")
        show(f"{equal} of {len(compared)} tensors are equal, bit for bit.")
    return 0 if equal == len(compared) else 1


def _compared(row: VerifyRow, found: str | Difference | None) -> dict[str, Any]:
    return {
        "tensor": row.tensor,
        "shape": list(row.shape),
        "verdict": row.verdict,
        "sha256": [row.ours or None, row.theirs or None],
        "mistake": found if isinstance(found, str) else None,
    }


def _same_recipe(left: Checkpoint, right: Checkpoint) -> bool:
    """Whether both prepare a picture of the network's size alike, whatever their names are."""
    from vgg16_spec.images.recipes import resized_side

    stated = {(each.metadata.recipe, each.metadata.preprocessing) for each in (left, right)}
    if len(stated) == 1:
        return True
    with suppress(BadInput):  # of a name that is unknown nothing else can be told
        size = left.configuration.input_size
        ours, theirs = (
            replace(recipe, resize=resized_side(recipe, size), crop=size)
            for recipe in (left.recipe, right.recipe)
        )
        return ours.does_the_same(theirs)
    return False


def _recipes(left: Checkpoint, right: Checkpoint) -> str:
    ours, theirs = left.metadata.recipe, right.metadata.recipe
    if ours == theirs:
        return f"two different ones are called {ours}"
    return f"{ours}{_assumed(left)} and {theirs}{_assumed(right)}"


def _assumed(checkpoint: Checkpoint) -> str:
    return " (assumed)" if checkpoint.is_recipe_assumed else ""


def _facts(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "name": name,
        "configuration": checkpoint.configuration.name,
        "recipe": checkpoint.metadata.recipe,
        "recipe_assumed": checkpoint.is_recipe_assumed,
        "source": checkpoint.metadata.source,
        "source_sha256": checkpoint.metadata.source_sha256,
        "licence": checkpoint.metadata.licence,
    }


def _line(name: str, checkpoint: Checkpoint) -> str:
    facts = _facts(name, checkpoint)
    facts["recipe"] += _assumed(checkpoint)
    shown = ("configuration", "recipe", "source", "licence")
    return ", ".join([name, *(f"{key} {facts[key]}" for key in shown)])
