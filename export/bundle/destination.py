"""Where an export may be written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from export.constants import MODEL_FILE, TEST_DATA, VERSION, WEIGHTS_FILE
from export.options import Options
from onnx_arbiter.models.onnx_file import require_text
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import check_writable

# Everything that a bundle can hold: a folder with anything else is not an earlier bundle.
_OF_A_BUNDLE: Final = re.compile(
    rf"(?:{VERSION}/)?{re.escape(MODEL_FILE)}|{VERSION}(?:/{re.escape(WEIGHTS_FILE)})?"
    r"|README\.md|(?:accuracy|labels|metadata)\.json|config\.pbtxt"
    rf"|{TEST_DATA}(?:/(?:in|out)put_\d+\.pb)?"
)


def check_out(out: Path, options: Options) -> bool:
    """Whether ``out`` becomes one file, not a folder; call it before the slow work.

    Raises:
        BadInput: for options of the other form, and where an export cannot be written. A folder has
            to be new, empty or an earlier bundle.
    """
    require_text(out)
    one_file = out.name.lower().endswith(".onnx")
    weights_file, precision = options.weights_file, options.precision
    if one_file and weights_file == "separate":
        raise BadInput("--weights-file separate", f"needs a folder, not {out.name}", "--out DIR")
    if one_file and precision != "fp32":
        problem = f"needs a folder, not {out.name}: its accuracy record goes with it"
        raise BadInput(f"--precision {precision}", problem, "--out DIR")
    if not one_file and weights_file in ("shared", "embedded"):
        problem = f"needs a file, not the folder {out.name or out}"
        raise BadInput(f"--weights-file {weights_file}", problem, "--out FILE.onnx")
    if one_file:
        check_writable(out)
    else:
        _check_folder(out)
    return one_file


def _check_folder(out: Path) -> None:
    expected = "a new folder, an empty one or an earlier export"
    if not out.parent.is_dir():
        raise BadInput(out.parent, "no such folder", "an existing folder to write to")
    if not out.exists():
        return
    if not out.is_dir():
        raise BadInput(out, "is a file", expected)
    if out.resolve() == Path.cwd():
        raise BadInput(out, "is the current folder, which would be replaced", "another folder")
    found = {path.relative_to(out).as_posix() for path in out.rglob("*")}
    if other := sorted(name for name in found if not _OF_A_BUNDLE.fullmatch(name)):
        raise BadInput(out, f"holds {other[0]}", expected)
    if found and not {MODEL_FILE, "metadata.json"} <= found:
        raise BadInput(out, f"holds {min(found)} and no {MODEL_FILE} of ours", expected)
