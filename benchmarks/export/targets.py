"""What the export is to reach, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.export.results import Results

GB: Final = 1e9

_KERAS_SECONDS: Final = 2.0
_TORCH_SHARE: Final = 1 / 3
_KERAS_MEMORY: Final = 0.05 * GB
_TORCH_MEMORY: Final = 0.15 * GB
_COPIES: Final = 1.0
_OPENING: Final = 1.0
_OPENING_OF_ONE_FILE: Final = 1 / 2.5
_LATENCY: Final = 1.03
# This project's files as they are run: the graph beside a checkpoint, and a bundle.
_FILES: Final = ("torch-shared", "torch-separate")


@dataclass(frozen=True)
class Verdict:
    """One target.

    Attributes:
        target: what is to be reached, in words.
        measured: the figure; ``None`` where it was not measured.
        limit: the most that it may be.
        unit: of both, empty for a ratio.
    """

    target: str
    measured: float | None
    limit: float
    unit: str = ""

    @property
    def word(self) -> str:
        """``met``, ``missed`` or ``not measured``."""
        if self.measured is None:
            return "not measured"
        return "met" if self.measured <= self.limit else "missed"


def verdicts(results: Results) -> list[Verdict]:
    """Every target."""
    return [*_exports(results), *_separate(results), *_sessions(results), *_latency(results)]


def _exports(results: Results) -> list[Verdict]:
    found = []
    keras, one_file = results.seconds("keras-shared"), results.seconds("peer-torch-file")
    share = _ratio(results.seconds("torch-shared"), one_file)
    for framework, time in (
        ("keras", Verdict("Keras on TensorFlow, shared: time", keras, _KERAS_SECONDS, "s")),
        ("torch", Verdict("PyTorch, shared: time over PyTorch's one file's", share, _TORCH_SHARE)),
    ):
        row = results.rows.get(f"{framework}-shared")
        title = "Keras on TensorFlow" if framework == "keras" else "PyTorch"
        most = _KERAS_MEMORY if framework == "keras" else _TORCH_MEMORY
        found.append(time)
        for kind in ("resident", "anonymous"):
            bytes_ = getattr(row, kind) if row else None
            in_gb = None if bytes_ is None else bytes_ / GB
            target = f"{title}, shared: {kind} memory above imports"
            found.append(Verdict(target, in_gb, most / GB, "GB"))
    return found


def _separate(results: Results) -> list[Verdict]:
    copy = results.seconds("copy")
    found = []
    for framework, title in (("keras", "Keras on TensorFlow"), ("torch", "PyTorch")):
        shared = results.seconds(f"{framework}-shared")
        for route, data in (("separate", "without"), ("separate-tested", "with")):
            separate = results.seconds(f"{framework}-{route}")
            more = None if separate is None or shared is None else separate - shared
            target = f"{title}, separate, {data} test data: time above shared's, in plain copies"
            found.append(Verdict(target, _ratio(more, copy), _COPIES))
    return found


def _sessions(results: Results) -> list[Verdict]:
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
            found.append(Verdict(text, _ratio(own, peer), limit))
    return found


def _latency(results: Results) -> list[Verdict]:
    return [
        Verdict(
            f"latency, {name.rpartition('-')[2]}, batch {batch}: over the fastest peer's file",
            results.against_fastest_peer(name, batch),
            _LATENCY,
        )
        for name in _FILES
        for batch in (1, 8)
    ]


def _ratio(figure: float | None, unit: float | None) -> float | None:
    return figure / unit if figure is not None and unit else None
