"""Graphs that mean harm: they end in one line, take little, and their names are seen as text."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Final

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnx_arbiter import memory
from onnx_arbiter.models.network import Network
from onnx_arbiter.runtimes import stoppable
from parity_tests.support.foreign_text import HOSTILE, NAME, is_shown, unseen
from parity_tests.support.graphs.hostile import GRAPHS
from parity_tests.support.helpers import Command, Outcome

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such limits and names")

# The shape of the images in most of these graphs.
SHAPE: Final = ("--shape", "x=1,3,64,64")
# What a bomb may take beside what the process has; it would take several times as much.
MOST_BYTES: Final = 1 << 30


def one_line(done: Outcome, status: int = 2) -> str:
    """The last line of a command that has ended so, without a result."""
    assert (done.status, done.out) == (status, ""), done
    assert "Traceback" not in done.err
    line = done.err.splitlines()[-1]
    assert line.startswith("onnx-arbiter: ")
    return line


READ: Final = {
    "functions in functions": "has 131,074 nodes, functions inlined",
    "overloads in overloads": "has 131,074 nodes, functions inlined",
    "a function in itself": "must not be recursive",
    "a chain of nodes": "has 60,003 nodes",
}


@pytest.mark.parametrize("name", READ)
def test_a_graph_that_grows_is_refused_when_it_is_read(
    name: str, arbiter: Command, tmp_path: Path
) -> None:
    onnx.save(GRAPHS[name][0](), tmp_path / "m.onnx")
    onnx.save(GRAPHS["casts of a megabyte"][0](), tmp_path / "other.onnx")
    assert READ[name] in one_line(arbiter("m.onnx", *SHAPE))
    assert READ[name] in one_line(arbiter("other.onnx", *SHAPE, "--against", "m.onnx"))


@pytest.fixture
def endless(tmp_path: Path) -> str:
    onnx.save(GRAPHS["a loop without an end"][0](), tmp_path / "endless.onnx")
    return "endless.onnx"


def test_a_loop_without_an_end_is_ended(
    arbiter: Command, endless: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stoppable, "_MOST_SECONDS", 1)
    assert "ONNX Runtime does not run it (it does not end within 1 s)" in one_line(
        arbiter(endless, *SHAPE)
    )


@pytest.fixture
def interrupt() -> Iterator[None]:
    """Interrupt this process in a while."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = Timer(2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    yield
    timer.cancel()
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals on Windows")
@pytest.mark.usefixtures("interrupt")
def test_a_loop_without_an_end_can_be_interrupted(arbiter: Command, endless: str) -> None:
    assert one_line(arbiter(endless, *SHAPE), 130) == "onnx-arbiter: interrupted"


@linux
@pytest.mark.slow
@pytest.mark.parametrize("name", ["sums of 64 MB", "images that are expanded"])
def test_memory_is_limited(
    name: str, arbiter: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    rows = Path("/proc/self/status").read_text().splitlines()
    has = next(int(row.split()[1]) << 10 for row in rows if row.startswith("VmData:"))
    monkeypatch.setattr(memory, "_most_memory", lambda: has + MOST_BYTES)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    onnx.save(GRAPHS[name][0](), tmp_path / "m.onnx")
    # ONNX Runtime's, or of the arbiter's own arrays.
    said = one_line(arbiter("m.onnx", *SHAPE))
    assert re.search(r"takes more memory than there is|memory: Unable to allocate", said), said
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_full_folder_of_temporary_files_is_named(
    arbiter: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Network, "write", write)
    onnx.save(GRAPHS["casts of a megabyte"][0](), tmp_path / "m.onnx")
    said = one_line(arbiter("m.onnx", *SHAPE))
    assert "the folder of temporary files is full (No space left on device); expected room" in said


@linux
def test_memory_is_what_the_machine_has_left() -> None:
    most = memory._most_memory()
    assert most is not None
    rows = Path("/proc/meminfo").read_text().splitlines()
    total = next(int(row.split()[1]) << 10 for row in rows if row.startswith("MemTotal:"))
    status = Path("/proc/self/status").read_text().splitlines()
    has = next(int(row.split()[1]) << 10 for row in status if row.startswith("VmData:"))
    assert 0 < most < total + 2 * has


def named(path: Path, factor: float = 1.0) -> Path:
    """A network in which every name is hostile: r = relu(conv(x))."""
    x, c, r = (f"{HOSTILE}{end}" for end in "xcr")
    weights = factor * np.random.default_rng(0).standard_normal((4, 3, 3, 3))
    graph = helper.make_graph(
        [
            helper.make_node("Conv", [x, HOSTILE], [c], name=f"{HOSTILE}conv"),
            helper.make_node("Relu", [c], [r], name=f"{HOSTILE}relu"),
        ],
        HOSTILE,
        [helper.make_tensor_value_info(x, onnx.TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info(r, onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights.astype(np.float32), HOSTILE)],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


PORT: Final = "import numpy as np\ndef run(inputs): return np.ones((1, 4, 6, 6), np.float32)\n"
# What is judged -> the exit status.
JUDGED: Final = {"": 0, "--port": 1, "--against": 1}


@linux
@pytest.mark.parametrize("option", JUDGED)
def test_names_are_seen_as_text_on_the_terminal_and_in_every_report(
    option: str, arbiter: Command, tmp_path: Path
) -> None:
    port = tmp_path / f"{HOSTILE}.py"
    port.write_text(PORT)
    given = {"--port": f"{port}:run", "--against": named(tmp_path / f"{HOSTILE}2.onnx", 1.01)}
    words = [named(tmp_path / f"{HOSTILE}.onnx"), *([option, given[option]] if option else [])]
    html, junit, repro = (tmp_path / f"{NAME}{end}" for end in (".html", ".xml", "repro"))
    more = ["--repro", repro] if option == "--port" else []
    is_shown(arbiter(*words, "--html", html, "--junit", junit, *more), JUDGED[option])
    written = [html, junit, *([repro / "run.py"] if more else [])]
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert not unseen(text, allowed="\n\t"), path.suffix
    done = arbiter(*words, "--json")
    assert done.status == JUDGED[option]
    assert not unseen(done.out)
    values = {row["value"] for run in json.loads(done.out)["runs"] for row in run["rows"]}
    assert f"{HOSTILE}r" in values


@linux
@pytest.mark.parametrize("option", ["--runtime", "--port", "--shape", "--mode", "--inputs"])
def test_options_that_cannot_be_used_are_shown(
    option: str, arbiter: Command, tmp_path: Path
) -> None:
    done = arbiter(named(tmp_path / f"{HOSTILE}.onnx"), option, NAME)
    assert not unseen(one_line(done))
