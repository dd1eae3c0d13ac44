"""``vgg16 weights``: what weights there are, and whether two files hold the same."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

app = typer.Typer(no_args_is_help=True, help="Weights: published ones by name, files compared.")

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command("list")
def list_weights(as_json: JsonOption = False) -> int:
    """List the published weights: network, preprocessing, licence, accuracy, whether cached."""
    from vgg16_parity.cli.commands.published import list_published

    return list_published(as_json)


@app.command()
def fetch(
    names: Annotated[
        Optional[list[str]],  # noqa: UP045 - Typer reads the annotation at run time
        typer.Argument(metavar="NAME...", help="What `vgg16 weights list` shows."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Fetch published weights into the cache folder and print where they are."""
    from vgg16_parity.cli.commands.published import fetch_published

    return fetch_published(names or [], everything, as_json)


@app.command()
def verify(
    ours: Annotated[str, typer.Argument(metavar="A", help="A file, a name, or seeded[:N].")],
    theirs: Annotated[
        Optional[str],  # noqa: UP045 - Typer reads the annotation at run time
        typer.Argument(metavar="[B]", help="Another, of any format; without it, A's digests."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Compare two weights files tensor by tensor; exit status 1 where they differ."""
    from vgg16_parity.cli.commands.verify import verify

    return verify(ours, theirs, as_json)
