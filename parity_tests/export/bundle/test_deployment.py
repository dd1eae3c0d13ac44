"""A bundle is ready to deploy: what stands beside the graph is right, and the same every time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unittest
import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.runner import Runner

from export import MODEL_FILE, VERSION, WEIGHTS_FILE, export_onnx
from parity_tests.support.graphs.exports import files, remembered_traces, structure
from parity_tests.support.helpers import judge_logits
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, digest
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.images.preprocessing import RECIPES, preprocess, read_image
from vgg16_spec.labels import imagenet_classes

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "pictures": {"input": "uint8", "resize": True, "output": "probabilities"},
    "features": {"features": True, "layout": "nhwc"},
    "taps": {"taps": True, "batch": 2, "opset": 21},
    "fp16": {"precision": "fp16"},
    "fp16 taps": {"precision": "fp16", "taps": True, "input": "uint8"},
    "int8": {"precision": "int8", "calibrate": [PHOTOGRAPHS[0].path]},
    "no test data": {"test_data": False},
}


@pytest.fixture(autouse=True, scope="module")
def once() -> Iterator[None]:
    with remembered_traces():
        yield


@pytest.fixture(scope="module", params=list(OPTIONS))
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    chosen: dict[str, Any] = OPTIONS[request.param]
    return chosen


@pytest.fixture(scope="module")
def bundle(
    tiny: Checkpoint, options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "vgg16"
    export_onnx("keras", tiny, folder, **options)
    return folder


def test_it_holds_what_it_should(bundle: Path, options: dict[str, Any]) -> None:
    expected = {"README.md", "config.pbtxt", "metadata.json", MODEL_FILE}
    expected |= {f"{VERSION}/{MODEL_FILE}", f"{VERSION}/{WEIGHTS_FILE}"}
    if not options.get("features"):
        expected.add("labels.json")
    if options.get("precision", "fp32") != "fp32":
        expected.add("accuracy.json")
    found = files(bundle)
    outputs = len(structure(bundle / MODEL_FILE).graph.output)
    if options.get("test_data", True):
        data = ["input_0", *(f"output_{index}" for index in range(outputs))]
        expected |= {f"test_data_set_0/{name}.pb" for name in data}
    assert set(found) == expected
    assert all((bundle / name).stat().st_mode & 0o044 == 0o044 for name in found)


def test_the_same_command_gives_the_same_bytes(
    bundle: Path, options: dict[str, Any], tiny: Checkpoint, tmp_path: Path
) -> None:
    export_onnx("keras", tiny, tmp_path / "again", **options)
    first, again = files(bundle), files(tmp_path / "again")
    for found in (first, again):
        if "accuracy.json" in found:
            # The one figure that is measured in seconds.
            found["accuracy.json"] = re.sub(rb'"speed_up": [\d.]+', b"", found["accuracy.json"])
    assert first == again


def backend_test(folder: Path) -> unittest.TestResult:
    """What onnx's own runner of backend tests finds with ONNX Runtime on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it imports `onnx.version`
        backend: Any = import_module("onnxruntime.backend")
    with pytest.MonkeyPatch.context() as patch:
        # Its own thousands of cases stay out.
        patch.setattr("onnx.backend.test.runner.load_model_tests", lambda **_: [])
        runner = Runner(backend, None)
    case = TestCase("test_vgg16", "vgg16", None, str(folder), None, None, "simple", 1e-3, 1e-7)
    runner._add_model_test(case, "Simple")
    result = unittest.TestResult()
    runner.include("test_vgg16_cpu").test_suite.run(result)
    assert result.testsRun - len(result.skipped) == 1
    return result


def test_it_passes_onnxs_own_backend_tests(bundle: Path, options: dict[str, Any]) -> None:
    if not options.get("test_data", True):
        assert not (bundle / "test_data_set_0").exists()
        return
    result = backend_test(bundle)
    assert (result.failures, result.errors) == ([], [])


def test_onnxs_backend_tests_would_see_another_output(tiny: Checkpoint, tmp_path: Path) -> None:
    export_onnx("keras", tiny, tmp_path / "out")
    path = tmp_path / "out" / "test_data_set_0" / "output_0.pb"
    tensor = onnx.load_tensor(path)
    values = onnx.numpy_helper.to_array(tensor).copy()
    values[0, 7] += 0.01
    path.write_bytes(onnx.numpy_helper.from_array(values, tensor.name).SerializeToString())
    result = backend_test(tmp_path / "out")
    assert len(result.failures) == 1
    assert "Mismatched elements: 1 / 1000" in result.failures[0][1]


