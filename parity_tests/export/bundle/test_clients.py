"""The exported file computes the same in the programs that people deploy it with."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from export import MODEL_FILE, export_onnx
from parity_tests.support.graphs.exports import noise, remembered_traces, run
from parity_tests.support.helpers import judge_logits
from vgg16_spec.checkpoint import Checkpoint

Client = Callable[[Path, NDArray[np.float32]], NDArray[np.float32]]

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def bundle(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with remembered_traces():
        yield export_onnx("keras", tiny, tmp_path_factory.mktemp("bundle") / "out")


@pytest.fixture(scope="module")
def embedded(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with remembered_traces():
        yield export_onnx("keras", tiny, tmp_path_factory.mktemp("embedded") / "model.onnx")


def onnx_runtime(model: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    return run(model, images)["logits"]


def openvino(model: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    import openvino

    # On CPUs that can, OpenVINO computes in bfloat16 unless it is told not to.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(model, "CPU", exact)
    return np.asarray(compiled(images)[0])


def opencv(model: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    network = cv2.dnn.readNetFromONNX(str(model))
    # Winograd's transforms cost a few bits, which the arbiter sees: 3 to 4 times the prediction.
    network.enableWinograd(False)
    network.setInput(images)
    return np.asarray(network.forward())


def reference_evaluator(model: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    from onnx.reference import ReferenceEvaluator

    (logits,) = ReferenceEvaluator(str(model)).run(None, {"images": images})
    return np.asarray(logits)


CLIENTS: dict[str, Client] = {
    client.__name__: client for client in (onnx_runtime, openvino, opencv, reference_evaluator)
}


@pytest.mark.parametrize("images", [1, 2, 5])
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("form", ["bundle", "embedded"])
def test_a_client_agrees_with_the_arbiter(
    request: pytest.FixtureRequest, tiny: Checkpoint, form: str, client: str, images: int
) -> None:
    model: Path = request.getfixturevalue(form)
    batch = noise(tiny, images)
    found = judge_logits(CLIENTS[client](model, batch), tiny, batch)
    assert found.passed, found.reason


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_reads_the_folder_of_the_version_alone(
    bundle: Path, tiny: Checkpoint, tmp_path: Path, client: str
) -> None:
    moved = shutil.copytree(bundle.parent / "1", tmp_path / "moved")
    batch = noise(tiny, 1)
    assert judge_logits(CLIENTS[client](moved / MODEL_FILE, batch), tiny, batch).passed


def test_the_web_runtime_under_node_agrees_with_the_arbiter(
    embedded: Path, tiny: Checkpoint, tmp_path: Path
) -> None:
    # npm install --prefix build/node onnxruntime-web
    modules = os.environ.get("NODE_PATH", str(ROOT / "build" / "node" / "node_modules"))
    if shutil.which("node") is None or not (Path(modules) / "onnxruntime-web").is_dir():
        pytest.skip(reason="Node or its package onnxruntime-web is not installed")
    batch = noise(tiny, 2)
    (tmp_path / "images.bin").write_bytes(batch.tobytes())
    paths = (embedded, tmp_path / "images.bin", tmp_path / "logits.bin")
    done = subprocess.run(
        ["node", Path(__file__).with_name("onnx_client.cjs"), *paths, *map(str, batch.shape)],
        env=os.environ | {"NODE_PATH": modules},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    logits = np.fromfile(tmp_path / "logits.bin", np.float32).reshape(len(batch), -1)
    assert judge_logits(logits, tiny, batch).passed


@pytest.mark.full
@pytest.mark.weekly
def test_clients_agree_with_the_arbiter_at_full_size(full: Checkpoint, tmp_path: Path) -> None:
    model = export_onnx("keras", full, tmp_path / "out", test_data=False)
    batch = noise(full, 1)
    for client in (openvino, opencv):
        found = judge_logits(client(model, batch), full, batch)
        assert found.passed, f"{client.__name__}: {found.reason}"
    shutil.rmtree(tmp_path / "out")  # 0.5 GB
