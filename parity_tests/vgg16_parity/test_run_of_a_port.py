"""A user's own port in a whole run: judged beside the runtimes, or a row with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity_tests.support.helpers import PICTURES
from vgg16_parity import run
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import RUNTIMES, own_port
from vgg16_spec.checkpoint import Checkpoint

pytestmark = pytest.mark.slow


PORT = """
import numpy as np
from vgg16_spec.checkpoint import open_checkpoint
from vgg16_parity.network import reference

def logits(images, weights):
    return reference.run_with_taps(open_checkpoint(weights), images)["predictions"]

def some_taps(images, weights):
    taps = reference.run_with_taps(open_checkpoint(weights), images)
    return {name: taps[name].astype(np.float32) for name in ("block1_pool", "fc1", "predictions")}

def wrong(images, weights):
    taps = some_taps(images, weights)
    return taps | {"fc1": taps["fc1"][:, ::-1]}

def misspelt(images, weights):
    return some_taps(images, weights) | {"../conv1": images + 0}

def nothing(images, weights):
    return {"fc1": images}

def wide(images, weights):
    return logits(images, weights) + 5j

def scalar(images, weights):
    return np.float32(1)

def half(images, weights):
    import torch
    import torch_impl
    checkpoint = open_checkpoint(weights)
    model = torch_impl.VGG(checkpoint.configuration.name)
    torch_impl.load_checkpoint(model, checkpoint)
    return torch_impl.run_with_taps(model.half(), images)

def in_place(images, weights):
    images *= 2
    return logits(images, weights)

def exits(images, weights):
    raise SystemExit

def ends(images, weights):
    import os
    os._exit(0)

def raises(images, weights):
    raise RuntimeError("no such kernel")

def blind(images, weights):
    return np.full((len(images), 1000), np.nan, np.float32)

def empty(images, weights):
    return logits(images, weights)[:0]

def two(images, weights):
    return logits(images[:2], weights)
"""


@pytest.mark.parametrize(
    ("function", "status", "reason"),
    [
        ("logits", "holds", ""),
        ("some_taps", "holds", ""),
        ("wrong", "broken", "from fc1 on: photographs: errors are"),
        ("misspelt", "broken", "photographs: no layer is called ../conv1"),
        ("nothing", "failed", "--port: gave no predictions; expected logits, or taps with"),
        ("missing", "failed", "--port: "),
        ("wide", "failed", "--port: gave complex128 as predictions; expected real numbers"),
        ("in_place", "failed", "--port: changed its input in place; expected arrays of its own"),
        ("two", "broken", "from predictions on: searched inputs: its shape is (2, 1000), the"),
        ("exits", "failed", "the worker ended with status 0: it printed nothing"),
        ("ends", "failed", "the worker ended with status 0: it printed nothing"),
        ("raises", "failed", "RuntimeError: no such kernel"),
        ("blind", "broken", "from predictions on: photographs: 2000 of its 2000 values are not"),
        ("empty", "broken", "from predictions on: photographs: its shape is (0, 1000), the"),
        ("scalar", "broken", "from predictions on: photographs: its shape is (), the arbiter's"),
    ],
)
def test_somebodys_own_port_is_a_row(
    tiny: Checkpoint, tmp_path: Path, function: str, status: str, reason: str
) -> None:
    (tmp_path / "mine.py").write_text(PORT)
    chosen = own_port(f"{tmp_path / 'mine.py'}:{function}")
    report = run.run_parity(tiny, PICTURES, [chosen])
    (row,) = report.rows
    assert (row.runtime, row.status) == (f"mine:{function}", status)
    assert report.holds is (status == "holds")
    assert row.reason.startswith(reason)


@pytest.mark.parametrize(
    ("mode", "lane", "status", "notes"),
    [
        ("float16", "float16", "holds", ()),
        (
            "float32",
            "default",
            "broken",
            ("would hold as float16 throughout (a port is judged so with --port-mode float16)",),
        ),
    ],
)
def test_a_port_is_judged_once_in_its_own_mode_whatever_the_lanes(
    tiny: Checkpoint, tmp_path: Path, mode: str, lane: str, status: str, notes: tuple[str, ...]
) -> None:
    (tmp_path / "mine.py").write_text(PORT)
    chosen = own_port(f"{tmp_path / 'mine.py'}:half", mode)
    lanes = [LANES["default"], LANES["strict"], LANES["bfloat16"]]
    (row,) = run.run_parity(tiny, PICTURES, [chosen], lanes=lanes).rows
    assert (row.lane, row.mode, row.status) == (lane, mode, status), row.reason
    assert row.cases[0].notes == notes


def test_what_runs_whole_is_judged_on_searched_inputs_too(tiny: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PORT)
    chosen = [own_port(f"{tmp_path / 'mine.py'}:logits"), RUNTIMES["torch"]]
    port, torch = run.run_parity(tiny, PICTURES, chosen).rows
    assert [case.case for case in port.cases] == ["photographs", "searched inputs"]
    assert [case.case for case in torch.cases] == ["photographs"]
    quick, _ = run.run_parity(tiny, PICTURES, chosen, depth="logits").rows
    assert [case.case for case in quick.cases] == ["photographs"]
    assert quick.coverage is not None
    assert port.coverage is not None
    assert quick.coverage.share < port.coverage.share < 1


def test_odd_outputs_for_images_that_are_not_finite_are_a_row(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(PORT)
    chosen = own_port(f"{tmp_path / 'mine.py'}:scalar")
    (row,) = run.run_parity(tiny, PICTURES, [chosen], hard_inputs=True).rows
    assert row.status == "broken"
    (infinite,) = (case for case in row.cases if case.case == "infinity")
    assert infinite.reason == "no outputs of the network's shape: predictions"


def test_a_ports_file_may_hold_classes_that_are_looked_up_by_name(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    head = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    (tmp_path / "mine.py").write_text(head + "@dataclass\nclass Box:\n    size: int = 1\n" + PORT)
    (row,) = run.run_parity(tiny, PICTURES, [own_port(f"{tmp_path / 'mine.py'}:logits")]).rows
    assert row.status == "holds", row.reason
