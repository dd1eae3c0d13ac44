"""`benchmarks.cuda.kernels` records what it says it does, as far as a CPU can tell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.cuda import kernels
from benchmarks.cuda.kernels import NUMBERS
from parity_tests.support.cuda import unusable

pytestmark = pytest.mark.slow


def test_the_second_runs_kernels_are_listed_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []
    cpu, gpu = (SimpleNamespace(name=name) for name in ("CPU", "CUDA"))

    @contextmanager
    def profile(**_: Any) -> Iterator[Any]:
        runs.append("profile")
        yield SimpleNamespace(
            events=lambda: [
                SimpleNamespace(name="aten::conv2d", device_type=cpu, device_time_total=9.0),
                SimpleNamespace(name="second", device_type=gpu, device_time_total=2.0),
                SimpleNamespace(name="first", device_type=gpu, device_time_total=1.0),
            ]
        )

    monkeypatch.setattr(torch.profiler, "profile", profile)
    assert kernels.profiled(lambda: runs.append("run")) == [("second", 2.0), ("first", 1.0)]
    assert runs == ["run", "profile", "run"]


def test_every_lane_and_batch_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "profiled", lambda run: [(type(run()).__name__, 0.0)])
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda _: None)
    found = dict(kernels.of_torch("tiny", (1, 3), "cpu"))
    lanes = ("default", "bfloat16", "float16", "strict")
    assert list(found) == [f"{lane} batch {batch}" for lane in lanes for batch in (1, 3)]
    assert {name for ((name, _),) in found.values()} == {"Tensor"}
    graphs = dict(kernels.of_onnx("tiny", (1, 2), "cpu"))
    of_graphs = ("strict", "default", "float16")
    assert list(graphs) == [f"{lane} batch {batch}" for lane in of_graphs for batch in (1, 2)]


def test_a_number_multiplied_by_one_is_itself_without_tf32() -> None:
    found = kernels.rounding("cpu", [(8, 8), (2, 8)], [(3, 12, 1), (64, 12, 1)])
    assert len(found["product"]) == 2 * 2 * 2
    assert len(found["convolution"]) == 2 * 2 * 2 * 2
    for kind in found.values():
        for by_number in kind.values():
            assert by_number == {name: np.float32(number) for name, number in NUMBERS.items()}


def test_numbers_lie_where_nearest_truncated_and_ties_differ() -> None:
    gap = 2.0**-10
    nearest = {name: gap * np.round(number / gap) for name, number in NUMBERS.items()}
    truncated = {name: gap * np.trunc(number / gap) for name, number in NUMBERS.items()}
    assert all(np.float32(number) == number for number in NUMBERS.values())
    assert {name for name in NUMBERS if nearest[name] != truncated[name]} == {
        "1+0.75*2^-10", "1+3*2^-11", "-(1+0.75*2^-10)", "1+2^-11+2^-20"
    }  # fmt: skip
    # Away from zero, ties go up in both.
    assert nearest["1+2^-11"] == 1
    assert nearest["1+3*2^-11"] == 1 + 2 * gap


def test_without_a_gpu_it_says_so(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    if not unusable():
        pytest.skip(reason="there is a GPU here")
    assert kernels.main(["--out", str(tmp_path / "k.json")]) == 2
    assert "no usable GPU" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
