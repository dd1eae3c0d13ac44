"""What `docs/measured/cuda.md` says of the GPU, and the files beside it that hold it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

MEASURED: Final = Path(__file__).parents[3] / "docs" / "measured"
PAGE: Final = (MEASURED / "cuda.md").read_text(encoding="utf-8")
REPORT: Final = json.loads((MEASURED / "cuda-report.json").read_text(encoding="utf-8"))
KERNELS: Final = json.loads((MEASURED / "cuda-kernels.json").read_text(encoding="utf-8"))
SIBLINGS: Final = json.loads((MEASURED / "cuda-siblings.json").read_text(encoding="utf-8"))
# What a kernel does -> a part of its name; the first that fits. The rest is dense layers.
PARTS: Final = {
    "NCHW to NHWC and back": r"nchwToNhwc|nhwcToNchw",
    "copies and transposes": r"direct_copy|transpose|convertTensor",
    "max pooling": r"max_pool|reduce_window|pooling_fw",
    "convolutions": r"fprop|fft2d|flip_filter|pointwise_mult|cf32cf32|implicit_con|init_device",
    "bias and ReLU, kernels of their own": r"^void at::native|op_generic_tensor|OP_Relu",
}
REST: Final = "dense layers and the rest"
# The columns of the table of shares: a runtime and the list of its kernels.
COLUMNS: Final = (
    ("torch", "tf32 batch 256"),
    ("onnx-from-torch", "default batch 256"),
    ("keras-jax", "tf32 batch 256"),
    ("keras-torch", "default batch 256"),
)
WAYS: Final = ("accumulated", "local")
WITH_TF32: Final = ("strict", "tf32", "default")
EARLIER: Final = ("keras-torch", "onnx-from-keras", "onnx-from-torch")  # in float16


def rows(lane: str = "") -> list[dict[str, Any]]:
    """The runs on the GPU that ran, of one lane or of all."""
    ran = [row for row in REPORT["rows"] if row["device"] == "cuda" and row["cases"]]
    return [row for row in ran if lane in ("", row["lane"])]


def row(runtime: str, lane: str) -> dict[str, Any]:
    (found,) = (row for row in rows(lane) if row["runtime"] == runtime)
    return found


def errors(runtime: str, lane: str, figure: str, which: str = "local") -> dict[str, Any]:
    """Layer -> a figure of its errors, by default on the arbiter's input."""
    layers = row(runtime, lane)["cases"][0]["layers"]
    return {each["tap"]: each[which][figure] for each in layers}


def names(runtime: str, of: str) -> list[str]:
    """The kernels of a forward pass, in order."""
    return [KERNELS["names"][index] for index, _ in KERNELS["kernels"][runtime][of]]


def milliseconds(runtime: str, of: str) -> dict[str, float]:
    """What the kernels of a forward pass do -> their time."""
    spent: dict[str, float] = defaultdict(float)
    for index, microseconds in KERNELS["kernels"][runtime][of]:
        name = KERNELS["names"][index]
        fits = (part for part, pattern in PARTS.items() if re.search(pattern, name))
        spent[next(fits, REST)] += microseconds / 1000
    return spent


def cells(first: str) -> list[str]:
    """The other cells of the one line of a table that begins with a cell."""
    lines = (line.strip() for line in PAGE.splitlines())
    (line,) = (line for line in lines if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]


def rate(runtime: str, lane: str, batch: int) -> float:
    """Images per second in the table of throughput."""
    return float(cells(f"{runtime} | {lane} | {batch}")[2])


def roofline(mode: str) -> float:
    """FLOP/s of a large matrix product."""
    (found,) = re.findall(rf"^\| {mode} \| ([\d.]+) \| [\d.e+]+ \|$", PAGE, re.MULTILINE)
    return float(found) * 1e12


def span(values: list[float], form: str = ".2f") -> str:
    return f"{min(values):{form}} to {max(values):{form}}"
