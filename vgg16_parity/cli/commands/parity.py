"""``vgg16 parity``: the main job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vgg16_parity.cli.console import print_json, print_table, say, working
from vgg16_parity.report.files import ReportFiles
from vgg16_spec.errors import BadInput, require_one_of


def parity(
    configuration: str | None,
    weights: str | None,
    images: Sequence[Path],
    runtimes: str | None,
    lanes: str | None,
    device: str,
    port: str | None,
    hard: bool,
    quick: bool,
    gradients: bool,
    timeout: float | None,
    files: ReportFiles,
    as_json: bool,
) -> int:
    """Run and judge; 1 where parity is broken or nothing was compared."""
    from vgg16_parity.cli.options import resolve
    from vgg16_parity.cli.pictures import named_pictures
    from vgg16_parity.report.diff import diff_reports
    from vgg16_parity.report.json import Document, to_json
    from vgg16_parity.report.table import COLUMNS, TEXT_COLUMNS, remarks, table
    from vgg16_parity.run import DEVICES, run_parity
    from vgg16_parity.runtimes.lanes import lane
    from vgg16_parity.runtimes.registry import RUNTIMES, own_port, runtime

    chosen = [] if port is None else [own_port(port)]
    if runtimes is not None or port is None:
        named = RUNTIMES if runtimes is None else _listed(runtimes)
        chosen += [runtime(name) for name in named]
    wanted = _listed(("strict" if quick else "strict,default") if lanes is None else lanes)
    if quick and gradients:
        raise BadInput("--quick", "excludes --gradients", "one of the two")
    place = require_one_of("--device", device, DEVICES)
    if timeout is not None and not timeout > 0:
        raise BadInput("--timeout", f"is {timeout:g}", "seconds, more than 0")
    pictures = named_pictures(images)
    chosen_lanes = [lane(name) for name in wanted]
    given = [weights, None if port is None else port.rpartition(":")[0]]
    older = files.check([*pictures, *(Path(name) for name in given if name)])
    report = run_parity(
        resolve(weights, configuration),
        pictures,
        chosen,
        lanes=chosen_lanes,
        device=place,
        hard_inputs=hard,
        depth="logits" if quick else "layers",
        gradients=gradients,
        all_required=runtimes is not None or port is not None,
        timeout=timeout,
        progress=working,
    )
    moves = None if older is None else diff_reports(older, Document.of(report))
    for path in files.write(report, pictures, moves):
        say(f"report: {path}")
    if as_json:
        print_json(to_json(report, moves))
    else:
        print_table(COLUMNS, table(report), text_columns=TEXT_COLUMNS)
        for line in remarks(report):
            print(line)
        print(report.summary)
        if moves is not None:
            print(f"Since {files.against}: {'' if moves else 'nothing moved.'}".rstrip())
            for move in moves:
                print(f"  {move}")
    return 0 if report.holds else 1


def _listed(names: str) -> list[str]:
    return list(dict.fromkeys(map(str.strip, names.split(","))))
