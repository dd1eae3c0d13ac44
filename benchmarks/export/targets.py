"""The figures that the export should reach."""

from __future__ import annotations

from typing import Final

from benchmarks.export.results import Results
from benchmarks.harness.tables import GB, ratio
from benchmarks.harness.targets import Target

_KERAS_SECONDS: Final = 2.0
_TORCH_SHARE: Final = 1 / 3
_KERAS_MEMORY: Final = 0.05 * GB
_TORCH_MEMORY: Final = 0.15 * GB
_COPIES: Final = 1.0
_OPENING: Final = 1.0
_OPENING_OF_ONE_FILE: Final = 1 / 2.5
_LATENCY: Final = 1.03
# The files that are held to targets: a graph beside a checkpoint, and a bundle.
_FILES: Final = ("torch-shared", "torch-separate")


def targets(results: Results) -> list[Target]:
    """Every target."""
    return [*_exports(results), *_separate(results), *_sessions(results), *_latency(results)]


def _exports(results: Results) -> list[Target]:
    keras, one_file = results.seconds("keras-shared"), results.seconds("peer-torch-file")
    share = ratio(results.seconds("torch-shared"), one_file)
    found = [
        Target("Keras on TensorFlow, shared: time", keras, _KERAS_SECONDS, unit="s"),
        Target("PyTorch, shared: time over PyTorch's one file's", share, _TORCH_SHARE),
    ]
    for name, title, most in (
        ("keras-shared", "Keras on TensorFlow", _KERAS_MEMORY),
        ("torch-shared", "PyTorch", _TORCH_MEMORY),
    ):
        for kind in ("resident", "anonymous"):
            measured = ratio(getattr(results.routes.get(name), kind, None), GB)
            text = f"{title}, shared: {kind} memory above imports"
            found.append(Target(text, measured, most / GB, unit="GB"))
    return found


def _separate(results: Results) -> list[Target]:
    copy = results.seconds("copy")
    found = []
    for framework, title in (("keras", "Keras on TensorFlow"), ("torch", "PyTorch")):
        shared = results.seconds(f"{framework}-shared")
        for route, data in (("separate", "without"), ("separate-tested", "with")):
            separate = results.seconds(f"{framework}-{route}")
            more = None if separate is None or shared is None else separate - shared
            target = f"{title}, separate, {data} test data: time above shared's, in plain copies"
            found.append(Target(target, ratio(more, copy), _COPIES))
    return found


def _sessions(results: Results) -> list[Target]:
    peers = [seconds for p in results.peers() if (seconds := results.session(p, "open"))]
    best = min(peers, default=None)
    one_file = results.session("peer-torch-file", "open")
    found = []
    for name in _FILES:
        own, kind = results.session(name, "open"), name.rpartition("-")[2]
        for peer, target, limit in (
            (best, "the best peer's", _OPENING),
            (one_file, "PyTorch's one file's", _OPENING_OF_ONE_FILE),
        ):
            text = f"session opening, {kind}: time over {target}"
            found.append(Target(text, ratio(own, peer), limit))
    return found


def _latency(results: Results) -> list[Target]:
    return [
        Target(
            f"latency, {name.rpartition('-')[2]}, batch {batch}: over the fastest peer's file",
            results.against_fastest_peer(name, batch),
            _LATENCY,
        )
        for name in _FILES
        for batch in (1, 8)
    ]
