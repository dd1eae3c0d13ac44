"""Frameworks, engines and files of one's own compute the network on the same pixels."""

from __future__ import annotations

from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export import export_onnx
from parity_tests.support.evaluation.images import dataset, jpegs
from parity_tests.support.helpers import PICTURES, judge_logits, judge_probabilities
from vgg16_parity.evaluate.measured import Measured
from vgg16_parity.evaluate.run import evaluate
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import KNOWN, onnx_file
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.images.preprocessing import preprocess, read_image
from vgg16_spec.logits import top

pytestmark = pytest.mark.slow

CONTENTS = jpegs(70)
DATASET = dataset(CONTENTS)


def prepared(checkpoint: Checkpoint) -> NDArray[np.float32]:
    size = checkpoint.configuration.input_size
    images = [preprocess(read_image(each), checkpoint.recipe, size=size) for each in CONTENTS]
    return np.concatenate(images)


def results(measured: Measured) -> list[NDArray[np.float32]]:
    for entry in measured.runtimes:
        assert entry.status == "measured", f"{entry.name}: {entry.reason}"
    return [entry.logits() for entry in measured.runtimes]


def test_every_runtime_computes_the_network_and_a_lost_shard_comes_back_with_its_bits(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    names = ("torch", "keras-tensorflow", "keras-jax", "onnx-from-torch", "onnx-from-keras", "ncnn")
    runtimes, run = [KNOWN[name] for name in names], tmp_path / "run"
    first = evaluate(DATASET, tiny, runtimes, run)
    images = prepared(tiny)
    for name, logits in zip(names, results(first), strict=True):
        verdict = judge_logits(logits, tiny, images)
        # ncnn computes by Winograd's algorithm, with larger errors than are predicted of sums.
        assert verdict.passed or name == "ncnn", f"{name}: {verdict.reason}"
        assert np.array_equal(top(logits, 1), top(results(first)[0], 1))
    for entry in first.runtimes:
        assert entry.versions
        assert entry.peak_bytes
        assert {"run", "load", "wait"} <= entry.seconds.keys()
    lost = [entry.files[index % 2] for index, entry in enumerate(first.runtimes)]
    digests = [sha256(file.read_bytes()).hexdigest() for file in lost]
    for file in lost:
        file.unlink()
    again = evaluate(DATASET, tiny, runtimes, run)
    assert [entry.computed for entry in again.runtimes] == [64, 6] * 3
    assert [sha256(file.read_bytes()).hexdigest() for file in lost] == digests


def test_a_graph_is_exported_only_for_a_shard_that_is_lacking(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    stages: list[str] = []

    def progress(stage: str) -> Any:
        stages.append(stage)
        return nullcontext()

    runtimes, run = [KNOWN["onnx-from-torch"], KNOWN["opencv"]], tmp_path / "run"
    results(evaluate(DATASET, tiny, runtimes, run, progress=progress))
    assert stages.count("onnx-from-torch: export") == 1
    # The engine reads the same graph.
    assert "opencv: export" not in stages
    stages.clear()
    again = evaluate(DATASET, tiny, runtimes, run, progress=progress)
    assert not [stage for stage in stages if "export" in stage]
    assert [entry.computed for entry in again.runtimes] == [0, 0]


def test_lanes_are_the_runtimes_own(tiny: Checkpoint, tmp_path: Path) -> None:
    found = evaluate(DATASET, tiny, [KNOWN["torch"]], tmp_path / "run", lane=LANES["bfloat16"])
    exact = evaluate(DATASET, tiny, [KNOWN["torch"]], tmp_path / "run")
    (rounded,), (logits,) = results(found), results(exact)
    assert not np.array_equal(rounded, logits)
    none = evaluate(DATASET, tiny, [KNOWN["torch"]], tmp_path / "run", lane=LANES["tf32"])
    (entry,) = none.runtimes
    assert (entry.status, entry.reason) == ("not run", "there is no lane tf32 on cpu")


def test_files_of_vgg16_export_are_evaluated_as_they_are(tiny: Checkpoint, tmp_path: Path) -> None:
    options: dict[str, dict[str, Any]] = {
        "plain": {},
        "plain.onnx": {},
        "uint8": {"input": "uint8"},
        "nhwc.onnx": {"layout": "nhwc"},
        "four.onnx": {"batch": 4},
        "likely.onnx": {"output": "probabilities"},
        "fp16": {"precision": "fp16"},
        "int8": {"precision": "int8", "input": "uint8", "calibrate": PICTURES},
    }
    for name, chosen in options.items():
        export_onnx("torch", tiny, tmp_path / name, test_data=False, **chosen)
    runtimes = [onnx_file(tmp_path / name) for name in options]
    found = evaluate(DATASET, tiny, runtimes, tmp_path / "run")
    by_name = dict(zip(options, results(found), strict=True))
    images, plain = prepared(tiny), by_name["plain"]
    for name in ("plain", "plain.onnx", "uint8", "nhwc.onnx", "four.onnx"):
        verdict = judge_logits(by_name[name], tiny, images)
        assert verdict.passed, f"{name}: {verdict.reason}"
    verdict = judge_probabilities(np.exp(by_name["likely.onnx"]), tiny, images)
    assert verdict.passed, verdict.reason
    errors = {name: float(np.abs(by_name[name] - plain).max()) for name in ("fp16", "int8")}
    assert 0 < errors["fp16"] < errors["int8"] < float(np.abs(plain).max())
    flags = {name: e.flags for name, e in zip(options, found.runtimes, strict=True)}
    assert flags["int8"] == {"precision": "int8", "input": "uint8 nhwc", "output": "logits"}
    assert flags["likely.onnx"]["output"] == "probabilities, as their logarithms"
    # The same files elsewhere are the same; other weights in a file of the same name are not.
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "fp16").rename(tmp_path / "elsewhere" / "fp16")
    moved = onnx_file(tmp_path / "elsewhere" / "fp16")
    assert evaluate(DATASET, tiny, [moved], tmp_path / "run").runtimes[0].computed == 0
    weights = tmp_path / "plain" / "1" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-4:] = np.float32(3).tobytes()
    weights.write_bytes(content)
    changed = evaluate(DATASET, tiny, [runtimes[0]], tmp_path / "run")
    assert changed.runtimes[0].computed == len(CONTENTS)


def test_files_that_are_no_such_graphs_are_records(tiny: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("not a graph")
    export_onnx("torch", tiny, tmp_path / "resizes.onnx", input="uint8", resize=True)
    export_onnx("torch", tiny, tmp_path / "features.onnx", features=True)
    names = ("text.onnx", "resizes.onnx", "features.onnx")
    runtimes = [onnx_file(tmp_path / name) for name in names]
    found = evaluate(DATASET, tiny, runtimes, tmp_path / "run")
    assert [entry.status for entry in found.runtimes] == ["failed"] * 3
    text, resizes, features = (entry.reason for entry in found.runtimes)
    assert "text.onnx" in text
    assert "takes pictures of any size, which it resizes itself" in resizes
    assert "gave no logits" in features
    with pytest.raises(BadInput, match=r"none\.onnx: no such file; expected an ONNX file"):
        onnx_file(tmp_path / "none.onnx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"model\.onnx: no such file"):
        onnx_file(tmp_path / "empty")
