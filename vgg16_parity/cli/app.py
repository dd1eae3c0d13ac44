"""``vgg16``: the commands, and how a run ends.

Every command imports what it needs in its body, so that ``vgg16 --help`` answers at once.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from typer import Option
from typer.exceptions import TyperException

from vgg16_parity.cli.commands import weights
from vgg16_parity.cli.commands.check import check
from vgg16_parity.cli.commands.draw import draw
from vgg16_parity.cli.commands.export import export
from vgg16_parity.cli.commands.parity import parity
from vgg16_parity.cli.commands.port import port
from vgg16_parity.cli.commands.predict import predict
from vgg16_parity.cli.commands.summary import summary
from vgg16_spec.errors import BadInput

app = typer.Typer(
    name="vgg16", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
for command in (parity, export, check, port, predict, summary, draw):
    app.command()(command)
app.add_typer(weights.app, name="weights")


def main() -> None:
    """Run the command line and exit.

    Exit status: 0, success; 1, parity or a match not shown; 2, invalid input (the last line on
    stderr says why); 130, interrupted; 128 + signal number, terminated, or the
    reader of stdout is gone.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # What they say of a picture's size or metadata, or of their own future, is no result. Not where
    # the packages are imported: there, who imports them decides.
    warnings.filterwarnings("ignore", module=r"(PIL|torch)\b")
    # Exit through ``finally`` blocks: they remove temporary files and stop worker processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        status = app(standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes stdout once more when it exits; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 128 + signal.SIGPIPE
    except BadInput as error:
        status = _fail(str(error))
    except TyperException as error:
        status = _fail(error.format_message())
    except OSError as error:
        status = _fail(f"{error.filename or 'system'}: {error.strerror or error}")
    except MemoryError as error:
        status = _fail(f"memory: {error or 'not enough'}")
    except (KeyboardInterrupt, typer.Abort):
        status = _fail("interrupted", 130)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int = 2) -> int:
    if message:  # empty if the help was shown instead
        print("vgg16:", " ".join(message.split()), file=sys.stderr)
    return status


def _print_version(wanted: bool) -> None:
    """Print the installed version, or the source tree's if nothing is installed."""
    if not wanted:
        return
    import tomllib
    from importlib.metadata import PackageNotFoundError, version

    try:
        print("vgg16", version("vgg16-parity"))
    except PackageNotFoundError:
        project = Path(__file__).parents[2] / "pyproject.toml"
        facts = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        print("vgg16", facts["version"])
    raise typer.Exit


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
