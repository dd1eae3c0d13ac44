"""Exported graphs compute the network, say nothing about the machine, and point at the weights."""

from __future__ import annotations

import getpass
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from export import MODEL_FILE, WEIGHTS_FILE, export_onnx
from export.interface import Framework
from parity import reference
from parity.compare import judge
from vgg16.architecture import configuration
from vgg16.checkpoint import Checkpoint, digest, open_checkpoint
from vgg16.errors import BadInput
from vgg16.preprocessing import Layout
from vgg16.seeded import generate, seeded_checkpoint

FRAMEWORKS = ("keras", "torch")


@pytest.fixture(scope="module", params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Framework:
    chosen: Framework = request.param
    return chosen


@pytest.fixture(scope="module", params=["nchw", "nhwc"])
def layout(request: pytest.FixtureRequest) -> Layout:
    chosen: Layout = request.param
    return chosen


@pytest.fixture(scope="module")
def exported(
    tiny: Checkpoint, framework: Framework, layout: Layout, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny network's folder, exported once for each framework and layout."""
    folder = tmp_path_factory.mktemp("exports") / f"{framework}-{layout}"
    export_onnx(framework, tiny, folder, layout=layout)
    return folder


def logits(folder: Path, images: np.ndarray) -> np.ndarray:
    """ONNX Runtime's logits for (N, 3, H, W), whatever the graph's layout."""
    session = onnxruntime.InferenceSession(folder / MODEL_FILE)
    (graph_input,) = session.get_inputs()
    if graph_input.shape[-1] == 3:
        images = images.transpose(0, 2, 3, 1)
    (values,) = session.run(["logits"], {"images": np.ascontiguousarray(images)})
    return np.asarray(values)


def noise(checkpoint: Checkpoint, images: int) -> np.ndarray:
    shape = (images, *checkpoint.configuration.input_shape)
    return np.random.default_rng(images).standard_normal(shape, np.float32)


@pytest.mark.parametrize("images", [1, 2, 5])
def test_any_batch_agrees_with_the_arbiter(exported: Path, tiny: Checkpoint, images: int) -> None:
    batch = noise(tiny, images)
    expected = reference.run_with_taps(tiny, batch)["predictions"]
    verdict = judge(logits(exported, batch), expected)
    assert verdict.passed, verdict.reason
    assert verdict.images == images


def test_the_checker_passes_with_full_checks(exported: Path) -> None:
    onnx.checker.check_model(exported / MODEL_FILE, full_check=True)


def test_the_edge_of_the_graph_is_as_documented(exported: Path, layout: Layout) -> None:
    model = onnx.load(exported / MODEL_FILE, load_external_data=False)
    (images,), (output,) = model.graph.input, model.graph.output

    def shape(value: onnx.ValueInfoProto) -> list[int | str]:
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    assert (images.name, output.name) == ("images", "logits")
    assert shape(images) == ["batch", *((3, 64, 64) if layout == "nchw" else (64, 64, 3))]
    assert shape(output) == ["batch", 1000]
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    assert opsets[""] >= 18


def test_every_weight_points_into_the_checkpoint(exported: Path, tiny: Checkpoint) -> None:
    model = onnx.load(exported / MODEL_FILE, load_external_data=False)
    weights = {entry.name: entry for entry in model.graph.initializer if entry.name in tiny}
    assert set(weights) == set(tiny)
    stored = (exported / WEIGHTS_FILE).read_bytes()
    for name, tensor in weights.items():
        place = {entry.key: entry.value for entry in tensor.external_data}
        assert place["location"] == WEIGHTS_FILE
        start, length = int(place["offset"]), int(place["length"])
        assert stored[start : start + length] == tiny[name].tobytes()
        assert not tensor.raw_data
    assert digest(exported / WEIGHTS_FILE) == digest(tiny.file)
    open_checkpoint(exported / WEIGHTS_FILE)


def test_the_graph_is_the_networks(exported: Path) -> None:
    model = onnx.load(exported / MODEL_FILE, load_external_data=False)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert (kinds["Conv"], kinds["Relu"], kinds["MaxPool"]) == (13, 15, 5)
    assert kinds["Gemm"] + kinds["MatMul"] == 3
    assert (exported / MODEL_FILE).stat().st_size < 100_000


def test_nothing_local_is_in_the_file(exported: Path) -> None:
    stored = (exported / MODEL_FILE).read_bytes()
    local = [
        str(Path.cwd()),
        str(Path.home()),
        str(exported.parent),
        str(Path(os.__file__).parent),
        sys.prefix,
        "site-packages",
        "stack_trace",
        ".py",
    ]
    if getpass.getuser() != "root":
        local.append(getpass.getuser())
    assert [text for text in local if text.encode() in stored] == []


def test_the_recipe_and_the_licence_are_in_the_file(exported: Path) -> None:
    model = onnx.load(exported / MODEL_FILE, load_external_data=False)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts == {"configuration": "tiny", "recipe": "torchvision", "licence": "CC0-1.0"}


def test_the_same_export_gives_the_same_bytes(
    tiny: Checkpoint, framework: Framework, tmp_path: Path
) -> None:
    first, again = (
        export_onnx(framework, tiny, tmp_path / name).read_bytes() for name in ("first", "again")
    )
    assert first == again


@pytest.mark.full
@pytest.mark.parametrize(("framework", "name"), [("keras", "C"), ("torch", "E")])
def test_other_configurations_are_exported_too(
    framework: Framework, name: str, tmp_path: Path
) -> None:
    # C has the 1x1 convolutions, E the most layers; few classes keep neither from its full size.
    checkpoint = generate(configuration(name, classes=10), 2)
    export_onnx(framework, checkpoint, tmp_path / "out")
    checkpoint = open_checkpoint(tmp_path / "out" / WEIGHTS_FILE)
    batch = noise(checkpoint, 1)
    expected = reference.run_with_taps(checkpoint, batch)["predictions"]
    assert judge(logits(tmp_path / "out", batch), expected).passed
    (tmp_path / "out" / WEIGHTS_FILE).unlink()  # 0.5 GB


def test_the_users_keras_configuration_changes_nothing(tiny: Checkpoint, tmp_path: Path) -> None:
    import keras

    export_onnx("keras", tiny, tmp_path / "before")
    configured = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float16")
    keras.config.set_dtype_policy("float16")
    try:
        export_onnx("keras", tiny, tmp_path / "after")
        assert keras.config.floatx() == "float16"
    finally:
        keras.config.set_floatx(configured[0])
        keras.config.set_dtype_policy(configured[1])
    before, after = (tmp_path / name / MODEL_FILE for name in ("before", "after"))
    assert before.read_bytes() == after.read_bytes()


def test_weights_without_a_file_are_written(tmp_path: Path) -> None:
    checkpoint = generate(configuration("tiny", classes=10), 5)
    export_onnx("keras", checkpoint, tmp_path / "out")
    batch = noise(checkpoint, 2)
    expected = reference.run_with_taps(checkpoint, batch)["predictions"]
    assert judge(logits(tmp_path / "out", batch), expected).passed


def test_an_earlier_export_is_replaced(tiny: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export_onnx("keras", tiny, tmp_path / "out")
    before = digest(tmp_path / "out" / WEIGHTS_FILE)
    export_onnx("keras", seeded_checkpoint("tiny", 1), tmp_path / "out")
    assert digest(tmp_path / "out" / WEIGHTS_FILE) != before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [MODEL_FILE, WEIGHTS_FILE]


def test_a_folder_with_other_things_is_left_alone(tiny: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(BadInput, match=r"holds thesis.tex; expected a new folder, an empty one"):
        export_onnx("keras", tiny, tmp_path)
    with pytest.raises(BadInput, match="is a file"):
        export_onnx("keras", tiny, tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_failed_export_leaves_the_earlier_one(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_onnx("keras", tiny, tmp_path / "out")
    before = digest(tmp_path / "out" / MODEL_FILE)

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("the checker objects")

    monkeypatch.setattr(onnx.checker, "check_model", refuse)
    with pytest.raises(RuntimeError, match="the checker objects"):
        export_onnx("keras", seeded_checkpoint("tiny", 1), tmp_path / "out")
    assert digest(tmp_path / "out" / MODEL_FILE) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_checkpoint_without_its_classifier_is_refused(
    framework: Framework, tiny: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="has no classifier"):
        export_onnx(framework, tiny.without_top(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_lacks_a_weight_is_refused(tiny: Checkpoint) -> None:
    import onnx_ir as ir

    from export.link import link_weights

    empty = ir.Model(ir.Graph([ir.val("images")], [], nodes=[]), ir_version=10)
    with pytest.raises(ValueError, match=r"the traced graph has no weight block1_conv1.weight"):
        link_weights(empty, tiny, WEIGHTS_FILE)
    strange = ir.Model(
        ir.Graph([ir.val("images"), ir.val("surprise")], [], nodes=[]), ir_version=10
    )
    with pytest.raises(ValueError, match="inputs that are no weights: surprise"):
        link_weights(strange, tiny, WEIGHTS_FILE)
