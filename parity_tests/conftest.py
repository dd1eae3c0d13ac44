"""Options, markers and the data that many tests start from."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.support.helpers import Batch, Command, Outcome
from vgg16_parity.runtimes.process import framework_environment

# Chosen before anything imports Keras; the other backends are tested in processes of their own.
os.environ |= framework_environment("tensorflow", "cuda")
# TensorFlow 2.20 and 2.21 publish the symbols of their LLVM, and Triton, which PyTorch imports when
# it traces, crashes if it comes after (tensorflow/tensorflow#124205). The tests use both frameworks
# in one process; the project itself never does.
if find_spec("triton"):
    import_module("triton")

from parity_tests.support.cuda import reason_to_skip, required, skip
from parity_tests.support.warm_workers import WarmWorkers
from vgg16_parity.cli import app
from vgg16_parity.runtimes import process
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.checkpoint.seeded import seeded_checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import RECIPES, preprocess, read_image


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="cuda runs the tests marked cuda too (VGG16_REQUIRE_CUDA=1: they must not be skipped)",
    )
    parser.addoption("--weekly", action="store_true", help="run the tests marked weekly too")
    parser.addoption(
        "--fuzz",
        type=int,
        metavar="N",
        default=150,
        help="read N damaged files of each form of weights file (default: 150; 2,000 every week)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files with the longest tests come first, so that no process is left with one at the end.

    A file's tests stay together: they share fixtures, and one process runs them.
    """
    if not config.getoption("--weekly"):
        left = [item for item in items if item.get_closest_marker("weekly")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("weekly")]
    for marker in ("slow", "full"):
        long = {item.path for item in items if item.get_closest_marker(marker)}
        items.sort(key=lambda item: item.path not in long)


@pytest.fixture
def mutants(request: pytest.FixtureRequest) -> int:
    """How many damaged files of each form to read."""
    asked: int = request.config.getoption("--fuzz")
    return asked


@pytest.fixture(autouse=True)
def gpu(request: pytest.FixtureRequest) -> None:
    """Skip a test marked ``cuda`` where there is no GPU, or where none was asked for."""
    if request.node.get_closest_marker("cuda") is not None:
        asked = required() or request.config.getoption("--device") == "cuda"
        if reason := reason_to_skip(asked=asked):
            skip(reason)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the session's own, gone at its end: full-size files take 0.5 GB each."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("VGG16_CACHE")
    os.environ["VGG16_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["VGG16_CACHE"]
    else:
        os.environ["VGG16_CACHE"] = before
    shutil.rmtree(folder)


@pytest.fixture(scope="session", autouse=True)
def warm_workers(cache: Path) -> Iterator[None]:
    """Fork the workers of runs in this process from warm ones, which saves their imports."""
    workers = WarmWorkers()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "run_worker", workers)
        yield
    workers.close()


@pytest.fixture(scope="session")
def tiny(cache: Path) -> Checkpoint:
    """The seeded checkpoint of the tiny configuration."""
    return seeded_checkpoint("tiny")


@pytest.fixture(scope="session")
def full(cache: Path) -> Checkpoint:
    """The seeded checkpoint of VGG16."""
    return seeded_checkpoint("D")


@pytest.fixture(scope="session")
def batch() -> Batch:
    """The project's photographs as the input of a checkpoint's network, (N, 3, H, W)."""

    def prepared(checkpoint: Checkpoint) -> NDArray[np.float32]:
        recipe = RECIPES[checkpoint.metadata.recipe]
        size = checkpoint.configuration.input_size
        pictures = [read_image(photograph.path) for photograph in PHOTOGRAPHS]
        return np.concatenate([preprocess(picture, recipe, size=size) for picture in pictures])

    return prepared


@pytest.fixture
def vgg16(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run ``vgg16`` with arguments in this process."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["vgg16", *map(str, arguments)])
        environment = dict(os.environ)
        with pytest.raises(SystemExit) as end:
            app.main()
        os.environ.clear()
        os.environ.update(environment)
        captured = capfd.readouterr()
        return Outcome(int(end.value.code or 0), captured.out, captured.err)

    return run
