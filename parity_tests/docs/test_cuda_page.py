"""What `docs/measured/cuda.md` says of the GPU is what the files beside it hold."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest

from vgg16_spec.architecture import configuration

MEASURED: Final = Path(__file__).parents[2] / "docs" / "measured"
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


def test_the_page_counts_the_runs_that_hold() -> None:
    held = [row for row in rows() if row["status"] == "holds"]
    assert f"Parity holds in {len(held)} of {len(rows())} runs on the GPU." in PAGE


def test_the_page_says_which_rows_are_of_the_earlier_run() -> None:
    assert "Three of its runs, of Keras on PyTorch and of both exports in float16" in PAGE
    for name in EARLIER:
        assert row(name, "float16")["status"] == "holds"
    listed = PAGE[PAGE.index("### How this was measured") :]
    assert "throughput in bfloat16 and float16, and parity of\n# keras-torch, onnx-from-keras and "
    assert "keras-torch, onnx-from-keras and onnx-from-torch in float16" in listed


def test_every_strict_run_repeats_its_bits() -> None:
    strict = rows("strict")
    assert len(strict) == 5
    assert {row["record"]["repeats"] for row in strict} == {"equal"}


def test_onnx_runtime_and_pytorch_have_equal_figures_in_the_strict_lane() -> None:
    layers = {row["runtime"]: row["cases"][0]["layers"] for row in rows("strict")}
    assert layers["torch"] == layers["onnx-from-torch"] == layers["onnx-from-keras"]


def test_gpu_and_cpu_differ_by_no_more_than_the_page_says() -> None:
    compared = [
        layer["accumulated"]
        for row in rows("strict")
        for case in row["beside_cpu"]
        for layer in case["layers"]
    ]
    worst = [max(each[figure] for each in compared) for figure in ("ratio", "deviations")]
    assert f"R is at most {worst[0]:.2f} and Z at most {worst[1]:.1f}, through" in PAGE


@pytest.mark.parametrize("runtime", ["keras-jax", "keras-torch"])
def test_keras_holds_in_the_strict_lane_by_an_fft(runtime: str) -> None:
    found, torch = (errors(name, "strict", "deviations") for name in (runtime, "torch"))
    differ = [tap for tap in found if "conv" in tap and found[tap] != torch[tap]]
    assert differ == ["block1_conv1", "block1_conv2", "block2_conv1"]
    ratio = errors(runtime, "strict", "ratio")["block1_conv2"]
    assert f"R is {ratio:.2f} (limit 1.5) and Z {found['block1_conv2']:.1f} (limit 10)" in PAGE
    assert f"block2_conv1, whose Z of {found['block2_conv1']:.1f} passes" in PAGE
    (note,) = row(runtime, "strict")["cases"][0]["notes"]
    assert f"with the note `{note}`" in PAGE


@pytest.mark.parametrize("runtime", KERNELS["kernels"])
def test_keras_alone_computes_two_layers_by_ffts_at_batch_2(runtime: str) -> None:
    padded = [re.search(r"DSE::regular_fft_pad<0, 1, (\d+),", name) for name in names(
        runtime, "strict batch 2")]  # fmt: skip
    points = [int(found[1]) for found in padded if found]
    # One of the images and one of the weights, for each layer.
    assert points == ([256, 256, 128, 128] if runtime.startswith("keras") else [])
    assert "`DSE::regular_fft_pad<0, 1, 256, …>`) and one of 128 for block2_conv1" in PAGE


@pytest.mark.parametrize("runtime", KERNELS["kernels"])
def test_no_winograd_kernel_was_called_and_the_ffts_depend_on_the_batch(runtime: str) -> None:
    assert not any("winograd" in name.lower() for name in KERNELS["names"])
    inverse = {
        batch: sum("fft2d_c2r" in name for name in names(runtime, f"strict batch {batch}"))
        for batch in (2, 32, 256)
    }
    assert inverse == {2: 0, 32: 8, 256: 5}


@pytest.mark.parametrize("terms", [576, 1152, 2304, 4608])
def test_the_errors_of_tf32_over_those_of_float32(terms: int) -> None:
    strict, tf32 = errors("torch", "strict", "rms_error"), errors("torch", "tf32", "rms_error")
    named, formula, found = cells(f"{terms:,}")
    assert float(formula) == round(math.sqrt(2 * 2**26 / (1 + terms / 2)))
    ends = re.findall(r"block\d_conv\d", named)
    order = [tap for tap in strict if "conv" in tap]
    layers = order[order.index(ends[0]) : order.index(ends[1]) + 1] if " to " in named else ends
    assert found == ", ".join(f"{tf32[tap] / strict[tap]:.0f}" for tap in layers)


def test_tf32_is_predicted_as_rounding_and_grows_as_a_root() -> None:
    rounded = [*rows("tf32"), *rows("default")]
    worst = {
        f"{max(layer[which]['ratio'] for layer in row['cases'][0]['layers'] for which in WAYS):.2f}"
        for row in rounded
    }
    assert len(rounded) == 10
    assert len(worst) == 1
    assert f"R is {worst.pop()} in the worst layer of each of the ten runs" in PAGE
    found = errors("torch", "tf32", "rms_error", "accumulated")
    of_convolutions = [error for tap, error in found.items() if "conv" in tap][1:]
    assert len(of_convolutions) == 12
    growth = [error / of_convolutions[0] for error in of_convolutions]
    assert f"the rms error grows by {growth[-1]:.2f}; √12 is {math.sqrt(12):.2f}" in PAGE
    roots = [each / math.sqrt(number) for number, each in enumerate(growth, 1)]
    furthest = math.ceil(100 * max(abs(root - 1) for root in roots))
    assert f"Every convolution between is within {furthest} % of its root." in PAGE
    logits = [errors("torch", lane, "rms_error", "accumulated")["predictions"] for lane in (
        "strict", "tf32")]  # fmt: skip
    said = f"from {logits[0]:.1e} to {logits[1]:.1e}, {logits[1] / logits[0]:.0f} times"
    assert said.replace("e-0", "e-") in PAGE


@pytest.mark.parametrize(
    ("lanes", "said"),
    [
        (("tf32", "default"), "{} in the lanes tf32 and default"),
        (("float16",), "{} in float16"),
        (("bfloat16",), "{} in bfloat16"),
    ],
)
def test_the_largest_logit_errors_of_the_cat(lanes: tuple[str, ...], said: str) -> None:
    cats = [row["cases"][0]["decisions"][0] for lane in lanes for row in rows(lane)]
    found = span([cat["largest_error"] for cat in cats], ".4f" if lanes != ("bfloat16",) else ".3f")
    assert said.format(found) in PAGE
    changed = [cat for cat in cats if cat["top1"] != cat["arbiter_top1"]]
    assert len(changed) == (lanes == ("bfloat16",))


def test_the_rates_of_onnx_runtime_and_keras_over_pytorch() -> None:
    lanes = {"onnx-from-keras": ("strict", "default"), "onnx-from-torch": WITH_TF32}
    over = {
        batch: [
            rate(name, lane, batch) / rate("torch", lane, batch)
            for name, measured in lanes.items()
            for lane in measured
        ]
        for batch in (1, 32, 256)
    }
    assert f"at batch 32 and 256*: {span(over[32] + over[256])} times" in PAGE
    assert f"At batch 1 it is up to {max(over[1]):.2f} times as fast (TF32)" in PAGE
    every = (*WITH_TF32, "bfloat16", "float16")
    alone = [1000 / rate("keras-torch", lane, 1) for lane in every]
    slower = [rate("torch", lane, 1) / rate("keras-torch", lane, 1) for lane in every]
    assert f"{span(alone, '.1f')} ms for one image, {span(slower, '.0f')} times" in PAGE
    large = [100 * rate("keras-torch", lane, 256) / rate("torch", lane, 256) for lane in every]
    assert f"At batch 256 it has {span(large, '.0f')} % of PyTorch's rate" in PAGE


@pytest.mark.parametrize(("lane", "said"), [("tf32", "{} ms of its {} ms per image"), (
    "strict", "they take {} of {} ms")])  # fmt: skip
def test_how_long_the_gpu_waits_at_batch_1(lane: str, said: str) -> None:
    busy = sum(milliseconds("torch", f"{lane} batch 1").values())
    assert said.format(f"{busy:.2f}", f"{1000 / rate('torch', lane, 1):.2f}") in PAGE


def test_the_part_of_the_roofline() -> None:
    operations = 2 * configuration("D").multiply_adds()

    def part(runtimes: tuple[str, ...], lanes: tuple[str, ...], mode: str) -> str:
        found = [
            100 * rate(name, lane, batch) * operations / roofline(mode)
            for name in runtimes
            for lane in lanes
            for batch in (32, 256)
        ]
        return span(found, ".0f")

    both = ("torch", "onnx-from-torch")
    strict = part((*both, "onnx-from-keras", "keras-jax"), ("strict",), "float32")
    assert f"The strict lane reaches {strict} % of the roofline" in PAGE
    fast, slow = (part(names, ("tf32", "default"), "tf32") for names in (("keras-jax",), both))
    assert f"{fast} % of the roofline, and they {slow} %" in PAGE


@pytest.mark.parametrize(
    ("of", "mode", "batch", "said"),
    [
        ("strict batch 32", "float32", 32, "PyTorch's convolutions at batch 32 come to {} % of it"),
        ("tf32 batch 256", "tf32", 256, "PyTorch's at {} % of the roofline"),
    ],
)
def test_the_rate_of_the_convolutions_alone(of: str, mode: str, batch: int, said: str) -> None:
    network = configuration("D")
    dense = 25088 * 4096 + 4096 * 4096 + 4096 * 1000
    operations = 2 * batch * (network.multiply_adds() - dense)
    seconds = milliseconds("torch", of)["convolutions"] / 1000
    assert said.format(f"{100 * operations / seconds / roofline(mode):.0f}") in PAGE


@pytest.mark.parametrize("part", [*PARTS, REST])
def test_the_shares_of_the_forward_pass(part: str) -> None:
    for column, cell in zip(COLUMNS, cells(part), strict=True):
        spent = milliseconds(*column)
        share = 100 * spent[part] / sum(spent.values())
        assert cell == (f"{share:.1f} %" if share else "0"), column


def test_the_shares_are_of_lists_that_no_other_process_lengthened() -> None:
    for (name, of), cell in zip(COLUMNS, cells("all kernels"), strict=True):
        found = sum(milliseconds(name, of).values())
        assert cell == f"{found:.1f} ms"
        alone = 1000 * 256 / rate(name, of.split()[0], 256)
        assert round(100 * found / alone) <= 101, name  # "within 1 %", on the page
    shared = sum(milliseconds("keras-torch", "tf32 batch 32").values())
    alone = 1000 * 32 / rate("keras-torch", "tf32", 32)
    assert f"took {alone:.1f} ms alone, and {shared:.1f} ms in its kernel list" in PAGE


def test_keras_on_pytorch_copies() -> None:
    copies = sum("direct_copy" in name for name in names("keras-torch", "default batch 256"))
    assert f"copies: {copies} times in such a pass" in PAGE


@pytest.mark.parametrize("kind", ["product", "convolution"])
def test_tf32_operands_were_rounded_to_nearest_except_with_three_channels(kind: str) -> None:
    nearest = {"1+2^-11": 1.0, "1+3*2^-11": 1 + 2**-9, "1+2^-11+2^-20": 1 + 2**-10}
    for name, found in KERNELS["rounding"][kind].items():
        if name.startswith("tf32=True"):
            rounded = {given: found[given] for given in nearest}
            assert (rounded == nearest) is not (" 3->" in name), name


def test_copying_memory() -> None:
    assert f"{KERNELS['copy'] / 1e12:.2f} TB/s" in PAGE


@pytest.mark.parametrize("name", SIBLINGS["networks"])
def test_the_networks_that_are_not_vgg16(name: str) -> None:
    network = SIBLINGS["networks"][name]
    by_run = {run["run"]: run for run in network["runs"]}
    shown = [
        by_run[run]
        for run in (
            "onnxruntime-cuda, default, every value",
            "onnxruntime-cuda, float32, every value",
            "the framework, every layer",
        )
    ]
    worst = [
        [max(run[figure], run[f"local_{figure}"]) for figure in ("ratio", "deviations")]
        for run in shown
    ]
    assert cells(name) == [str(network["nodes"]), *(f"{r:.2f}, {z:.1f}" for r, z in worst)]


def test_every_run_of_the_networks_that_are_not_vgg16_holds() -> None:
    runs = [run for network in SIBLINGS["networks"].values() for run in network["runs"]]
    assert {run["status"] for run in runs} == {"holds"}
    values = sum(run["values"] for run in runs)
    assert f"all {len(runs)} runs hold, with {values:,} values compared" in PAGE
