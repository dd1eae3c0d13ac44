"""The page of what views cost has each kind of views, and their ratio to the centre crop."""

from __future__ import annotations

import re

import pytest
import torch

from benchmarks.views.__main__ import main


def test_a_page_is_printed_with_every_kind_of_views(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    try:
        assert main(["--configuration", "tiny", "--repeats", "1"]) == 0
    finally:
        torch.set_num_threads(threads)
    rows = re.findall(r"^\| (.+) \| (\d+) \| [\d.]+ \| ([\d.]+) \|$", capsys.readouterr().out, re.M)
    assert [(title, count) for title, count, _ in rows] == [
        ("centre crop", "1"),
        ("dense, scale 73", "1"),
        ("dense, scale 73, flipped too", "2"),
        ("dense, scales 73, 110, 146, flipped too", "6"),
        ("50 crops, scale 73", "50"),
    ]
    ratios = [float(ratio) for _, _, ratio in rows]
    assert ratios[0] == 1
    assert ratios[-1] > 1
