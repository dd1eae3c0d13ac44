"""Run the notebooks and write their outputs: ``python -m parity_tests.support.pages.notebooks``.

The two of the tutorial have the same code cells. The English one is run, and its outputs go into
both, without anything that depends on the run or the machine.
"""

from __future__ import annotations

import base64
import io
import os
import re
import time
from pathlib import Path
from typing import Any, Final

import nbformat
from nbformat import NotebookNode
from PIL import Image

from vgg16_spec.files.atomic import whole_file

ROOT: Final = Path(__file__).parents[3]
ENGLISH: Final = ROOT / "docs" / "tutorial.ipynb"
CHINESE: Final = ROOT / "docs" / "tutorial.zh.ipynb"
ANY_NETWORK: Final = ROOT / "docs" / "any-network.ipynb"

# A cell with this tag prints measured numbers, whose digits depend on the machine.
MEASURED: Final = "measured"

# The time limit for a notebook that hangs; a run takes under two minutes.
SECONDS: Final = 600

_METADATA: Final = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# The largest picture in a notebook, in bytes, and the palette sizes to try until it fits.
LARGEST_PICTURE: Final = 60 * 1024
_COLOURS: Final = (128, 96, 64, 48, 32)
# TensorFlow's C++ code logs before its log level is read.
_LOG_LINE: Final = re.compile(r"(?:WARNING: All log messages|[IWE]\d{4} )")
_MEASURED_NUMBER: Final = re.compile(r"-?\d+\.\d+(?:e[+-]\d+)?|\d{1,3}(?:,\d{3})+")


def read(path: Path) -> NotebookNode:
    """A notebook file, as version 4 of the format."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def run(path: Path, seconds: float = SECONDS) -> NotebookNode:
    """Run a notebook in a fresh kernel and return it with its outputs, normalised.

    The file is not changed. The kernel uses the packages of this working tree and the cache folder
    of this process.

    Raises:
        CellExecutionError: a cell raised.
        CellTimeoutError: the run took longer than ``seconds``.
    """
    from nbclient import NotebookClient

    notebook = read(path)
    end = time.monotonic() + seconds
    client = NotebookClient(
        notebook,
        timeout_func=lambda _cell: max(1, end - time.monotonic()),
        kernel_name="python3",
        resources={"metadata": {"path": path.parent}},
    )
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(ROOT), environment.get("PYTHONPATH")))
    )
    client.execute(env=environment)
    return normalised(notebook)


def normalised(notebook: NotebookNode) -> NotebookNode:
    """Remove everything from a notebook that a second run would change; returns the same object.

    These are execution counts, times, versions, TensorFlow's log and the text that stands for a
    picture in a terminal. Pictures get a palette, which takes a third of the bytes.
    """
    notebook.metadata = nbformat.from_dict(_METADATA)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = NotebookNode({"tags": tags} if tags else {})  # type: ignore[no-untyped-call]
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [kept for output in cell.outputs if (kept := _normalised(output))]
    return notebook


def _normalised(output: NotebookNode) -> NotebookNode | None:
    if output.output_type == "stream" and output.name == "stderr":
        lines = output.text.splitlines(keepends=True)
        output.text = "".join(line for line in lines if not _LOG_LINE.match(line))
        return output if output.text.strip() else None
    if "metadata" in output:
        output.metadata = NotebookNode()  # type: ignore[no-untyped-call]
    if "execution_count" in output:
        output.execution_count = None
    data = output.get("data", {})
    if "image/png" in data:
        output.data = NotebookNode({"image/png": _small(data["image/png"])})  # type: ignore[no-untyped-call]
    return output


def _small(encoded: str) -> str:
    """A PNG in base64, with a palette and without metadata."""
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        whole = image.convert("RGB")
    for colours in _COLOURS:
        buffer = io.BytesIO()
        few = whole.quantize(colours, kmeans=4, dither=Image.Dither.NONE)
        few.save(buffer, "PNG", optimize=True)
        if buffer.tell() <= LARGEST_PICTURE:
            break
    return base64.b64encode(buffer.getvalue()).decode()


def code(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: NotebookNode) -> str:
    """What a code cell prints; for a measured one without the numbers' digits."""
    text = "".join(output.get("text", "") for output in cell.outputs)
    if MEASURED in cell.metadata.get("tags", ()):
        text = re.sub(" +", " ", _MEASURED_NUMBER.sub("#", text))
    return text


def pictures(cell: NotebookNode) -> list[bytes]:
    """The PNG files that a code cell shows."""
    data: list[dict[str, Any]] = [output.get("data", {}) for output in cell.outputs]
    return [base64.b64decode(each["image/png"]) for each in data if "image/png" in each]


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook, completely or not at all."""
    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    with whole_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Run the notebooks and write their outputs, those of the English tutorial into both."""
    write(run(ANY_NETWORK), ANY_NETWORK)
    shown = run(ENGLISH)
    write(shown, ENGLISH)
    chinese = normalised(read(CHINESE))
    for cell, source in zip(code(chinese), code(shown), strict=True):
        cell.outputs = source.outputs
    write(chinese, CHINESE)


if __name__ == "__main__":
    main()
