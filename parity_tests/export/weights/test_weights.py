"""Where an exported graph's weights lie: in the checkpoint, in a copy of it, in the ONNX file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import onnx
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

import vgg16_weights
from export import VERSION, WEIGHTS_FILE, export_onnx
from export.trace import canonical_graph
from export.weights.embed import write_embedded
from export.weights.link import take_weights
from parity_tests.support.graphs.exports import (
    files,
    noise,
    remembered_traces,
    run,
    structure,
)
from parity_tests.support.helpers import full_disk, judge_logits, same
from parity_tests.support.weights.changed import with_value
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import Checkpoint, digest, open_checkpoint, write_checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput
from vgg16_spec.names import names, torchvision_keys


@pytest.fixture(autouse=True, scope="module")
def once() -> Iterator[None]:
    with remembered_traces():
        yield


@pytest.fixture
def checkpoint(tiny: Checkpoint, tmp_path: Path) -> Checkpoint:
    """A checkpoint in a folder of its own."""
    return write_checkpoint(tiny, tmp_path / "vgg.safetensors")


def locations(model: Path) -> set[str]:
    return {
        entry.value
        for tensor in structure(model).graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }


def test_shared_weights_are_pointed_at_where_they_lie(checkpoint: Checkpoint) -> None:
    before = digest(checkpoint.file)
    out = checkpoint.file.with_name("model.onnx")
    export_onnx("keras", checkpoint, out, weights_file="shared")
    assert out.stat().st_size < 100_000
    assert locations(out) == {"vgg.safetensors"}
    assert digest(checkpoint.file) == before
    assert sorted(path.name for path in out.parent.iterdir()) == ["model.onnx", "vgg.safetensors"]
    batch = noise(checkpoint, 2)
    assert judge_logits(run(out, batch)["logits"], checkpoint, batch).passed
    onnx.checker.check_model(out, full_check=True)


def test_shared_weights_in_a_folder_below_are_pointed_at(tiny: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    checkpoint = write_checkpoint(tiny, tmp_path / "weights" / "vgg.safetensors")
    out = export_onnx("keras", checkpoint, tmp_path / "model.onnx", weights_file="shared")
    assert locations(out) == {"weights/vgg.safetensors"}
    batch = noise(checkpoint, 1)
    assert judge_logits(run(out, batch)["logits"], checkpoint, batch).passed


def test_weights_that_onnx_would_not_follow_are_refused(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()

    def refusal(path: Path, out: Path) -> str:
        with pytest.raises(BadInput) as error:
            export_onnx("keras", open_checkpoint(path), out, weights_file="shared")
        assert not out.exists()
        return str(error.value)

    file = checkpoint.file
    outside = refusal(file, tmp_path / "elsewhere" / "model.onnx")
    assert outside.endswith("elsewhere; expected the ONNX file beside its weights file")
    link = tmp_path / "link.safetensors"
    link.symlink_to(file)
    assert "is a symbolic link; expected the file itself" in refusal(link, tmp_path / "m.onnx")
    os.link(file, tmp_path / "twin.safetensors")
    assert "has 2 hard links; expected one, as ONNX demands" in refusal(file, tmp_path / "m.onnx")


def test_weights_in_another_format_are_not_shared(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"is in a format that ONNX cannot point into; expected a"):
        export_onnx(
            "keras", generate(configuration("tiny"), 1), tmp_path / "m.onnx", weights_file="shared"
        )


def test_the_forms_of_an_export_go_with_the_form_of_its_name(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"--weights-file separate: needs a folder, not m.onnx"):
        export_onnx("keras", checkpoint, tmp_path / "m.onnx", weights_file="separate")
    for kind in ("shared", "embedded"):
        with pytest.raises(BadInput, match=rf"--weights-file {kind}: needs a file, not the folde"):
            export_onnx("keras", checkpoint, tmp_path / "out", weights_file=kind)


def test_an_embedded_file_is_what_the_library_would_write(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    out = export_onnx("keras", checkpoint, tmp_path / "model.onnx")
    proto = onnx.load(out)
    # The fields stand in another order, which protobuf leaves free.
    assert proto.ByteSize() == out.stat().st_size
    assert [tensor.name for tensor in proto.graph.initializer] == list(checkpoint)
    for tensor in proto.graph.initializer:
        assert onnx.numpy_helper.to_array(tensor).tobytes() == checkpoint[tensor.name].tobytes()
    onnx.checker.check_model(out, full_check=True)


# In bytes: one value, less than the smallest tensor, what leaves a last block of one value of
# another, and all.
@pytest.mark.parametrize("block_bytes", [4, 12, 4 * 47, 4 * 1535, 1 << 27])
def test_an_embedded_file_does_not_depend_on_the_block(
    checkpoint: Checkpoint, tmp_path: Path, block_bytes: int
) -> None:
    # In Keras's order a block is gathered from the whole tensor.
    vgg16_weights.write(checkpoint, tmp_path / "w.h5", "keras-h5")
    for weights in (checkpoint, vgg16_weights.read(tmp_path / "w.h5")):
        model = canonical_graph("keras", weights.configuration)
        take_weights(model, weights)
        write_embedded(model, weights, tmp_path / "model.onnx", block_bytes)
        written = onnx.load(tmp_path / "model.onnx").graph.initializer
        assert {
            tensor.name: onnx.numpy_helper.to_array(tensor).tobytes() for tensor in written
        } == {name: values.tobytes() for name, values in checkpoint.items()}


@pytest.mark.parametrize("out", ["model.onnx", "bundle"])
def test_weights_that_are_not_finite_are_not_exported(
    tiny: Checkpoint, tmp_path: Path, out: str
) -> None:
    broken = with_value(tiny, "predictions.bias", -1, float("inf"))
    with pytest.raises(BadInput, match=r"not finite \(NaN or infinity\): predictions\.bias; exp"):
        export_onnx("keras", broken, tmp_path / out, test_data=False)
    assert not list(tmp_path.iterdir())


def test_an_embedded_file_of_pictures_keeps_its_constants(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    out = export_onnx("keras", checkpoint, tmp_path / "model.onnx", input="uint8", resize=True)
    assert set(checkpoint) < {tensor.name for tensor in onnx.load(out).graph.initializer}
    onnx.checker.check_model(out, full_check=True)


def test_lengths_are_protobufs_own() -> None:
    from export.weights.embed import _varint

    encoder: Any = import_module("google.protobuf.internal.encoder")
    for value in (0, 1, 127, 128, 300, 16383, 16384, 411_041_792, 2**31 - 1, 2**40 + 5):
        assert _varint(value) == encoder._VarintBytes(value)


def test_the_three_forms_compute_the_same(checkpoint: Checkpoint, tmp_path: Path) -> None:
    models = [
        export_onnx("keras", checkpoint, tmp_path / "shared.onnx", weights_file="shared"),
        export_onnx("keras", checkpoint, tmp_path / "embedded.onnx"),
        export_onnx("keras", checkpoint, tmp_path / "bundle", test_data=False),
    ]
    batch = noise(checkpoint, 2)
    assert len({run(model, batch)["logits"].tobytes() for model in models}) == 1


FORMATS = {"torchvision": "torchvision-safetensors", "timm": "timm"}


def foreign(checkpoint: Checkpoint, path: Path, library: str) -> Path:
    """The checkpoint's values under the keys and in the ranks of a library's own VGG16."""
    with torch.device("meta"):
        own = torchvision.models.vgg16() if library == "torchvision" else timm.create_model("vgg16")
    ranks = {key: value.ndim for key, value in own.state_dict().items()}
    maps = {"fc1": checkpoint.configuration.feature_shape}
    state = {}
    for name, row in names(checkpoint.configuration).items():
        for kind in ("weight", "bias"):
            key = f"{row.torchvision if library == 'torchvision' else row.timm}.{kind}"
            values = torch.from_numpy(checkpoint[f"{name}.{kind}"].copy())
            if ranks[key] > values.ndim:
                values = values.reshape(len(values), *maps.get(name, (-1, 1, 1)))
            state[key] = values
    assert set(state) == set(ranks)
    save_file(state, path, metadata={"format": "pt"})
    return path


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_another_librarys_safetensors_file_is_linked_in_place(
    tiny: Checkpoint, tmp_path: Path, library: str
) -> None:
    path = foreign(tiny, tmp_path / f"{library}.safetensors", library)
    before = path.read_bytes()
    checkpoint = open_checkpoint(path)
    assert same(checkpoint, tiny)
    assert checkpoint.metadata.recipe == "torchvision"
    assert checkpoint.metadata.source_format == FORMATS[library]
    assert checkpoint.metadata.source_sha256 == digest(path)
    out = export_onnx("keras", checkpoint, tmp_path / "model.onnx", weights_file="shared")
    assert locations(out) == {path.name}
    assert path.read_bytes() == before
    batch = noise(tiny, 2)
    assert judge_logits(run(out, batch)["logits"], tiny, batch).passed


@pytest.mark.full
@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_the_full_size_file_of_another_library_is_recognised(
    tmp_path: Path, library: str, full: Checkpoint
) -> None:
    path = foreign(full, tmp_path / f"{library}.safetensors", library)
    checkpoint = open_checkpoint(path)
    assert same(checkpoint, full)
    path.unlink()  # 0.5 GB


def test_a_bundle_of_another_librarys_weights_holds_a_canonical_checkpoint(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    path = foreign(tiny, tmp_path / "timm.safetensors", "timm")
    export_onnx("keras", open_checkpoint(path), tmp_path / "out", test_data=False)
    copied = open_checkpoint(tmp_path / "out" / VERSION / WEIGHTS_FILE)
    assert copied.is_whole_file
    assert same(copied, tiny)
    assert copied.metadata.source == "timm.safetensors"


def test_features_of_a_whole_checkpoint_are_copied_without_the_classifier(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    export_onnx("keras", tiny, tmp_path / "out", features=True, test_data=False)
    copied = open_checkpoint(tmp_path / "out" / VERSION / WEIGHTS_FILE)
    assert same(copied, tiny.without_top())


DAMAGE = {
    "a missing tensor": lambda state: state.pop("classifier.3.bias"),
    "another tensor": lambda state: state.update({"classifier.7.bias": torch.zeros(3)}),
    "another shape": lambda state: state.update({"features.2.weight": torch.zeros(4, 4, 3, 5)}),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_file_that_is_only_like_torchvisions_is_refused(
    tiny: Checkpoint, tmp_path: Path, kind: str
) -> None:
    state = {
        key: torch.from_numpy(tiny[name].copy())
        for name, key in torchvision_keys(tiny.configuration).items()
    }
    DAMAGE[kind](state)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(BadInput, match="a safetensors file without a checkpoint's metadata"):
        open_checkpoint(tmp_path / "w.safetensors")


def test_torchvisions_keys_in_half_precision_are_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    keys = torchvision_keys(tiny.configuration)
    state = {key: torch.from_numpy(tiny[name].copy()).half() for name, key in keys.items()}
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(BadInput, match=r"wrong type: block1_conv1.weight is F16, "):
        open_checkpoint(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["bundle", "model.onnx", "fp16"])
def test_a_full_disk_leaves_the_earlier_export_and_nothing_else(
    tiny: Checkpoint, tmp_path: Path, name: str
) -> None:
    out = tmp_path / name
    options: dict[str, Any] = {"precision": "fp16"} if name == "fp16" else {}
    for earlier in (False, True):
        if earlier:
            export_onnx("keras", tiny, out, **options)
        before = files(tmp_path)
        with full_disk(), pytest.raises(BadInput) as refusal:
            export_onnx("keras", tiny, out, **options)
        assert str(refusal.value).startswith(f"{out}: cannot be written (File too large)")
        assert files(tmp_path) == before
