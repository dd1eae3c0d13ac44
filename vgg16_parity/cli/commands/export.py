"""What ``vgg16 export`` does, once its options are read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final, get_args

from vgg16_parity.cli.console import print_json, working
from vgg16_parity.runtimes import settings
from vgg16_parity.runtimes.requirements import BACKENDS, EXPORTING
from vgg16_spec.errors import BadInput, require_one_of

_LONGEST_NUMBER: Final = 10


def export(
    framework: str,
    out: Path,
    configuration: str | None,
    weights: str | None,
    backend: str,
    calibrate: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """An ONNX file or a bundle."""
    from vgg16_parity.shadowing import require_own_export

    require_own_export()
    from export import Options, check_out, write_export
    from export.constants import Framework
    from vgg16_parity.cli.options import resolve

    source = require_one_of("--framework", framework, get_args(Framework))
    options["batch"] = _batch(options["batch"])
    options["calibrate"] = _pictures(calibrate)
    # Refused before anything is waited for.
    chosen_options = Options(**options)
    check_out(out, chosen_options)
    if source == "torch" and backend:
        raise BadInput("--backend", f"{backend} is Keras's", "--framework keras")
    chosen = require_one_of("--backend", backend or "tensorflow", BACKENDS)
    tracer = f"keras on {chosen}" if source == "keras" else "torch"
    _check_installed(tracer)
    from export.graph.opset import check_opset

    check_opset(options["opset"])
    checkpoint = resolve(weights, configuration)
    os.environ |= settings.environment(chosen)
    with working(f"export from {tracer}"):
        model = write_export(source, checkpoint, out, chosen_options)
    files = _sizes(out)
    accuracy = _accuracy(out)
    if as_json:
        print_json({"model": str(model), "files": files, "accuracy": accuracy})
    else:
        for name, size in files.items():
            print(f"{name}  {size:,} bytes")
        if accuracy is not None:
            print(_in_words(accuracy))
    return 0


def _batch(text: str) -> int | None:
    if text == "dynamic":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < _LONGEST_NUMBER):
        raise BadInput("--batch", f"is {text[:40]!r}", "dynamic or a whole number")
    return int(text)


def _pictures(folder: Path | None) -> tuple[Path, ...]:
    """The files of a folder, sorted, so that the same pictures give the same scales."""
    if folder is None:
        return ()
    if not folder.is_dir():
        raise BadInput(folder, "is no folder", "a folder of pictures")
    found = tuple(sorted(p for p in folder.iterdir() if p.is_file() and p.name[0] != "."))
    if not found:
        raise BadInput(folder, "holds no file", "a folder of pictures")
    return found


def _check_installed(tracer: str) -> None:
    """Raise ``BadInput``, with the remedy, where something that the export needs is missing."""
    if reason := EXPORTING[tracer].missing():
        raise BadInput(f"--framework {tracer}", reason)


def _accuracy(out: Path) -> dict[str, Any] | None:
    """The accuracy record of a bundle in fewer bits."""
    record = out / "accuracy.json"
    if not record.is_file():
        return None
    document: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    return document


def _in_words(accuracy: dict[str, Any]) -> str:
    """The record in one line."""
    *_, (last, ratio) = accuracy["sqnr_db"].items()
    smaller = accuracy["bytes"]["fp32"] / accuracy["bytes"][accuracy["precision"]]
    words = [f"{accuracy['precision']} against fp32: {last} {ratio} dB over the noise"]
    if images := accuracy.get("images"):
        for name in ("top1", "top5"):
            same = sum(image[f"{name}_agrees"] for image in images)
            words.append(f"{name[:3]}-{name[3:]} the same on {same} of {len(images)}")
        error = max(image["largest_error"] for image in images)
        margin = min(image["margin"] for image in images)
        words.append(f"largest error of a logit {error:.2g}, smallest margin {margin:.2g}")
    words.append(f"weights {smaller:.1f} times smaller, {accuracy['speed_up']} times as fast here")
    return "; ".join(words)


def _sizes(out: Path) -> dict[str, int]:
    files = [out] if out.is_file() else sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path): path.stat().st_size for path in files}
