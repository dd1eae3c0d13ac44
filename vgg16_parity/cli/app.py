"""``vgg16``: the commands.

Every command imports what it needs in its body, so that ``vgg16 --help`` answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Option

from onnx_arbiter.cli.program import print_version, run
from vgg16_parity.cli.commands import weights
from vgg16_parity.cli.commands.check import check
from vgg16_parity.cli.commands.draw import draw
from vgg16_parity.cli.commands.evaluate import evaluate
from vgg16_parity.cli.commands.export import export
from vgg16_parity.cli.commands.parity import parity
from vgg16_parity.cli.commands.port import port
from vgg16_parity.cli.commands.predict import predict
from vgg16_parity.cli.commands.summary import summary

app = typer.Typer(
    name="vgg16", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
for command in (parity, evaluate, export, check, port, predict, summary, draw):
    app.command()(command)
app.add_typer(weights.app, name="weights")


def main() -> None:
    """Run the command line and exit.

    Exit status: 0, success; 1, parity or a match not shown; 2 and more, as `run` has it.
    """
    run(app, "vgg16")


def _print_version(wanted: bool) -> None:
    if wanted:
        print_version("vgg16")


@app.callback()
def _global_options(
    *,
    version: Annotated[
        bool,
        Option(
            "--version", is_eager=True, callback=_print_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """VGG16 in Keras and PyTorch: port weights, export to ONNX, and prove that outputs agree."""
