"""What ``vgg16 check`` does, once its options are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vgg16_parity.cli.console import print_json, working
from vgg16_spec.errors import BadInput, require_file


def check(
    model: Path,
    configuration: str | None,
    weights: str | None,
    images: Sequence[Path],
    as_json: bool,
) -> int:
    """Whether an ONNX file is the checkpoint's network; 1 where it is not."""
    from vgg16_parity.runtimes.requirements import CHECKING

    if reason := CHECKING.missing():
        raise BadInput("check", reason)
    require_file(model, "an ONNX model (.onnx)")
    from vgg16_parity.shadowing import require_own_export

    require_own_export()
    from vgg16_parity.cli.options import resolve
    from vgg16_parity.cli.pictures import named_pictures
    from vgg16_parity.onnx_check.check import check_model, lines, to_json

    pictures = named_pictures(images)
    report = check_model(
        model,
        resolve(weights, configuration),
        pictures,
        progress=working,
    )
    if as_json:
        print_json(to_json(report))
    else:
        print("\n".join(lines(report)))
        verdict = "matches" if report.matches else "does not match"
        print(f"{report.file} {verdict} {report.checkpoint}.")
    return 0 if report.matches else 1