def test_the_test_data_are_a_photograph_and_the_networks_logits(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    export_onnx("keras", tiny, tmp_path / "out")
    given, found = (
        onnx.numpy_helper.to_array(
            onnx.load_tensor(tmp_path / "out" / "test_data_set_0" / f"{name}_0.pb")
        )
        for name in ("input", "output")
    )
    recipe = RECIPES[tiny.metadata.recipe]
    expected = preprocess(read_image(PHOTOGRAPHS[0].path), recipe, size=64)
    assert np.array_equal(given, expected)
    assert judge_logits(found, tiny, expected).passed


def test_the_readmes_code_runs(bundle: Path, options: dict[str, Any]) -> None:
    readme = (bundle / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len([line for line in code.splitlines() if not line.startswith("import")]) <= 5
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=bundle,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.strip()
    if options.get("features"):
        assert printed.startswith("(1, ")
    else:
        assert printed in imagenet_classes()


def test_the_metadata_are_the_graphs_own(
    bundle: Path, options: dict[str, Any], tiny: Checkpoint
) -> None:
    document = json.loads((bundle / "metadata.json").read_text(encoding="utf-8"))
    for folder in (bundle, bundle / VERSION):
        for entry in structure(folder / MODEL_FILE).metadata_props:
            stated = document[entry.key]
            text = stated if isinstance(stated, str) else json.dumps(stated)
            assert entry.value == text
    assert document["recipe"] == "torchvision"
    assert document["licence"] == tiny.metadata.licence
    assert document["opset"] == options.get("opset", 18)
    assert document["precision"] == options.get("precision", "fp32")
    assert document["weights_sha256"] == digest(bundle / VERSION / WEIGHTS_FILE)
    assert document["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
    assert set(document["versions"]) == {"vgg16-parity", "onnx", "onnx-ir", "onnxscript"}
    graph = structure(bundle / MODEL_FILE).graph
    for side, values in (("inputs", graph.input), ("outputs", graph.output)):
        assert [entry["name"] for entry in document[side]] == [value.name for value in values]


def test_metadata_of_a_source_tree_that_is_not_installed_name_no_version_of_it(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def installed(package: str) -> str:
        if package == "vgg16-parity":
            raise PackageNotFoundError(package)
        return version(package)

    monkeypatch.setattr("export.bundle.metadata.version", installed)
    model = structure(export_onnx("keras", tiny, tmp_path / "model.onnx"))
    versions = {entry.key: entry.value for entry in model.metadata_props}["versions"]
    assert model.producer_version == ""
    assert json.loads(versions) == {
        name: version(name) for name in ("onnx", "onnx-ir", "onnxscript")
    }


def test_labels_are_in_the_order_of_the_output(tmp_path: Path, tiny: Checkpoint) -> None:
    export_onnx("keras", tiny, tmp_path / "imagenet", test_data=False)
    labels = json.loads((tmp_path / "imagenet" / "labels.json").read_text(encoding="utf-8"))
    assert labels == list(imagenet_classes())
    other = generate(configuration("tiny", classes=3), 0)
    export_onnx("keras", other, tmp_path / "other", test_data=False)
    labels = json.loads((tmp_path / "other" / "labels.json").read_text(encoding="utf-8"))
    assert labels == ["class 0", "class 1", "class 2"]


def test_tritons_configuration_has_the_graphs_edge(bundle: Path, options: dict[str, Any]) -> None:
    text = (bundle / "config.pbtxt").read_text(encoding="utf-8")
    entries = re.findall(r'name: "(\w+)" data_type: TYPE_(\w+) dims: \[ ([-\d, ]+) \]', text)
    graph = structure(bundle / MODEL_FILE).graph
    fixed = "batch" in options
    kinds = {1: "FP32", 2: "UINT8", 10: "FP16"}
    expected = [
        (
            value.name,
            kinds[value.type.tensor_type.elem_type],
            ", ".join(
                str(axis.dim_value or -1)
                for axis in list(value.type.tensor_type.shape.dim)[0 if fixed else 1 :]
            ),
        )
        for value in (*graph.input, *graph.output)
    ]
    assert entries == expected
    assert 'backend: "onnxruntime"' in text
    assert ("max_batch_size: 0" in text) == fixed
    assert ("dynamic_batching" in text) != fixed
