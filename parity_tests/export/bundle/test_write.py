"""Exported graphs compute the network, say nothing about the machine, and point at the weights."""

from __future__ import annotations

import getpass
import os
import sys
from collections import Counter
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from export import MODEL_FILE, VERSION, WEIGHTS_FILE, export_onnx
from export.constants import Framework
from export.trace import from_keras
from parity_tests.support.failing import killing
from parity_tests.support.graphs.exports import files, noise, run, structure
from parity_tests.support.helpers import judge_logits
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, digest, open_checkpoint
from vgg16_spec.checkpoint.seeded import generate, seeded_checkpoint
from vgg16_spec.errors import BadInput

FRAMEWORKS = ("keras", "torch")


@pytest.fixture(scope="module", params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> Framework:
    chosen: Framework = request.param
    return chosen


@pytest.fixture(scope="module")
def exported(
    tiny: Checkpoint, framework: Framework, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny network's bundle, exported once by each framework."""
    folder = tmp_path_factory.mktemp("exports") / framework
    export_onnx(framework, tiny, folder)
    return folder


@pytest.mark.parametrize("images", [1, 2, 5])
def test_any_batch_agrees_with_the_arbiter(exported: Path, tiny: Checkpoint, images: int) -> None:
    batch = noise(tiny, images)
    found = judge_logits(run(exported / MODEL_FILE, batch)["logits"], tiny, batch)
    assert found.passed, found.reason


def test_both_graphs_of_a_bundle_compute_the_same(exported: Path, tiny: Checkpoint) -> None:
    batch = noise(tiny, 1)
    first, second = (
        run(folder / MODEL_FILE, batch)["logits"] for folder in (exported, exported / VERSION)
    )
    assert first.tobytes() == second.tobytes()


def test_the_checker_passes_with_full_checks(exported: Path) -> None:
    for model in (exported / MODEL_FILE, exported / VERSION / MODEL_FILE):
        onnx.checker.check_model(model, full_check=True)


def test_the_edge_of_the_graph_is_as_documented(exported: Path) -> None:
    model = structure(exported / MODEL_FILE)
    (images,), (output,) = model.graph.input, model.graph.output

    def shape(value: onnx.ValueInfoProto) -> list[int | str]:
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    assert (images.name, output.name) == ("images", "logits")
    assert shape(images) == ["batch", 3, 64, 64]
    assert shape(output) == ["batch", 1000]
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]


def test_every_weight_points_into_the_checkpoint(exported: Path, tiny: Checkpoint) -> None:
    stored = (exported / VERSION / WEIGHTS_FILE).read_bytes()
    for folder, location in ((exported, f"{VERSION}/{WEIGHTS_FILE}"), (exported / VERSION, None)):
        model = structure(folder / MODEL_FILE)
        assert [entry.name for entry in model.graph.initializer] == list(tiny)
        for tensor in model.graph.initializer:
            place = {entry.key: entry.value for entry in tensor.external_data}
            assert place["location"] == (location or WEIGHTS_FILE)
            start, length = int(place["offset"]), int(place["length"])
            assert stored[start : start + length] == tiny[tensor.name].tobytes()
            assert not tensor.raw_data
    assert digest(exported / VERSION / WEIGHTS_FILE) == digest(tiny.file)
    open_checkpoint(exported / VERSION / WEIGHTS_FILE)


def test_the_graph_is_the_networks(exported: Path) -> None:
    kinds = Counter(node.op_type for node in structure(exported / MODEL_FILE).graph.node)
    assert kinds == {"Conv": 13, "Relu": 15, "MaxPool": 5, "Flatten": 1, "Gemm": 3}
    assert (exported / MODEL_FILE).stat().st_size < 100_000


def test_nothing_local_is_in_any_file(exported: Path) -> None:
    local = [
        str(Path.cwd()),
        str(Path.home()),
        str(exported.parent),
        str(Path(os.__file__).parent),
        sys.prefix,
        "site-packages",
        "stack_trace",
        ".py",
        "torch.export",
        "tensorflow",
    ]
    if getpass.getuser() != "root":
        local.append(getpass.getuser())
    stored = files(exported)
    assert MODEL_FILE in stored
    assert [
        (name, text) for name in stored for text in local if text.encode() in stored[name]
    ] == []


def test_the_same_export_gives_the_same_bytes_whoever_traces_it(
    exported: Path, tiny: Checkpoint, tmp_path: Path
) -> None:
    export_onnx("keras", tiny, tmp_path / "again")
    assert files(tmp_path / "again") == files(exported)


@pytest.mark.full
@pytest.mark.parametrize(
    ("framework", "name"), [("keras", "C"), pytest.param("torch", "E", marks=pytest.mark.weekly)]
)
def test_other_configurations_are_exported_too(
    framework: Framework, name: str, tmp_path: Path
) -> None:
    # C has the 1x1 convolutions, E the most layers; few classes keep neither from its full size.
    checkpoint = generate(configuration(name, classes=10), 2)
    model = export_onnx(framework, checkpoint, tmp_path / "out")
    weights = tmp_path / "out" / VERSION / WEIGHTS_FILE
    checkpoint = open_checkpoint(weights)
    batch = noise(checkpoint, 1)
    assert judge_logits(run(model, batch)["logits"], checkpoint, batch).passed
    weights.unlink()  # 0.5 GB


def test_the_users_keras_configuration_changes_nothing(tiny: Checkpoint, tmp_path: Path) -> None:
    import keras

    export_onnx("keras", tiny, tmp_path / "before", test_data=False)
    configured = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float16")
    keras.config.set_dtype_policy("float16")
    try:
        export_onnx("keras", tiny, tmp_path / "after", test_data=False)
        assert keras.config.floatx() == "float16"
    finally:
        keras.config.set_floatx(configured[0])
        keras.config.set_dtype_policy(configured[1])
    assert files(tmp_path / "before") == files(tmp_path / "after")


def test_weights_without_a_file_are_written(tmp_path: Path) -> None:
    checkpoint = generate(configuration("tiny", classes=10), 5)
    model = export_onnx("keras", checkpoint, tmp_path / "out")
    batch = noise(checkpoint, 2)
    assert judge_logits(run(model, batch)["logits"], checkpoint, batch).passed


def test_an_earlier_export_is_replaced(tiny: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export_onnx("keras", tiny, tmp_path / "out")
    before = digest(tmp_path / "out" / VERSION / WEIGHTS_FILE)
    other = seeded_checkpoint("tiny", 1)
    export_onnx("keras", other, tmp_path / "out", test_data=False)
    assert digest(tmp_path / "out" / VERSION / WEIGHTS_FILE) != before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    export_onnx("keras", other, tmp_path / "new", test_data=False)
    assert files(tmp_path / "out") == files(tmp_path / "new")


def test_a_folder_with_other_things_is_left_alone(tiny: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(BadInput, match=r"holds thesis.tex; expected a new folder, an empty one"):
        export_onnx("keras", tiny, tmp_path)
    with pytest.raises(BadInput, match="is a file"):
        export_onnx("keras", tiny, tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_with_a_bundles_file_names_alone_is_left_alone(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text("precious")
    with pytest.raises(BadInput, match=r"holds README.md and no model.onnx of ours"):
        export_onnx("keras", tiny, tmp_path)
    assert (tmp_path / "README.md").read_text() == "precious"


def test_a_failed_export_leaves_the_earlier_one(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_onnx("keras", tiny, tmp_path / "out")
    before = files(tmp_path / "out")

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("the checker objects")

    monkeypatch.setattr(onnx.checker, "check_model", refuse)
    for name in ("out", "out.onnx"):
        with pytest.raises(RuntimeError, match="the checker objects"):
            export_onnx("keras", seeded_checkpoint("tiny", 1), tmp_path / name)
    assert files(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_checkpoint_without_its_classifier_is_refused(
    framework: Framework, tiny: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"has no classifier; .* or --features for"):
        export_onnx(framework, tiny.without_top(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_lacks_a_weight_is_refused(tiny: Checkpoint) -> None:
    from export.weights.link import take_weights

    empty = ir.Model(ir.Graph([ir.val("images")], [], nodes=[]), ir_version=10)
    with pytest.raises(ValueError, match=r"the traced graph reads: missing: block1_conv1.weight"):
        take_weights(empty, tiny)
    strange = ir.Model(
        ir.Graph([ir.val("images"), ir.val("surprise")], [], nodes=[]), ir_version=10
    )
    with pytest.raises(ValueError, match="; unexpected: surprise"):
        take_weights(strange, tiny)


@pytest.mark.slow
@killing.needs_fork
def test_a_killed_export_leaves_a_whole_folder_or_none(tiny: Checkpoint, tmp_path: Path) -> None:
    trace = tmp_path / "trace.onnx"
    onnx.save(ir.to_proto(from_keras.trace(tiny.configuration)), trace)
    report = killing.report("graphs.killed_export", trace, tiny.file, tmp_path / "out")
    assert len(report["found"]) == killing.ATTEMPTS
    # The moments lie before, in and after the writing.
    assert set(report["found"]) == {"whole", "absent"}
