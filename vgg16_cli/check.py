"""What ``vgg16 check`` does, once its options are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vgg16.errors import BadInput, require_file
from vgg16_cli.console import print_json, working


def check(
    model: Path,
    configuration: str | None,
    weights: str | None,
    images: Sequence[Path],
    as_json: bool,
) -> int:
    """Whether an ONNX file is the checkpoint's network; 1 where it is not."""
    from parity.runtimes import missing

    if reason := missing(("onnx", "onnx_ir", "onnxruntime"), "torch,onnx"):
        raise BadInput("check", reason)
    require_file(model, "an ONNX model (.onnx)")
    from parity.check import check_model, lines, to_json
    from vgg16_cli.pictures import named_pictures
    from vgg16_cli.weights import resolve

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
