"""The process that does one job of ``benchmarks.port``: ``python -m benchmarks.port.worker``.

Tasks: ``port`` writes a weights file in another format, as ``vgg16 port`` does; ``naive`` ports it
without this project; ``units`` copies the file and permutes as many values in memory.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

import vgg16_weights
from benchmarks.harness.worker import Recorder, serve
from benchmarks.port.naive import NAIVE
from vgg16_spec.architecture import Configuration, configuration
from vgg16_spec.blocks import _copy
from vgg16_spec.checkpoint import open_checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.checkpoint.tensors import FLOAT32
from vgg16_spec.files.atomic import sync
from vgg16_spec.layouts import canonical_view, keras_shape, keras_view
from vgg16_weights.comparison.verify import digests
from vgg16_weights.formats import FORMATS

_TINY: Final = "tiny"

# The source's file, the file to write.
Port = Callable[[Path, Path], object]


def port(job: Mapping[str, Any], recorder: Recorder) -> None:
    """``vgg16_weights.read`` and ``write``; the source's format is detected from its content."""
    target = job["to"]
    _measured(
        job,
        recorder,
        lambda source, out: vgg16_weights.write(vgg16_weights.read(source), out, target),
    )


def naive(job: Mapping[str, Any], recorder: Recorder) -> None:
    """Everything in memory, through the other framework's model."""
    own = NAIVE[job["from"], job["to"]]
    _measured(job, recorder, own(configuration(job["configuration"])), own(configuration(_TINY)))


def _measured(
    job: Mapping[str, Any], recorder: Recorder, work: Port, rehearsal: Port | None = None
) -> None:
    """Time a port after porting the tiny network, which imports everything that is needed.

    Raises:
        ValueError: the written file has other values than the source.
    """
    source, out = Path(job["source"]), Path(job["out"])
    with recorder.span("import"), TemporaryDirectory() as folder:
        small, written = Path(folder, f"small-{source.name}"), Path(folder, out.name)
        vgg16_weights.write(generate(configuration(_TINY)), small, job["from"])
        (rehearsal or work)(small, written)
    with recorder.span("port"):
        work(source, out)
    if job["check"] and not _same(out, Path(job["reference"])):
        raise ValueError(f"{out.name} does not have the values of its source")


def _same(written: Path, reference: Path) -> bool:
    return digests(vgg16_weights.read(written)) == digests(vgg16_weights.read(reference))


def units(job: Mapping[str, Any], recorder: Recorder) -> None:
    """The least that a port must do: a copy flushed to the disk, and one pass of the permutation.

    The span ``permutation`` is absent if both formats have the same order.
    """
    source, out = Path(job["source"]), Path(job["out"])
    with recorder.span("copy"):
        shutil.copyfile(source, out)
        sync(out)
    out.unlink()
    from_keras, to_keras = (FORMATS[job[side]].keras_order for side in ("from", "to"))
    if from_keras != to_keras:
        network = open_checkpoint(Path(job["reference"]), check_values=False).configuration
        _permute(network, to_keras, recorder)


def _permute(network: Configuration, to_keras: bool, recorder: Recorder) -> None:
    """Permute every tensor once, tile by tile as the ports do.

    Each tensor has its own memory, as in a file, and is written into one shared buffer. All of that
    was touched before, so that no page fault is timed.
    """
    shapes = network.weight_shapes
    values = {
        name: np.ones(shape if to_keras else keras_shape(shape), FLOAT32)
        for name, shape in shapes.items()
    }
    view_of = keras_view if to_keras else canonical_view
    views = [view_of(name, array, network.feature_shape) for name, array in values.items()]
    buffer = np.ones(max(view.size for view in views), FLOAT32)
    with recorder.span("permutation"):
        for view in views:
            if not view.flags.c_contiguous:
                _copy(view, buffer[: view.size].reshape(view.shape))


if __name__ == "__main__":
    raise SystemExit(serve(sys.argv[1], {"port": port, "naive": naive, "units": units}))
