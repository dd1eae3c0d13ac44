"""An export destroys nothing that is not its own, and says no before it starts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from export import export_onnx
from export.graph.opset import check_opset
from parity_tests.support.graphs.exports import (
    Export,
    files,
    noise,
    remembered_traces,
    run,
    structure,
)
from parity_tests.support.helpers import Command, judge_logits
from vgg16_spec.checkpoint import Checkpoint, open_checkpoint, write_checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.files.atomic import whole_folder


@pytest.fixture(autouse=True, scope="module")
def once() -> Iterator[None]:
    with remembered_traces():
        yield


@pytest.fixture(scope="module")
def earlier(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier") / "bundle"
    export_onnx("keras", tiny, folder)
    return folder


@pytest.fixture
def bundle(earlier: Path, tmp_path: Path) -> Path:
    """An earlier bundle of this test's own."""
    return Path(shutil.copytree(earlier, tmp_path / "bundle"))


def test_a_bundle_is_not_replaced_by_one_of_its_own_weights(bundle: Path) -> None:
    before = files(bundle)
    weights = open_checkpoint(bundle / "1" / "weights.safetensors")
    with pytest.raises(BadInput, match=r"holds weights.safetensors, which is to be read"):
        export_onnx("keras", weights, bundle, precision="fp16")
    assert files(bundle) == before


@pytest.mark.parametrize("name", ["1/mine.txt", "test_data_set_0/mine.pb", "2/model.onnx"])
def test_a_file_of_somebody_elses_within_a_bundle_is_kept(
    bundle: Path, tiny: Checkpoint, name: str
) -> None:
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_text("mine")
    with pytest.raises(BadInput, match=r"holds .*; expected a new folder, an empty one or an earl"):
        export_onnx("keras", tiny, bundle)
    assert (bundle / name).read_text() == "mine"


def test_the_current_folder_is_not_replaced(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (".", tmp_path):
        with pytest.raises(BadInput, match="is the current folder, which would be replaced"):
            export_onnx("keras", tiny, name)


def test_an_interrupt_while_folders_change_places_loses_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").write_text("old")
    rename, calls = Path.rename, list[str]()

    def interrupted(self: Path, target: Path) -> Path:
        calls.append(self.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "out") as folder:
        (folder / "new.txt").write_text("new")
    assert files(tmp_path) == {"out/old.txt": b"old"}


def test_shared_weights_are_looked_for_where_a_linked_name_leads(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    checkpoint = write_checkpoint(tiny, tmp_path / "w.safetensors")
    (tmp_path / "real").mkdir()
    (tmp_path / "link.onnx").symlink_to(tmp_path / "real" / "x.onnx")
    with pytest.raises(BadInput, match=r"is outside .*real; expected the ONNX file beside its wei"):
        export_onnx("keras", checkpoint, tmp_path / "link.onnx", weights_file="shared")


def test_a_name_that_onnx_takes_for_a_way_out_is_refused(tiny: Checkpoint, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tiny, tmp_path / "a..b.safetensors")
    with pytest.raises(BadInput, match="has two dots in a row in its name"):
        export_onnx("keras", checkpoint, tmp_path / "m.onnx", weights_file="shared")


@pytest.mark.parametrize("opset", [-1, 0, 12, 99])
def test_an_opset_is_refused_with_the_range(opset: int) -> None:
    with pytest.raises(BadInput, match=rf"--opset: is {opset}; expected 13 to \d+"):
        check_opset(opset)


@pytest.mark.parametrize("batch", ["0", "1025", "9223372036854775808", "9" * 5000, "-3", "²"])
def test_a_batch_that_nobody_has_is_one_line(vgg16: Command, tmp_path: Path, batch: str) -> None:
    done = vgg16("export", "--framework", "keras", "--out", tmp_path / "x", "--batch", batch)
    assert done.status == 2
    (line,) = done.err.splitlines()
    assert line.startswith("vgg16: --batch: is ")


def test_a_backend_of_keras_is_not_for_pytorch(vgg16: Command, tmp_path: Path) -> None:
    out = tmp_path / "x"
    done = vgg16("export", "--framework", "torch", "--backend", "jax", "--out", out)
    assert done.status == 2
    assert "--backend: jax is for Keras; expected --framework keras" in done.err


def test_a_place_that_cannot_be_written_is_refused_before_any_weight_is_made(
    vgg16: Command, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    for name in ("file", "other", "none/bundle", "none/model.onnx"):
        done = vgg16("export", "--framework", "keras", "--out", tmp_path / name)
        assert done.status == 2
        assert len(done.err.splitlines()) == 1  # no progress before it


def test_the_case_of_the_ending_does_not_matter(tiny: Checkpoint, tmp_path: Path) -> None:
    assert export_onnx("keras", tiny, tmp_path / "MODEL.ONNX").is_file()


@pytest.fixture
def export(tiny: Checkpoint, tmp_path: Path) -> Export:
    def written(**options: Any) -> Path:
        return export_onnx("keras", tiny, tmp_path / "model.onnx", **options)

    return written


def axes(value: onnx.ValueInfoProto) -> list[int | str]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


def test_no_axis_has_a_name_that_the_inferrer_counted(export: Export, tiny: Checkpoint) -> None:
    for options in (
        {},
        {"features": True, "taps": True},
        {"input": "uint8", "resize": True, "taps": True, "output": "probabilities"},
        {"features": True, "layout": "nhwc", "batch": 2},
    ):
        assert b"unk__" not in export(**options).read_bytes()
    model = export(input="uint8", resize=True, batch=3)
    assert [axes(output) for output in structure(model).graph.output] == [[3, 1000]]
    model = export(input="uint8", resize=True, batch=3, taps=True)
    assert axes(structure(model).graph.output[2]) == [3, 4, 32, 32]
    model = export(features=True)
    assert [axes(output) for output in structure(model).graph.output] == [["batch", 12, 0, 0]]
    batch = noise(tiny, 1)
    assert judge_logits(run(export(), batch)["logits"], tiny, batch).passed


def test_the_metadata_state_the_sizes_of_the_network(tiny: Checkpoint, tmp_path: Path) -> None:
    inside = {"float32": "nothing", "uint8": "arithmetic", "resize": "resize, crop, arithmetic"}
    for kind, words in inside.items():
        options: dict[str, Any] = {} if kind == "float32" else {"input": "uint8"}
        options |= {"resize": True} if kind == "resize" else {}
        export_onnx("keras", tiny, tmp_path / kind, test_data=False, **options)
        document = json.loads((tmp_path / kind / "metadata.json").read_text(encoding="utf-8"))
        stated = document["preprocessing"]
        assert (stated["resize"], stated["crop"]) == (73, 64)
        assert stated["in_the_graph"] == words


def test_the_readme_of_a_smaller_graph_says_so(tiny: Checkpoint, tmp_path: Path) -> None:
    export_onnx("keras", tiny, tmp_path / "out", precision="fp16", taps=True)
    readme = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "and every layer's output by the layer's name" in readme
    assert "fp16; `accuracy.json`" in readme
    assert "| `accuracy.json` |" in readme
    assert (tmp_path / "out" / "accuracy.json").is_file()
