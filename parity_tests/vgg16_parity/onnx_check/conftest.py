"""The tiny network as exported, and with a mistake planted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

from export import export_onnx
from mistakes.in_onnx import Edit
from parity_tests.support.graphs.checked import Edited, Planted, check
from parity_tests.support.graphs.exports import remembered_traces
from vgg16_parity.onnx_check import running
from vgg16_parity.onnx_check.check import CheckReport
from vgg16_spec.checkpoint import Checkpoint


@pytest.fixture
def apart() -> None:
    """Run graphs in another process, as the product does."""


@pytest.fixture(autouse=True)
def here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run graphs in this process, which has ONNX Runtime already; another takes seconds to start.

    Not in a test that asks for `apart`.
    """
    if "apart" not in request.fixturenames:

        def work_here(work: Callable[..., object], *arguments: object, **_: object) -> None:
            try:
                work(*arguments)
            except Exception as error:  # as the other process would say it
                raise ValueError(" ".join(str(error).split())) from error

        monkeypatch.setattr(running, "run_apart", work_here)


@pytest.fixture(scope="package", autouse=True)
def traced_once() -> Iterator[None]:
    with remembered_traces():
        yield


@pytest.fixture(scope="package")
def exported(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx("keras", tiny, tmp_path_factory.mktemp("own") / "model.onnx")


@pytest.fixture
def planted(exported: Path, tiny: Checkpoint, tmp_path: Path) -> Planted:
    """Edit the exported network and check it."""

    def edited(edit: Edit) -> CheckReport:
        model = onnx.load(exported)
        edit(model)
        onnx.save(model, tmp_path / "edited.onnx")
        return check(tmp_path / "edited.onnx", tiny)

    return edited


@pytest.fixture
def edited(exported: Path, tmp_path: Path) -> Edited:
    def edit(change: Edit) -> Path:
        model = onnx.load(exported)
        del model.metadata_props[:]
        change(model)
        onnx.save(model, tmp_path / "edited.onnx")
        return tmp_path / "edited.onnx"

    return edit
