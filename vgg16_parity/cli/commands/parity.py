"""``vgg16 parity``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from onnx_arbiter.cli.console import print_json, print_table, say, show, working
from vgg16_parity.cli import options
from vgg16_spec.errors import BadInput, require_one_of

if TYPE_CHECKING:
    from vgg16_parity.records import Report
    from vgg16_parity.report.json import Change


def parity(
    *,
    configuration: options.ConfigurationOption = None,
    weights: options.WeightsOption = None,
    recipe: options.RecipeOption = None,
    images: options.ImagesOption = None,
    max_pixels: options.MaxPixelsOption = None,
    runtimes: Annotated[
        str | None,
        Option(
            metavar="a,b,…|all",
            help="Runtimes to compare. Default: the six of this project; all: these and the "
            "engines. One that was not named and is not installed is only reported.",
        ),
    ] = None,
    lanes: Annotated[
        str | None,
        Option(
            metavar="a,b,…",
            help="Numeric settings: strict, default, tf32, bfloat16, float16. "
            "Default: strict,default.",
        ),
    ] = None,
    device: Annotated[
        str, Option(metavar="cpu|cuda|both", help="Where to run; both also compares the two.")
    ] = "cpu",
    port: options.PortOption = None,
    port_mode: options.PortModeOption = None,
    hard: Annotated[
        bool, Option("--hard", help="Also run stress inputs (constants, NaN, …).")
    ] = False,
    quick: Annotated[
        bool, Option("--quick", help="Compare only logits, in the strict lane.")
    ] = False,
    gradients: Annotated[
        bool, Option("--gradients", help="Also compare gradients and one step of SGD.")
    ] = False,
    timeout: Annotated[
        float | None, Option(metavar="SECONDS", help="Stop a runtime that takes longer.")
    ] = None,
    report: Annotated[Path | None, Option(metavar="FILE", help="Write the report as JSON.")] = None,
    html: Annotated[
        Path | None, Option(metavar="FILE", help="Write the report as a web page.")
    ] = None,
    junit: Annotated[
        Path | None, Option(metavar="FILE", help="Write the report as JUnit XML for CI.")
    ] = None,
    against: Annotated[
        Path | None, Option(metavar="OLD.json", help="Show what changed since an older --report.")
    ] = None,
    as_json: options.JsonOption = False,
) -> int:
    """Run every runtime on the same images and judge each layer by a float64 arbiter.

    The exit status is 1 if parity is broken or nothing was compared.
    """
    from vgg16_parity.report.diff import diff_reports
    from vgg16_parity.report.files import check_files, write_files
    from vgg16_parity.report.json import Document, to_json
    from vgg16_parity.run import DEVICES, run_parity
    from vgg16_parity.runtimes.lanes import lane
    from vgg16_parity.runtimes.registry import ALL

    chosen = options.named_runtimes(runtimes, port, port_mode)
    # ``all`` is what is installed. Whatever is named must run, and a port.
    named = [] if runtimes is None else options.split(runtimes)
    must_run = [name for name in named if name != ALL] + [each.name for each in chosen if each.port]
    if quick and gradients:
        raise BadInput("--quick", "cannot be combined with --gradients", "one of the two")
    place = require_one_of("--device", device, DEVICES)
    if timeout is not None and not timeout > 0:
        raise BadInput("--timeout", f"is {timeout:g}", "seconds, more than 0")
    pictures = options.named_pictures(images, max_pixels)
    chosen_lanes = [
        lane(name)
        for name in options.split(
            ("strict" if quick else "strict,default") if lanes is None else lanes
        )
    ]
    wanted = {"--report": report, "--html": html, "--junit": junit}
    files = {option: path for option, path in wanted.items() if path is not None}
    given = [weights, recipe, port and port.rpartition(":")[0]]
    inputs = [*pictures, *(Path(name) for name in given if name)]
    older = check_files(files, inputs, against)
    result = run_parity(
        options.resolve_to_run(weights, configuration, recipe),
        pictures,
        chosen,
        lanes=chosen_lanes,
        device=place,
        hard_inputs=hard,
        depth="logits" if quick else "layers",
        gradients=gradients,
        all_required=bool(must_run) and ALL not in named,
        required=must_run if ALL in named else (),
        timeout=timeout,
        progress=working,
    )
    changes = None if older is None else diff_reports(older, Document.of(result))
    try:
        write_files(files, result, pictures, changes)
        for path in files.values():
            say(f"report: {path}")
    finally:  # a run of minutes is not lost with a file that can no longer be written
        if as_json:
            print_json(to_json(result, changes))
        else:
            _print(result, changes, against)
    return 0 if result.holds else 1


def _print(report: Report, changes: list[Change] | None, older: Path | None) -> None:
    from vgg16_parity.report.table import COLUMNS, TEXT_COLUMNS, remarks, summary, table

    print_table(COLUMNS, table(report), text_columns=TEXT_COLUMNS)
    for line in remarks(report):
        show(line)
    show(summary(report))
    if changes is not None:
        show(f"Since {older}: {'' if changes else 'nothing moved.'}".rstrip())
        for change in changes:
            show(f"  {change}")
