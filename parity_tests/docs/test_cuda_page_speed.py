"""What `docs/measured/cuda.md` says of speed on the GPU is what the files beside it hold."""

from __future__ import annotations

import pytest

from parity_tests.support.pages.cuda_page import (
    COLUMNS,
    KERNELS,
    PAGE,
    PARTS,
    REST,
    WITH_TF32,
    cells,
    milliseconds,
    names,
    rate,
    roofline,
    span,
)
from vgg16_spec.architecture import configuration


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


def test_copying_memory() -> None:
    assert f"{KERNELS['copy'] / 1e12:.2f} TB/s" in PAGE
