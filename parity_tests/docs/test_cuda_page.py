"""What `docs/measured/cuda.md` says of errors on the GPU is what the files beside it hold."""

from __future__ import annotations

import math
import re

import pytest

from parity_tests.support.pages.cuda_page import (
    EARLIER,
    KERNELS,
    PAGE,
    SIBLINGS,
    WAYS,
    cells,
    errors,
    names,
    row,
    rows,
    span,
)


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


@pytest.mark.parametrize("kind", ["product", "convolution"])
def test_tf32_operands_were_rounded_to_nearest_except_with_three_channels(kind: str) -> None:
    nearest = {"1+2^-11": 1.0, "1+3*2^-11": 1 + 2**-9, "1+2^-11+2^-20": 1 + 2**-10}
    for name, found in KERNELS["rounding"][kind].items():
        if name.startswith("tf32=True"):
            rounded = {given: found[given] for given in nearest}
            assert (rounded == nearest) is not (" 3->" in name), name


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
