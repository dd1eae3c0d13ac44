"""A graph that never ends, or takes all memory, does so in another process, which is ended."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from export.load import open_model
from parity_tests.support.graphs.hostile import GRAPHS
from vgg16_parity.onnx_check import running
from vgg16_parity.onnx_check.walk import TracedGraph, follow
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


@pytest.mark.parametrize(
    ("batch", "each", "processors", "threads"),
    [(None, 1, 8, 8), (1, 1, None, 1), (4, 4, 2, 2), (256, 256, 1, 1)],
)
def test_time_and_memory_are_those_of_a_vgg_of_that_size(
    batch: int | None,
    each: int,
    processors: int | None,
    threads: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    asked = list[Any]()
    stored = ir.tensor(np.zeros((4, 5), np.float32))
    constant = ir.node("Constant", [], {"value": ir.tensor(np.zeros(7, np.float32)), "axis": 3})
    model = SimpleNamespace(
        graph=ir.Graph(
            [], [], nodes=[constant], initializers=[ir.Value(name="w", const_value=stored)]
        )
    )
    images = SimpleNamespace(name="images")
    found = SimpleNamespace(front=SimpleNamespace(shape=(batch, 3), images=images), output="out")

    def run_apart(work: object, path: str, folder: str, *rest: Any, **limits: Any) -> None:
        asked.append((path, *rest, limits))
        given = [np.load(Path(folder) / f"{number}.npy") for number in range(3)]
        for number, image in enumerate(given):
            np.save(Path(folder) / f"{number}.out.npy", image[:, :1, 0, 0] + number)

    monkeypatch.setattr(running, "run_apart", run_apart)
    path = tmp_path / "model.onnx"
    values = running.run(path, cast("Any", model), cast(TracedGraph, found), [IMAGE] * 3)
    assert values.tolist() == [[1.0], [2.0], [3.0]]
    maps = 3 * 4 * 64 * 224 * 224
    memory = 500_000_000 + 12 * (20 + 7) + each * maps + threads * 2**24
    limits = {"doing": "running it", "seconds": 45 + 3 * 3 * each, "memory": memory}
    assert asked == [(str(path), "images", "out", each, 3, limits)]
