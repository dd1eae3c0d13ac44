"""TensorFlow's checkpoints: TF-Slim's in both of their forms, and those of Keras 2."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

import vgg16_weights
from parity_tests.support.helpers import Command, same
from parity_tests.support.weights.refusals import refusal
from parity_tests.support.weights.tensorflow_files import (
    layers,
    save_keras,
    save_slim,
    slim_variables,
)
from vgg16_spec.checkpoint import Checkpoint, digest, open_checkpoint
from vgg16_spec.errors import BadInput
from vgg16_weights import formats
from vgg16_weights.tf import checkpoints

pytest.importorskip("tensorflow", reason="needs TensorFlow")

VERSIONS = pytest.mark.parametrize("version", [1, 2])


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in this process, which has TensorFlow already; another one takes seconds to start."""

    def read_here(read: Callable[[str], None], path: str, output: IO[bytes], **_: Any) -> None:
        stdout = io.TextIOWrapper(written := io.BytesIO())
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stdout)
            try:
                read(path)
            except Exception as error:
                raise ValueError(" ".join(str(error).split())) from error
        output.write(written.getvalue())

    monkeypatch.setattr(checkpoints, "run_apart", read_here)


def read(path: Path) -> Checkpoint:
    return vgg16_weights.read(path)


@pytest.mark.usefixtures("here")
@VERSIONS
def test_both_forms_are_read_bit_for_bit(tiny: Checkpoint, tmp_path: Path, version: int) -> None:
    save_slim(tmp_path / "vgg_16.ckpt", slim_variables(tiny), version=version)
    found = read(tmp_path / "vgg_16.ckpt")
    assert same(found, tiny)
    assert found.metadata.recipe == "caffe"
    assert found.metadata.source_format == "tf-slim"
    file = "vgg_16.ckpt" if version == 1 else "vgg_16.ckpt.index"
    assert found.metadata.source == file
    assert found.metadata.source_sha256 == digest(tmp_path / file)


@pytest.mark.usefixtures("here")
@VERSIONS
def test_slims_scopes_and_what_training_leaves(
    tiny: Checkpoint, tmp_path: Path, version: int
) -> None:
    variables = slim_variables(tiny, "vgg_16/")
    training: dict[str, Any] = {"global_step": np.int64(7), "vgg_16/mean_rgb": np.ones(3, "f4")}
    for name in list(variables):
        training[f"{name}/Momentum"] = variables[name]
        training[f"OptimizeLoss/{name}/Adam_1"] = variables[name]
        training[f"{name}/ExponentialMovingAverage"] = variables[name]
    save_slim(tmp_path / "model.ckpt-7", variables | training, version=version)
    contents = checkpoints.read(checkpoints.file_named(tmp_path / "model.ckpt-7"))
    expected = layers(tiny, slim=True)
    for name, (kernel, bias) in expected.items():
        found = contents.tensors[f"vgg_16/{name}.weight"]
        matrix = kernel.reshape(-1, kernel.shape[-1])  # a dense layer over a flattened map
        assert np.array_equal(found.view(), matrix if name.startswith("fc") else kernel)
        assert np.array_equal(contents.tensors[f"vgg_16/{name}.bias"].view(), bias)
    assert len(contents.tensors) == 2 * len(expected)
    assert contents.data_format == "channels_last"
    assert contents.steps == ("moving averages (ExponentialMovingAverage) ignored",)


@pytest.mark.usefixtures("here")
def test_keras_layers_are_read_in_their_order(tiny: Checkpoint, tmp_path: Path) -> None:
    save_keras(tmp_path / "weights", tiny)
    path = checkpoints.file_named(tmp_path / "weights")
    assert vgg16_weights.detect(path) == "tf-checkpoint"
    contents = checkpoints.read(path)
    assert contents.is_ordered
    expected = layers(tiny).values()
    names = [f"layer_with_weights-{i}.{p}" for i in range(16) for p in ("weight", "bias")]
    assert list(contents.tensors) == names
    arrays = [array for pair in expected for array in pair]
    for tensor, array in zip(contents.tensors.values(), arrays, strict=True):
        assert np.array_equal(tensor.view(), array)
    assert not vgg16_weights.FORMATS["tf-checkpoint"].layout.endswith("RGB")


