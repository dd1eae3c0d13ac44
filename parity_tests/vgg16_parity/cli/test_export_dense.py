"""``vgg16 export --dense`` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from parity_tests.support.dense import LARGER, assert_dense_holds, noise_of_size
from parity_tests.support.graphs.exports import run
from parity_tests.support.helpers import Command
from vgg16_spec.checkpoint import Checkpoint


def test_it_writes_a_network_for_images_of_any_size(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    out = tmp_path / "dense.onnx"
    done = vgg16("export", "--framework", "torch", "--weights", tiny.file, "--dense", "--out", out)
    assert done.status == 0, done.err
    batch = noise_of_size(tiny, LARGER[1])
    assert_dense_holds(run(out, batch)["logits"], tiny, batch)


@pytest.mark.parametrize("other", [["--features"], ["--input", "uint8", "--resize"]])
def test_what_makes_no_sense_is_refused_in_one_line(
    vgg16: Command, tmp_path: Path, other: list[str]
) -> None:
    out = tmp_path / "out.onnx"
    done = vgg16("export", "--framework", "torch", "--dense", *other, "--out", out)
    assert done.status == 2
    assert "cannot be combined with" in done.err
    assert done.err.count("\n") == 1
    assert not out.exists()
