"""A graph that never ends, or takes all memory, does so in another process, which is ended."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from export.load import open_model
from parity_tests.support.graphs.hostile import GRAPHS
from vgg16_parity.onnx_check import running
from vgg16_parity.onnx_check.walk import follow
from vgg16_spec.architecture import configuration
from vgg16_spec.images.recipes import RECIPES

pytestmark = pytest.mark.usefixtures("apart")

IMAGE = np.ones((1, 3, 64, 64), np.float32)


def outputs(name: str, path: Path) -> Any:
    onnx.save(GRAPHS[name][0](), path)
    model = open_model(path)
    found = follow(model, configuration("tiny"), RECIPES["torchvision"])
    return running.run(path, model, found, [IMAGE])


def test_the_outputs_are_those_of_the_graph(tmp_path: Path) -> None:
    """Of ones that are added up, beside constants."""
    assert outputs("casts of a megabyte", tmp_path / "m.onnx").tolist() == [[1.0]]


def test_a_loop_without_an_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "_SECONDS", 5)
    with pytest.raises(ValueError, match="running it takes too long"):
        outputs("a loop without an end", tmp_path / "m.onnx")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such a limit")
def test_memory_is_limited(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"bad_alloc|[Mm]emory"):
        outputs("images that are expanded", tmp_path / "m.onnx")


def test_batches_are_limited(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it takes 1,000,000 images at a time, more than 256"):
        outputs("a million images at a time", tmp_path / "m.onnx")


def test_weights_may_take_memory_in_initializers_and_in_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []
    monkeypatch.setattr(running, "_BYTES_PER_WEIGHT", 10**9)
    monkeypatch.setattr(running, "run_apart", lambda *_, memory, **__: limits.append(memory))
    model = GRAPHS["casts of a megabyte"][0]()
    for file in ("initializers.onnx", "nodes.onnx"):
        onnx.save(model, tmp_path / file)
        opened = open_model(tmp_path / file)
        found = follow(opened, configuration("tiny"), RECIPES["torchvision"])
        with pytest.raises(FileNotFoundError):  # nothing has left the outputs
            running.run(tmp_path / file, opened, found, [IMAGE])
        for given in model.graph.initializer:
            model.graph.node.insert(0, helper.make_node("Constant", [], [given.name], value=given))
        del model.graph.initializer[:]
    assert limits[0] == limits[1] > 10**9 << 18