@pytest.mark.usefixtures("here")
@VERSIONS
def test_other_variables_are_read_in_the_order_of_their_numbers(
    tiny: Checkpoint, tmp_path: Path, version: int
) -> None:
    """As ``tf.layers`` names them; whose images are not known to be RGB."""
    variables: dict[str, Any] = {}
    expected: list[tuple[str, Any]] = []
    for number, (name, (kernel, bias)) in enumerate(layers(tiny).items()):
        kind, count = ("dense", number - 13) if name.startswith("fc") else ("conv2d", number)
        layer = f"{kind}_{count}" if count else kind
        variables |= {f"net/{layer}/kernel": kernel, f"net/{layer}/bias": bias}
        expected += [(f"net/{layer}.weight", kernel), (f"net/{layer}.bias", bias)]
    save_slim(tmp_path / "model", variables, version=version)
    path = checkpoints.file_named(tmp_path / "model")
    assert vgg16_weights.detect(path) == "tf-checkpoint"
    contents = checkpoints.read(path)
    assert list(contents.tensors) == [key for key, _ in expected]
    assert not contents.is_ordered
    for key, array in expected:
        assert np.array_equal(contents.tensors[key].view(), array)


def test_a_checkpoint_is_found_by_each_of_its_names(tmp_path: Path) -> None:
    for name in ("w.ckpt.index", "w.ckpt.meta", "w.ckpt.data-00000-of-00001", "one.ckpt"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("w.ckpt", "w.ckpt.index", "w.ckpt.meta", "w.ckpt.data-00000-of-00001"):
        assert checkpoints.file_named(tmp_path / name) == tmp_path / "w.ckpt.index"
    newest = tmp_path / "checkpoint"
    # Its own folder counts, wherever it was written.
    newest.write_text('model_checkpoint_path: "/elsewhere/w.ckpt"\nall_model_checkpoint_paths: "v"')
    assert checkpoints.file_named(newest) == tmp_path / "w.ckpt.index"
    newest.write_text('model_checkpoint_path: "one.ckpt"\n')
    assert checkpoints.file_named(newest) == tmp_path / "one.ckpt"
    newest.write_text("weights")
    for name in ("checkpoint", "none.ckpt", "one.ckpt", "other.index"):
        assert checkpoints.file_named(tmp_path / name) == tmp_path / name


@pytest.mark.usefixtures("here")
def test_damage_is_one_line(tiny: Checkpoint, tmp_path: Path) -> None:
    save_slim(tmp_path / "w", slim_variables(tiny), version=2)
    data = tmp_path / "w.data-00000-of-00001"
    whole = data.read_bytes()
    for damaged in (whole[:-1000], whole[:500] + b"!" + whole[501:]):
        data.write_bytes(damaged)
        assert "cannot be used (" in refusal("tf-slim", tmp_path / "w.index")
    data.unlink()
    assert "cannot be used (" in refusal("tf-slim", tmp_path / "w.index")
    index = (tmp_path / "w.index").read_bytes()
    (tmp_path / "w.index").write_bytes(index[:60] + b"\xff\xff" + index[62:])
    assert "cannot be used (" in refusal("tf-slim", tmp_path / "w.index")
    (tmp_path / "w.index").write_bytes(index[:-1])
    assert "does not end as TensorFlow's" in refusal("tf-slim", tmp_path / "w.index")


@pytest.mark.usefixtures("here")
def test_more_than_the_weights_of_a_vgg_is_refused(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_slim(tmp_path / "w", slim_variables(tiny), version=2)
    monkeypatch.setattr(checkpoints, "_MOST_BYTES", 1000)
    assert "its variables take 181,840 bytes" in refusal("tf-slim", tmp_path / "w.index")
    monkeypatch.setattr(checkpoints, "_MOST_VARIABLES", 10)
    assert "it has 32 variables" in refusal("tf-slim", tmp_path / "w.index")


def test_without_tensorflow_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w.index").write_bytes(bytes(48) + checkpoints._MAGIC)
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    with pytest.raises(BadInput) as error:
        vgg16_weights.read(tmp_path / "w")
    assert str(error.value).endswith(
        'needs TensorFlow, which is not installed; expected pip install "vgg16-parity[keras]"'
    )


@pytest.mark.slow
def test_the_command_reads_it_in_another_process_without_tensorflows_log(
    vgg16: Command, tiny: Checkpoint, tmp_path: Path
) -> None:
    save_slim(tmp_path / "model", slim_variables(tiny), version=2)
    done = vgg16("port", tmp_path / "model", tmp_path / "w.safetensors")
    assert done.status == 0, done.err
    assert all(line.startswith(("read ", "write ")) for line in done.err.splitlines())
    assert same(open_checkpoint(tmp_path / "w.safetensors"), tiny)
    (tmp_path / "model.data-00000-of-00001").write_bytes(b"")
    done = vgg16("port", tmp_path / "model", tmp_path / "x.safetensors")
    assert done.status == 2
    assert done.err.splitlines()[-1].startswith(f"vgg16: {tmp_path / 'model.index'}: cannot be")
    assert len(done.err.splitlines()[-1]) < 300 + len(str(tmp_path))
