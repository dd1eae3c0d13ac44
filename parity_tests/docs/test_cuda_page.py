"""What `docs/measured/cuda.md` says of the GPU is what the files beside it hold."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest

MEASURED: Final = Path(__file__).parents[2] / "docs" / "measured"
PAGE: Final = (MEASURED / "cuda.md").read_text(encoding="utf-8")
REPORT: Final = json.loads((MEASURED / "cuda-report.json").read_text(encoding="utf-8"))
KERNELS: Final = json.loads((MEASURED / "cuda-kernels.json").read_text(encoding="utf-8"))
# What a kernel does -> a part of its name; the first that fits. The rest is dense layers.
PARTS: Final = {
    "NCHW to NHWC and back": r"nchwToNhwc|nhwcToNchw",
    "max pooling": r"max_pool",
    "convolutions": r"fprop|fft2d|flip_filter|pointwise_mult|cf32cf32|implicit_con|init_device",
    "bias and ReLU, kernels of their own": r"^void at::native",
}
COLUMNS: Final = ("strict", "tf32", "bfloat16")


def rows(lane: str = "") -> list[dict[str, Any]]:
    """The runs on the GPU that ran, of one lane or of all."""
    ran = [row for row in REPORT["rows"] if row["device"] == "cuda" and row["cases"]]
    return [row for row in ran if lane in ("", row["lane"])]


def local(runtime: str, lane: str, figure: str = "rms_error") -> dict[str, Any]:
    """Layer -> a figure of its errors on the arbiter's input."""
    (row,) = (row for row in rows(lane) if row["runtime"] == runtime)
    return {each["tap"]: each["local"][figure] for each in row["cases"][0]["layers"]}


def shares(kernels: list[tuple[int, float]]) -> dict[str, float]:
    """What kernels do -> its share of their time in percent."""
    spent: dict[str, float] = defaultdict(float)
    for index, microseconds in kernels:
        name = KERNELS["names"][index]
        fits = (part for part, pattern in PARTS.items() if re.search(pattern, name))
        spent[next(fits, "dense layers and the rest")] += microseconds
    return {part: 100 * time / sum(spent.values()) for part, time in spent.items()}


def cells(first: str) -> list[str]:
    """The other cells of the one line of a table that begins with a cell."""
    lines = (line.strip() for line in PAGE.splitlines())
    (line,) = (line for line in lines if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]


def test_the_page_counts_the_runs_that_hold() -> None:
    held = [row for row in rows() if row["status"] == "holds"]
    assert f"Parity holds in {len(held)} of {len(rows())} runs on the GPU." in PAGE


def test_every_strict_run_repeats_its_bits() -> None:
    strict = rows("strict")
    assert len(strict) == 5
    assert {row["record"]["repeats"] for row in strict} == {"equal"}


def test_onnx_runtime_and_pytorch_have_equal_figures_in_the_strict_lane() -> None:
    layers = {row["runtime"]: row["cases"][0]["layers"] for row in rows("strict")}
    assert layers["torch"] == layers["onnx-from-torch"] == layers["onnx-from-keras"]


def test_the_layers_that_keras_computes_by_another_algorithm() -> None:
    worst = {name: local(name, "strict", "deviations") for name in ("keras-jax", "keras-torch")}
    torch = local("torch", "strict", "deviations")
    for found in worst.values():
        differ = [tap for tap in found if "conv" in tap and found[tap] != torch[tap]]
        assert differ == ["block1_conv1", "block1_conv2", "block2_conv1"]
    assert f"the worst by {worst['keras-jax']['block1_conv2']:.1f} (limit 10)" in PAGE
    assert f"In block2_conv1 theirs is {worst['keras-torch']['block2_conv1']:.1f}." in PAGE
    histogram = local("keras-jax", "strict", "histogram")["block1_conv2"]
    above = histogram[REPORT["histogram_exponents"].index(3) + 1 :]
    assert f"{sum(above)} are off by more than 8 predicted deviations" in PAGE


@pytest.mark.parametrize("terms", [576, 1152, 2304, 4608])
def test_the_errors_of_tf32_over_those_of_float32(terms: int) -> None:
    strict, tf32 = local("torch", "strict"), local("torch", "tf32")
    named, formula, found = cells(f"{terms:,}")
    assert float(formula) == round(math.sqrt(2 * 2**26 / (1 + terms / 2)))
    ends = re.findall(r"block\d_conv\d", named)
    order = [tap for tap in strict if "conv" in tap]
    layers = order[order.index(ends[0]) : order.index(ends[1]) + 1] if " to " in named else ends
    assert found == ", ".join(f"{tf32[tap] / strict[tap]:.0f}" for tap in layers)


@pytest.mark.parametrize("part", [*PARTS, "dense layers and the rest"])
def test_the_shares_of_the_forward_pass(part: str) -> None:
    for lane, cell in zip(COLUMNS, cells(part), strict=True):
        share = shares(KERNELS["kernels"]["torch"][f"{lane} batch 32"]).get(part, 0)
        assert float(cell.removesuffix("%")) == pytest.approx(share, abs=0.051)


def test_no_winograd_kernel_was_called_and_the_ffts_depend_on_the_batch() -> None:
    assert not any("winograd" in name.lower() for name in KERNELS["names"])
    inverse = {
        batch: sum("fft2d_c2r" in KERNELS["names"][index] for index, _ in kernels)
        for batch in (2, 32, 256)
        for kernels in [KERNELS["kernels"]["torch"][f"strict batch {batch}"]]
    }
    assert inverse == {2: 0, 32: 8, 256: 5}


@pytest.mark.parametrize("kind", ["product", "convolution"])
def test_tf32_operands_were_rounded_to_nearest_except_with_three_channels(kind: str) -> None:
    nearest = {"1+2^-11": 1.0, "1+3*2^-11": 1 + 2**-9, "1+2^-11+2^-20": 1 + 2**-10}
    for name, found in KERNELS["rounding"][kind].items():
        if name.startswith("tf32=True"):
            rounded = {given: found[given] for given in nearest}
            assert (rounded == nearest) is not (" 3->" in name), name
