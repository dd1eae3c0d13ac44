"""What several test files and the Keras checks share."""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from onnx_arbiter.compare import Verdict, compare_with_arbiter
from onnx_arbiter.numeric_modes import MODES
from vgg16_parity.network.prediction import predict, predict_logits, through_softmax
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.images.photographs import PHOTOGRAPHS
from vgg16_spec.logits import softmax

PICTURES: Final = [photograph.path for photograph in PHOTOGRAPHS]
# A checkpoint -> the project's photographs as its network's input, (N, 3, H, W).
Batch: TypeAlias = Callable[[Checkpoint], NDArray[np.float32]]
# What builds a model, and a check of one.
Builder: TypeAlias = Callable[..., Any]
Check: TypeAlias = Callable[[Checkpoint], None]
# One of the writers of `vgg16_spec.files.atomic`.
Write: TypeAlias = Callable[[str | Path], AbstractContextManager[Path]]


class Outcome(NamedTuple):
    """What a command left: its exit status and both of its streams."""

    status: int
    out: str
    err: str


# `vgg16` with arguments.
Command: TypeAlias = Callable[..., Outcome]


def same(ours: Checkpoint, theirs: Checkpoint) -> bool:
    """Whether two checkpoints hold the same tensors, bit for bit."""
    return list(ours) == list(theirs) and all(
        ours[name].tobytes() == theirs[name].tobytes() for name in ours
    )


def assert_taps_hold(
    checkpoint: Checkpoint,
    images: NDArray[Any],
    taps: Mapping[str, NDArray[Any]],
    mode: str = "float32",
) -> None:
    """Whether every tap is there, in order, and within the predicted error of the arbiter's."""
    assert tuple(taps) == checkpoint.configuration.taps
    for tap in predict(checkpoint, images, [MODES[mode]]):
        verdict = compare_with_arbiter(
            taps[tap.tap], tap.preactivation, tap.accumulated[mode], relu=tap.relu
        )
        assert verdict.passed, f"{tap.tap}: {verdict.reason}"


def judge_logits(values: NDArray[Any], checkpoint: Checkpoint, images: NDArray[Any]) -> Verdict:
    """How far logits are from the arbiter's for preprocessed images (N, 3, H, W)."""
    return compare_with_arbiter(values, *predict_logits(checkpoint, images))


def judge_probabilities(
    values: NDArray[Any], checkpoint: Checkpoint, images: NDArray[Any]
) -> Verdict:
    """How far probabilities are from those of the arbiter's logits."""
    logits, deviation = predict_logits(checkpoint, images)
    expected = softmax(logits)
    return compare_with_arbiter(values, expected, through_softmax(logits, deviation, expected))


def assert_layers_stand_alone(
    checkpoint: Checkpoint,
    images: NDArray[Any],
    run: Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]],
) -> None:
    """Whether each layer reads what it is given and nothing else, and is right locally.

    ``run`` takes what each tap's reader is given and returns what every layer makes of it.
    """
    expected = list(predict(checkpoint, images))
    given = {tap.tap: tap.values.astype(np.float32) for tap in expected[:-1]}
    layers = run(given)
    assert tuple(layers) == checkpoint.configuration.taps
    for tap in expected:
        verdict = compare_with_arbiter(
            layers[tap.tap], tap.preactivation, tap.local["float32"], relu=tap.relu
        )
        assert verdict.passed, f"{tap.tap}: {verdict.reason}"
    names = list(layers)
    # A reader of each kind: convolution, pooling, the flattened dense layer, a dense layer.
    for name, reader in (
        ("block1_conv1", "block1_conv2"),
        ("block2_conv2", "block2_pool"),
        ("block5_pool", "fc1"),
        ("fc2", "predictions"),
    ):
        changed = run(given | {name: given[name][..., ::-1] + 1})
        moved = [tap for tap in names if not np.array_equal(changed[tap], layers[tap])]
        assert moved == [reader], name


def make_unreadable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the right to read a file away, from root too, whom no mode keeps from it."""
    path.chmod(0)
    opened = io.open

    def refuse(file: Any, *arguments: Any, **options: Any) -> Any:
        if file == path or file == str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(file, *arguments, **options)

    if os.access(path, os.R_OK):
        for module in (io, builtins):  # pathlib's and the language's own
            monkeypatch.setattr(module, "open", refuse)


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond 64 KiB, as on a disk that is nearly full."""
    resource = pytest.importorskip("resource")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
