"""The process that does one job of ``benchmarks.export``: ``python -m benchmarks.export.worker``.

Tasks: ``export`` writes a network by one route; ``open`` opens a session of ONNX Runtime and runs
it once; ``latency`` runs the sessions of several files in turn.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.export.routes import ROUTES
from benchmarks.harness.worker import Recorder, serve

_CHANNELS: Final = 3
_SEED: Final = 20140904


def export(job: Mapping[str, Any], recorder: Recorder) -> None:
    """Import, prepare, then time the route.

    ``modules`` are those that another process had loaded after exporting a small network by this
    route. They are imported before the clock starts, even if the exporters would import them late.
    Modules that are loaded later are reported.
    """
    with recorder.span("import"):
        failed = [name for name in job["modules"] if not _loads(name)]
    with recorder.span("prepare"):
        timed = ROUTES[job["route"]].prepare(Path(job["checkpoint"]), Path(job["out"]))
    before = set(sys.modules)
    with recorder.span("export"):
        timed()
    recorder.result["late"] = [name for name in sys.modules if name not in before]
    recorder.result["not_imported"] = failed
    if job["list_modules"]:
        recorder.result["modules"] = list(sys.modules)


def _loads(name: str) -> bool:
    try:
        import_module(name)
    except Exception:  # a name that a module put into sys.modules without a file
        return name in sys.modules
    return True


def open_session(job: Mapping[str, Any], recorder: Recorder) -> None:
    """Open a session and run it on one image; ONNX Runtime is imported first."""
    import onnxruntime

    images = _images(1, job["size"])
    with recorder.span("open"):
        session = onnxruntime.InferenceSession(job["model"], providers=["CPUExecutionProvider"])
    feed = _feed(session, images)
    with recorder.span("first"):
        session.run(None, feed)


def latency(job: Mapping[str, Any], recorder: Recorder) -> None:
    """The seconds of each file's runs; the files run in turn, under the same conditions.

    ``models`` is name -> file, ``rounds`` batch -> number of rounds, ``reference`` the name whose
    logits the others are compared with. Returns ``seconds``, batch -> name -> one entry per round,
    and ``differences``, name -> the largest difference from the reference's logits, relative to the
    largest of these.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Otherwise the threads of a session that has just run keep spinning and take the cores from
    # the next one.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    sessions = {
        name: onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for name, path in job["models"].items()
    }
    seconds: dict[str, dict[str, list[float]]] = {}
    for batch, rounds in job["rounds"].items():
        images = _images(int(batch), job["size"])
        feeds = {name: _feed(session, images) for name, session in sessions.items()}
        outputs = {name: sessions[name].run(None, feeds[name])[0] for name in sessions}
        expected = outputs[job["reference"]]
        recorder.result["differences"] = {
            name: float(np.abs(output - expected).max() / np.abs(expected).max())
            for name, output in outputs.items()
        }
        times: dict[str, list[float]] = {name: [] for name in sessions}
        order = list(sessions)
        for _ in range(rounds):
            order.append(order.pop(0))  # no file always runs after the same one
            for name in order:
                start = time.perf_counter()
                sessions[name].run(None, feeds[name])
                times[name].append(time.perf_counter() - start)
        seconds[batch] = times
    recorder.result["seconds"] = seconds


def _images(batch: int, size: int) -> NDArray[np.float32]:
    shape = (batch, _CHANNELS, size, size)
    return np.random.default_rng(_SEED).standard_normal(shape, np.float32)


def _feed(session: Any, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The images in the session's layout: (N, 3, H, W), or (N, H, W, 3) from Keras."""
    (graph_input,) = session.get_inputs()
    if graph_input.shape[1] != _CHANNELS:
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))  # NCHW -> NHWC
    return {graph_input.name: images}


if __name__ == "__main__":
    tasks = {"export": export, "open": open_session, "latency": latency}
    raise SystemExit(serve(sys.argv[1], tasks))
