"""What cannot be used is refused in one line, with exit status 2, and nothing is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from parity_tests.support.arbiter_models import save, small_model
from parity_tests.support.foreign_text import HOSTILE, unseen
from parity_tests.support.helpers import Command

Images = NDArray[np.float32]


def refused(arbiter: Command, *words: object) -> str:
    """The last line on stderr of a run that is refused."""
    before = sorted(Path.cwd().rglob("*"))
    done = arbiter(*words)
    assert (done.status, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert sorted(Path.cwd().rglob("*")) == before
    line = done.err.splitlines()[-1]
    assert line.startswith("onnx-arbiter: ")
    return line.removeprefix("onnx-arbiter: ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--outputs in.npz", "--outputs: from which inputs they were computed is not said"),
        ("--outputs a.npz --port p.py:f", "--outputs: cannot be combined with --port"),
        ("--against a.onnx --runtime b", "--against: cannot be combined with --runtime"),
        ("--inputs in.npz --seed 1", "--seed: is of seeded inputs"),
        ("--inputs in.npz --shape x=1,3,8,8", "--shape: is of seeded inputs"),
        ("--inputs in.npz --save-inputs b.npz", "--save-inputs: is of seeded inputs"),
        ("--inputs absent.npz", "absent.npz: no such file"),
        ("--inputs other.npz", "inputs: the input x is missing"),
        ("--inputs more.npz", "inputs: z is no input of the network"),
        ("--inputs misshapen.npz", "the input x has the shape (1, 3, 9, 8); expected (1, 3, 8, 8)"),
        ("--inputs nan.npz", "the input x has values that are not finite"),
        ("--inputs junk.npz", "junk.npz: cannot be read"),
        ("--inputs p.py", "p.py: is no .npz or .npy file; expected what numpy.savez"),
        ("--inputs in.npz --outputs in.npz", "x: no value of the network has this name"),
        ("--inputs in.npz --outputs words.npz", "--outputs: y is of the type <U3"),
        ("--inputs in.npz --outputs complex.npz", "--outputs: y is of the type complex128"),
        ("--inputs in.npz --outputs empty.npz", "outputs: nothing to compare"),
        ("--shape x=1,3,9,8", "--shape x: (1, 3, 9, 8) does not fit"),
        ("--shape q=1", "--shape q: is no input of the network"),
        ("--shape x", "--shape x: is not NAME=SIZES"),
        ("--mode int4", "--mode: 'int4' is unknown"),
        ("--runtime abacus", "--runtime: 'abacus' is unknown"),
        ("--port p.py", "--port: 'p.py' does not name a function in a file"),
        ("--port absent.py:f", "absent.py: no such file"),
        ("--against absent.onnx", "absent.onnx: no such file"),
        ("--against nan.npz", "nan.npz: not an ONNX model"),
        ("--against small.onnx --repro r", "--repro: writes what a run computed"),
        ("--repro absent/r", "absent: no such folder"),
        ("--html small.onnx", "--html: small.onnx is also an input"),
        ("--inputs in.npz --junit in.npz", "--junit: in.npz is also an input"),
        ("--html one --junit one", "--junit: one is also --html"),
        ("--save-inputs one --html one", "--html: one is also --save-inputs"),
        ("--html absent/page.html", "absent: no such folder"),
        ("--seed -1", "Invalid value for '--seed'"),
        ("another", "Got unexpected extra argument"),
    ],
)
def test_options_that_cannot_be_used_are_refused(
    arbiter: Command, model: Path, images: Images, tmp_path: Path, options: str, said: str
) -> None:
    files = {
        "other": {"y": images},
        "more": {"x": images, "z": images},
        "misshapen": {"x": np.zeros((1, 3, 9, 8), np.float32)},
        "nan": {"x": np.full_like(images, np.nan)},
        "words": {"y": np.array(["one", "two"])},
        "complex": {"y": np.zeros((1, 10), np.complex128)},
        "empty": {},
    }
    for name, arrays in files.items():
        save(tmp_path / f"{name}.npz", arrays)
    (tmp_path / "junk.npz").write_bytes(b"PK\x03\x04junk")
    (tmp_path / "p.py").write_text("f = None\n")
    assert said in refused(arbiter, model.name, *options.split())


def test_a_weight_that_is_not_a_number_is_named(arbiter: Command, tmp_path: Path) -> None:
    small_model(tmp_path / "nan.onnx", weight=float("nan"))
    assert refused(arbiter, "nan.onnx") == "w1: the weight has values that are not a number (NaN)"


def test_an_open_size_needs_a_shape(arbiter: Command, tmp_path: Path) -> None:
    small_model(tmp_path / "open.onnx", shape=("N", 3, 8, 8))
    expected = "--shape x: the model leaves sizes open: (N, 3, 8, 8); expected --shape x=1,3,8,8"
    assert refused(arbiter, "open.onnx").startswith(expected)


@pytest.mark.parametrize("content", [b"", b"no model at all", bytes(range(256))])
def test_what_is_no_onnx_file_is_refused(arbiter: Command, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "junk.onnx").write_bytes(content)
    assert refused(arbiter, "junk.onnx").startswith("junk.onnx: ")


def test_data_outside_the_folder_are_not_read(arbiter: Command, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = small_model(tmp_path / "in" / "small.onnx")
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="w.data", size_threshold=0)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        next(e for e in tensor.external_data if e.key == "location").value = "../w.data"
    onnx.save(model, path)
    (tmp_path / "in" / "w.data").rename(tmp_path / "w.data")
    said = refused(arbiter, os.path.join("in", "small.onnx"))  # noqa: PTH118 - a name as given
    assert "w1 is to be read from '../w.data'; expected a file in the model's folder" in said


def test_a_runtime_without_the_operator_says_so(arbiter: Command, tmp_path: Path) -> None:
    own = onnx.helper.make_node("Own", ["y"], ["z"], name="own", domain="my.domain")
    small_model(tmp_path / "custom.onnx", more=[own])
    assert "custom.onnx: ONNX Runtime does not run it" in refused(arbiter, "custom.onnx")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["import a_module_that_nobody_has"], "p.py:1 raised ModuleNotFoundError"),
        (["", "def f(inputs: return"], "p.py:2 raised SyntaxError"),
        (["def g(inputs): return inputs"], "has no function f"),
        (["f = 3"], "has no function f"),
        (["def f(inputs):", "    return inputs['q']"], "p.py:2 raised KeyError: 'q'"),
        (["def f(inputs):", "    raise SystemExit(0)"], "p.py:2 raised SystemExit: 0"),
        (["def f(inputs): return None"], "gave a NoneType as output 0"),
        (["def f(inputs): return 'text'"], "gave a str as output 0"),
        (["def f(inputs): return {}"], "outputs: nothing to compare"),
        (["def f(inputs): return inputs"], "x: no value of the network has this name"),
        (["def f(inputs): return [inputs['x']] * 2"], "2 arrays for 1 outputs"),
        (["def f(inputs): return inputs['x'] * 1j"], "output 0 is of the type complex64"),
    ],
)
def test_a_port_that_cannot_be_judged_is_told_by_its_line(
    arbiter: Command, model: Path, tmp_path: Path, lines: Sequence[str], said: str
) -> None:
    (tmp_path / "p.py").write_text("\n".join([*lines, ""]))
    (tmp_path / "__pycache__").mkdir()
    done = arbiter(model.name, "--port", "p.py:f")
    assert (done.status, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert said in done.err.splitlines()[-1]


@pytest.mark.parametrize(
    "lines", [["import a_module_that_nobody_has"], ["def f(inputs: return"], ["def g(x): return x"]]
)
def test_a_port_that_cannot_run_is_told_before_the_model_is_read(
    arbiter: Command, model: Path, tmp_path: Path, lines: Sequence[str]
) -> None:
    (tmp_path / "p.py").write_text("\n".join([*lines, ""]))
    model.write_bytes(b"no model at all")
    done = arbiter(model.name, "--port", "p.py:f")
    assert (done.status, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith("onnx-arbiter: --port: ")


def test_what_files_say_reaches_the_terminal_harmlessly(
    arbiter: Command, images: Images, tmp_path: Path
) -> None:
    small_model(tmp_path / f"{HOSTILE}.onnx", shape=(HOSTILE, 3, 8, 8))
    done = arbiter(f"{HOSTILE}.onnx")
    assert done.status == 2
    assert not unseen(done.err, allowed="\n")
    save(tmp_path / "out.npz", {HOSTILE: images})
    done = arbiter(f"{HOSTILE}.onnx", "--inputs", "in.npz", "--outputs", "out.npz")
    assert done.status == 2
    assert not unseen(done.err, allowed="\n")
