"""A parity run: one checkpoint and the same inputs in every runtime and lane, one report."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final, Literal, get_args

from onnx_arbiter.memory import peak_memory
from onnx_arbiter.numeric_modes import Mode
from vgg16_parity import inputs
from vgg16_parity.judge.coverage import Coverages
from vgg16_parity.judge.gradients import run as gradient_run
from vgg16_parity.network.search import searched
from vgg16_parity.records import CaseFacts, Report, Row, Weights
from vgg16_parity.runtimes.job import Depth
from vgg16_parity.runtimes.lanes import LANES, Device, Lane, default_is_strict, port_lane
from vgg16_parity.runtimes.registry import Runtime
from vgg16_parity.shared_runs import rows_of_lanes
from vgg16_parity.workspace import Progress, Workspace, in_file
from vgg16_spec.checkpoint import Checkpoint
from vgg16_spec.errors import BadInput
from vgg16_spec.files.scratch import scratch_folder

Devices = Device | Literal["both"]
DEVICES: Final[tuple[Devices, ...]] = (*get_args(Device), "both")


def run_parity(
    checkpoint: Checkpoint,
    images: Sequence[Path],
    runtimes: Sequence[Runtime],
    *,
    lanes: Sequence[Lane] = (LANES["strict"],),
    device: Devices = "cpu",
    hard_inputs: bool = False,
    depth: Depth = "layers",
    gradients: bool = False,
    all_required: bool = False,
    required: Sequence[str] = (),
    timeout: float | None = None,
    progress: Progress = nullcontext,
) -> Report:
    """Run the checkpoint's network in every runtime and judge the results by the arbiter.

    Args:
        checkpoint: with the classifier; its recipe prepares the images.
        images: picture files, at least one.
        runtimes: each gives a row of the report for every lane and device, even if it cannot run.
        lanes: the numeric settings; one that the device lacks is a row that did not run, and one
            with the same settings as another takes that one's results. A user's own port runs in
            one lane, that of its mode.
        device: where the runtimes run; with ``both``, the GPU is compared with the CPU as well. The
            arbiter runs on the CPU.
        hard_inputs: whether to run the stress inputs too.
        depth: compare only the logits, every tap, or every tap and each layer alone.
        gradients: also compare gradients and a step of SGD on the pictures, in the frameworks and
            the float32 lanes.
        all_required: whether every runtime must run for parity to hold, installed or not.
        required: the names of those that must, where not all must.
        timeout: seconds that a worker may take; None waits indefinitely.
        progress: called with the name of each stage.

    Raises:
        BadInput: the checkpoint has no classifier; there is no image, or one that cannot be read;
            gradients are asked for with logits alone, or of runtimes that have none.
    """
    if gradients and depth == "logits":
        raise BadInput("gradients", "cannot be compared with logits only", "one of the two")
    cases = [inputs.pictures(checkpoint, images)]
    if hard_inputs:
        cases += inputs.hard(checkpoint)
    devices: tuple[Device, ...] = get_args(Device) if device == "both" else (device,)
    lanes_of = {
        each: [port_lane(each.port_mode, lanes)] if each.port else lanes for each in runtimes
    }
    found = (lane.mode(place) for each in lanes_of.values() for lane in each for place in devices)
    modes = {mode.name: mode for mode in found if mode is not None}
    if gradients:
        _require_gradients(runtimes, modes.values())
    with scratch_folder("vgg16-parity") as folder:
        stored = in_file(checkpoint, folder, progress)
        only_whole = [runtime for runtime in runtimes if depth != "logits" and _runs_whole(runtime)]
        coverages = Coverages(
            stored.configuration,
            tapped=depth != "logits",
            pooled=depth == "logits" or bool(only_whole),
        )
        workspace = Workspace(stored, folder, timeout, progress, gradients, coverages)
        common = len(cases)
        if only_whole:
            with progress("searched inputs"):
                more = searched(stored)
            cases += [more] if len(more.images) else []
        start = time.perf_counter()
        expectations = workspace.expect(cases, list(modes.values()), logits_only=depth == "logits")
        if depth == "layers":
            probes = workspace.expect_probes(expectations[0], list(modes.values()))
            workspace = replace(workspace, probes=probes)
        seconds = time.perf_counter() - start
        rows: list[Row] = []
        for runtime in runtimes:
            run = partial(
                workspace.rows,
                runtime,
                devices=devices,
                expectations=expectations if runtime in only_whole else expectations[:common],
                depth=depth,
            )
            trains = gradients and runtime.trains
            shared = default_is_strict(devices, runtime.computed_by, gradients=trains)
            rows += rows_of_lanes(run, lanes_of[runtime], shared=shared)
        facts = tuple(CaseFacts.of(expectation, images) for expectation in expectations)
    with progress("digests"):
        weights = Weights.of(checkpoint)
    return Report(
        weights=weights,
        cases=facts,
        device=device,
        arbiter_seconds=seconds,
        peak_bytes=peak_memory(),
        all_required=all_required,
        rows=tuple(rows),
        required=tuple(required),
    )


def _runs_whole(runtime: Runtime) -> bool:
    """Whether its layers cannot run alone: searched inputs exercise more of its weights."""
    return bool(runtime.port)


def _require_gradients(runtimes: Sequence[Runtime], modes: Iterable[Mode]) -> None:
    if not any(gradient_run.applies(*each) for each in product(runtimes, modes)):
        named = ", ".join(one.name for one in runtimes)
        raise BadInput("gradients", f"{named} has none here", "a framework in a lane of float32")
