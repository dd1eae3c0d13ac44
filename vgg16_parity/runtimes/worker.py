"""The process that runs one runtime, started by ``vgg16_parity.runtimes.process``.

``python -m vgg16_parity.runtimes.worker JOB`` leaves ``record.json`` in the job's folder
unless it is killed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Final

import numpy as np

from onnx_arbiter import expectations
from onnx_arbiter.memory import peak_memory
from vgg16_parity.network import sgd_step
from vgg16_parity.runtimes import shards
from vgg16_parity.runtimes.adapters.framework import Evaluator, FrameworkModel, Taps
from vgg16_parity.runtimes.job import Job, Record
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.process import unusable
from vgg16_parity.runtimes.registry import Runtime
from vgg16_parity.runtimes.settings import Unavailable
from vgg16_parity.runtimes.shards import Stage
from vgg16_spec.checkpoint import open_checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.files.apart import end_with_parent
from vgg16_spec.files.atomic import whole_file


def main(text: str) -> int:
    """Do the job, given as text; the exit status is 1 if it failed."""
    job = Job.of_text(text)
    seconds = Seconds()
    try:
        record = _TASKS[job.task](job, seconds)
    except Exception as error:  # whatever a framework raises becomes a row of the report
        first_line = str(error).strip().partition("\n")[0]
        plain = isinstance(error, BadInput | Unavailable)
        message = first_line if plain else f"{type(error).__name__}: {first_line}"
        without = isinstance(error, Unavailable) or unusable(job.device, str(error))
        record = Record(error=message, unavailable=without)
    _leave(job, record, seconds)
    return 1 if record.error else 0


class Seconds(dict[str, float]):
    """Stage -> seconds. Called with a stage's name, it is the context in which they are counted."""

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the seconds of a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self[stage] = self.get(stage, 0.0) + time.perf_counter() - start


def _leave(job: Job, record: Record, seconds: Seconds) -> None:
    """Write the record, which whoever started this process may read at any moment."""
    versions = {} if record.error else job.runtime.versions()
    record = replace(record, versions=versions, seconds=seconds, peak_bytes=peak_memory())
    with whole_file(Path(job.folder) / "record.json") as temporary:
        temporary.write_text(json.dumps(asdict(record)), encoding="utf-8")


def loader(runtime: Runtime) -> Callable[[Job], Evaluator]:
    """Import a runtime's framework, and return what loads the network of a job.

    The loader raises ``Unavailable`` if the job's device or precision is not available here, and
    whatever the framework raises.
    """
    if runtime.port:
        from vgg16_parity.runtimes.adapters.own_port import OwnPort

        return OwnPort
    if runtime.file:
        from vgg16_parity.runtimes.adapters.onnx_file import OnnxFile

        return OnnxFile
    if runtime.engine:
        engine = import_module(f"vgg16_parity.runtimes.adapters.engines.{runtime.engine}")
        load: Callable[[Job], Evaluator] = engine.load
        return load
    if runtime.onnx:
        from vgg16_parity.runtimes.adapters.onnx import OnnxGraph

        return OnnxGraph
    if runtime.framework == "torch":
        from vgg16_parity.runtimes.adapters.torch import load_torch

        return load_torch
    from vgg16_parity.runtimes.adapters.keras import load_keras

    return load_keras


def _load(job: Job, stage: Stage) -> Evaluator:
    with stage("import"):
        load = loader(job.runtime)
    with stage("load"):
        return load(job)


def _run(job: Job, stage: Stage) -> Record:
    network, logits_only = _load(job, stage), job.depth == "logits"
    differing: list[str] | None = None
    for case in job.cases:
        images, stored = expectations.images(Path(case)), job.result(case, "accumulated")
        with stage("run"):
            taps = network.forward(images, logits_only=logits_only)
        stored.write(taps)
        # Only one run's taps are in memory.
        del taps
        if LANES[job.lane].deterministic and differing is None:
            with stage("repeat"):
                again = network.forward(images, logits_only=logits_only)
            differing = _differing(stored, again)
            del again
    if job.depth == "layers" and not job.runtime.port:
        _run_layers(job, network, stage)
    return replace(
        _record_of(job, network),
        repeats="" if differing is None else "differs" if differing else "equal",
        differs_from=differing[0] if differing else "",
    )


def _record_of(job: Job, network: Evaluator) -> Record:
    """What a network says of itself."""
    mode = LANES[job.lane].mode(job.device)
    return Record(
        device=network.device,
        threads=network.threads,
        flags=network.flags,
        own_mode="" if mode and mode.name == network.own_mode else network.own_mode,
    )


def _run_layers(job: Job, network: Evaluator, stage: Stage) -> None:
    """Run each layer alone, on the arbiter's values in every case and on the probes."""
    *tapped, _ = job.result(job.cases[0], "accumulated")
    for folder in (*job.cases, *filter(None, [job.probes])):
        given = expectations.given(Path(folder), tapped)
        with stage("probes" if folder == job.probes else "layers"):
            layers = network.layers(expectations.images(Path(folder)), given)
        if layers:
            job.result(folder, "local").write(layers)


def _differing(first: Taps, again: Taps) -> list[str]:
    """The taps whose type, shape or bits differ, or that one run lacks."""

    def bits(taps: Taps, name: str) -> object:
        values = taps.get(name)
        return None if values is None else (values.dtype, values.shape, values.tobytes())

    names = dict.fromkeys([*first, *again])
    return [name for name in names if bits(first, name) != bits(again, name)]


def _gradients(job: Job, stage: Stage) -> Record:
    network = _load(job, stage)
    assert isinstance(network, FrameworkModel)
    implementation, model = network.implementation, network.network
    (case,) = job.cases
    labels = np.load(Path(case) / f"{sgd_step.LABELS}.npy", allow_pickle=False)
    with stage("gradients"):
        taps, gradients = implementation.run_with_gradients(
            model, expectations.images(Path(case)), labels
        )
    job.result(case, "branch").write(taps)
    job.result(case, "gradients").write(gradients)
    # As large as the weights: released here, and read back one by one.
    del gradients
    with stage("step"):
        parameters, velocity = implementation.sgd_step(
            model,
            job.result(case, "gradients"),
            sgd_step.velocity(open_checkpoint(job.checkpoint, check_values=False)),
            learning_rate=sgd_step.LEARNING_RATE,
            momentum=sgd_step.MOMENTUM,
            weight_decay=sgd_step.WEIGHT_DECAY,
        )
    job.result(case, "parameters").write(parameters)
    job.result(case, "velocity").write(velocity)
    return Record(device=network.device)


def _export(job: Job, stage: Stage) -> Record:
    from vgg16_parity.shadowing import require_own_export

    require_own_export()
    from export import export_onnx

    checkpoint = open_checkpoint(job.checkpoint, check_values=False)
    with stage("import"):
        __import__(job.runtime.keras_backend or "torch")
    with stage("trace"):
        export_onnx(
            job.runtime.framework,
            checkpoint,
            job.model,
            precision="fp16" if LANES[job.lane].precision == "float16" else "fp32",
            test_data=False,
        )
    return Record()


def _shards(job: Job, seconds: Seconds) -> Record:
    network = _load(job, seconds)
    record = _record_of(job, network)
    shards.compute(job, network, seconds, lambda: _leave(job, record, seconds))
    return record


_TASKS: Final[Mapping[str, Callable[[Job, Seconds], Record]]] = {
    "run": _run,
    "export": _export,
    "gradients": _gradients,
    "shards": _shards,
}


if __name__ == "__main__":
    end_with_parent()
    raise SystemExit(main(sys.argv[1]))
