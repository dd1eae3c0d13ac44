"""``onnx-arbiter``: the command.

It imports what it needs in its body, so that ``onnx-arbiter --help`` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from onnx_arbiter.cli.console import print_json, print_table, say, show
from onnx_arbiter.cli.program import print_version, run

if TYPE_CHECKING:
    from onnx_arbiter.judge.records import Report

app = typer.Typer(name="onnx-arbiter", add_completion=False, pretty_exceptions_enable=False)


def main() -> None:
    """Run the command line and exit.

    Exit status: 0, within rounding; 1, a mistake, or nothing was judged; 2 and more, as `run` has
    it.
    """
    run(app, "onnx-arbiter")


def _print_version(wanted: bool) -> None:
    if wanted:
        print_version("onnx-arbiter")


@app.command(no_args_is_help=True)
def judge(
    model: Annotated[Path, Argument(metavar="MODEL.onnx", help="The network.", show_default=False)],
    *,
    inputs: Annotated[
        Path | None,
        Option(metavar="FILE.npz", help="Its inputs by name. Default: seeded ones."),
    ] = None,
    outputs: Annotated[
        Path | None,
        Option(
            metavar="FILE.npz",
            help="What a program computed from the inputs: outputs, or any values by name.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        Option(metavar="OTHER.onnx", help="Another file of the same network, to compare with."),
    ] = None,
    port: Annotated[
        str | None,
        Option(
            metavar="FILE.py:FUNCTION",
            help="Your own port: inputs by name in, outputs or any values by name out.",
        ),
    ] = None,
    runtime: Annotated[
        str | None, Option(metavar="NAME", help="Judge this runtime. Default: onnxruntime.")
    ] = None,
    mode: Annotated[
        str,
        Option(metavar="MODE", help="What it computes in: float32, tf32, bfloat16, float16."),
    ] = "float32",
    shape: Annotated[
        list[str] | None,
        Option(metavar="NAME=SIZES", help="Shape of a seeded input: x=1,3,224,224. Repeatable."),
    ] = None,
    seed: Annotated[
        int | None, Option(metavar="N", min=0, help="Of the seeded inputs. Default: 0.")
    ] = None,
    save_inputs: Annotated[
        Path | None,
        Option(metavar="FILE.npz", help="Write the seeded inputs, for another program to read."),
    ] = None,
    repro: Annotated[
        Path | None,
        Option(metavar="DIR", help="Write the node that is wrong as a model of its own."),
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print one JSON document.")] = False,
    html: Annotated[
        Path | None, Option(metavar="FILE", help="Write the report as a web page.")
    ] = None,
    junit: Annotated[
        Path | None, Option(metavar="FILE", help="Write the report as JUnit XML for CI.")
    ] = None,
    version: Annotated[
        bool,
        Option(
            "--version", is_eager=True, callback=_print_version, help="Show the version and exit."
        ),
    ] = False,
) -> int:
    """Is it rounding or a mistake, and where does it start?

    Any runtime or program is judged by a float64 arbiter that predicts each value's rounding error.

    Without more, ONNX Runtime is judged on seeded inputs. The exit status is 1 for a mistake.
    """
    del version
    import time
    from contextlib import nullcontext

    from onnx_arbiter.cli.judging import Asked, judged, opened, port_asked_for, write_arrays
    from onnx_arbiter.memory import limited_memory, peak_memory
    from onnx_arbiter.report.files import write_files

    start = time.perf_counter()
    wanted = {"--html": html, "--junit": junit}
    files = {option: path for option, path in wanted.items() if path is not None}
    reported = bool(files or repro or as_json)
    asked = Asked(
        model, inputs, outputs, against, port, runtime, mode, tuple(shape or ()), seed,
        save_inputs, repro, reported,
    )  # fmt: skip
    asked.check(files)
    tested = port_asked_for(asked)
    # A port is code that is trusted, and a GPU's libraries reserve more than they take.
    is_bounded = port is None and not (runtime or "").endswith("-cuda")
    with limited_memory() if is_bounded else nullcontext(), opened(asked) as arbiter:
        if save_inputs is not None:
            write_arrays(save_inputs, arbiter.inputs)
            say(f"inputs: {save_inputs}")
            if not asked.anything_to_judge:
                return 0
        found = judged(asked, arbiter, tested)
        report = found.report
    try:
        if repro is not None:
            found.write_repro(repro)
        write_files(files, report)
        for path in files.values():
            say(f"report: {path}")
    finally:  # what took minutes is not lost with a file that can no longer be written
        _print(report, as_json=as_json)
    memory = peak_memory() / 1e9
    say(f"{report.nodes:,} nodes in {time.perf_counter() - start:.1f} s, at most {memory:.1f} GB")
    return 0 if report.holds else 1


def _print(report: Report, *, as_json: bool) -> None:
    from onnx_arbiter.report import json, table

    if as_json:
        print_json(json.to_json(report))
        return
    print_table(table.COLUMNS, table.table(report), text_columns=table.TEXT_COLUMNS)
    for line in (*table.remarks(report), table.summary(report)):
        show(line)
