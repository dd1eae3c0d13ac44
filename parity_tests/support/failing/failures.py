"""Everything that can go missing or fail on the way to a verdict, and what comes of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from parity_tests.support.failing import workers
from parity_tests.support.failing.workers import Spoil
from vgg16_parity.records import Status
from vgg16_parity.runtimes.job import Record

Arrays = dict[str, NDArray[Any]]

# With --hard, which adds here what is not finite and nothing else.
NAN: Final = "case1"
TIMEOUT: Final = ("--timeout", "60")


class Failure(NamedTuple):
    """What fails, and the row that comes of it; the exit status is 1 with every one.

    Attributes:
        spoil: what the worker does.
        status: of the row.
        reason: what the row's reason begins with.
        options: of the command, beside the usual.
    """

    spoil: Spoil
    status: Status
    reason: str
    options: tuple[str, ...] = ()


def less(tap: str) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.pop(tap)


def more(tap: str, like: str) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.update({tap: arrays[like]})


def other(tap: str, change: Callable[[NDArray[Any]], object]) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.update({tap: np.asarray(change(arrays[tap]))})


def spotted(value: float) -> Callable[[NDArray[Any]], object]:
    """The last of the values replaced."""
    return lambda values: np.append(values.ravel()[:-1], np.float32(value)).reshape(values.shape)


# How a worker of any task can end.
ENDS: Final = {
    "exits": Failure(
        workers.ends(3, printing="no\n"), "failed", "the worker ended with status 3: no"
    ),
    "exits as if all were well": Failure(
        workers.ends(0), "failed", "the worker ended with status 0: it printed nothing"
    ),
    "raises": Failure(workers.raises(RuntimeError("no such kernel\nmore")), "failed",
                      "RuntimeError: no such kernel"),
    "runs out of memory": Failure(workers.raises(MemoryError()), "failed", "MemoryError: "),
    "is killed": Failure(workers.ends(-15), "failed", "the worker was killed by signal 15: it"),
    "is killed by Linux": Failure(
        workers.ends(-9), "failed", "the worker was killed by signal 9, as where memory runs out"
    ),
    "hangs": Failure(workers.hangs, "failed", "the worker was stopped after 60 s", TIMEOUT),
    "crashes at its exit": Failure(
        workers.ends_after_work(-11), "failed", "the worker was killed by signal 11"
    ),
    "exits with another status at its end": Failure(
        workers.ends_after_work(7), "failed", "the worker ended with status 7"
    ),
    "leaves half a record": Failure(
        workers.writes_half_a_record, "failed", "the worker ended with status 0"
    ),
}  # fmt: skip

RUNS: Final = ENDS | {
    "a device is missing": Failure(
        workers.reports(Record(error="no GPU", unavailable=True)), "not run", "no GPU"
    ),
    "a tap is missing": Failure(
        workers.leaves("accumulated", less("block3_conv2")),
        "broken",
        "from block3_conv2 on: photographs: there is no such output, though every layer is right",
    ),
    "the logits are missing": Failure(
        workers.leaves("accumulated", less("predictions")),
        "broken",
        "from predictions on: photographs: there is no such output",
    ),
    "every tap is missing": Failure(
        workers.leaves("accumulated", dict.clear),
        "failed",
        "the worker left no results (accumulated of case0)",
    ),
    "a tap too many": Failure(
        workers.leaves("accumulated", more("block6_conv1", "fc1")),
        "broken",
        "photographs: no layer is called block6_conv1",
    ),
    "a tap of another shape": Failure(
        workers.leaves("accumulated", other("fc1", lambda values: values[:, :-1])),
        "broken",
        "from fc1 on: photographs: its shape is (1, ",
    ),
    "a tap of another type": Failure(
        workers.leaves("accumulated", other("fc1", lambda values: values + 0j)),
        "broken",
        "from fc1 on: photographs: its values are complex64, not real numbers",
    ),
    "a tap without values": Failure(
        workers.leaves("accumulated", other("fc1", lambda values: values[:0])),
        "broken",
        "from fc1 on: photographs: its shape is (0, ",
    ),
    "a tap with a NaN": Failure(
        workers.leaves("accumulated", other("predictions", spotted(np.nan))),
        "broken",
        "from predictions on: photographs: 1 of its 1000 values are not finite",
    ),
    "a tap with an infinity": Failure(
        workers.leaves("accumulated", other("block1_conv1", spotted(np.inf))),
        "broken",
        "from block1_conv1 on: photographs: 1 of its ",
    ),
    "names of taps cut off": Failure(
        workers.damages("accumulated", workers.cut("names.json")),
        "failed",
        "the worker left damaged results (accumulated of case0): ",
    ),
    "a tap cut off": Failure(
        workers.damages("accumulated", workers.cut("3.npy")),
        "failed",
        "the worker left damaged results (accumulated of case0): ",
    ),
    "a tap's file missing": Failure(
        workers.damages("accumulated", lambda folder: (folder / "3.npy").unlink()),
        "failed",
        "the worker left damaged results (accumulated of case0): ",
    ),
    "a case is missing": Failure(
        workers.damages("accumulated", shutil.rmtree, NAN),
        "failed",
        f"the worker left no results (accumulated of {NAN})",
        ("--hard",),
    ),
    "the results are those of another case": Failure(
        workers.damages("accumulated", lambda folder: folder.rename(folder.with_stem("case9"))),
        "failed",
        "the worker left no results (accumulated of case0)",
    ),
    "a tap missing where the images are not finite": Failure(
        workers.leaves("accumulated", less("block2_pool"), NAN),
        "failed",
        f"the worker left other results (accumulated of {NAN}) than of the first case: block2_pool",
        ("--hard",),
    ),
    "a tap too many where the images are not finite": Failure(
        workers.leaves("accumulated", more("block6_conv1", "fc1"), NAN),
        "failed",
        f"the worker left other results (accumulated of {NAN}) than of the first case: block6",
        ("--hard",),
    ),
    "a tap of another shape where the images are not finite": Failure(
        workers.leaves("accumulated", other("fc1", lambda values: values[:, :-1]), NAN),
        "broken",
        "NaN: no outputs of the network's shape: fc1",
        ("--hard",),
    ),
    "no layer run alone": Failure(
        workers.damages("local", shutil.rmtree),
        "failed",
        "the worker left no results (local of case0)",
    ),
    "a layer missing among those alone": Failure(
        workers.leaves("local", less("block3_conv2")),
        "failed",
        "the worker left other results (local of probes) than of the first case: block3_conv2",
    ),
    "a layer too many among those alone": Failure(
        workers.leaves("local", more("block6_conv1", "fc1")),
        "failed",
        "the worker left other results (local of probes) than of the first case: block6_conv1",
    ),
    "a layer alone of another shape": Failure(
        workers.leaves("local", other("fc1", lambda values: values[:, :-1])),
        "broken",
        "fc1, given the arbiter's input: photographs: its shape is (1, ",
    ),
    "a layer alone cut off": Failure(
        workers.damages("local", workers.cut("0.npy")),
        "failed",
        "the worker left damaged results (local of case0): ",
    ),
    "no probe": Failure(
        workers.damages("local", shutil.rmtree, "probes"),
        "failed",
        "the worker left no results (local of probes)",
    ),
    "a probe is missing": Failure(
        workers.leaves("local", less("block3_conv2"), "probes"),
        "failed",
        "the worker left other results (local of probes) than of the first case: block3_conv2",
    ),
    "a probe of another shape": Failure(
        workers.leaves("local", other("fc2", lambda values: values[:-1]), "probes"),
        "broken",
        "fc2, given a dense input: its shape is (7, ",
    ),
    "a probe with a NaN": Failure(
        workers.leaves("local", other("fc2", spotted(np.nan)), "probes"),
        "broken",
        "fc2, given a dense input: 1 of its ",
    ),
}  # fmt: skip


def of_gradients(name: str, kind: Any, what: str) -> dict[str, Failure]:
    """What can be wrong with one of the results of a backward pass and its step."""
    tensor = "block1_conv1" if kind == "branch" else "fc2.weight"
    after = " after a step of SGD" if kind in ("parameters", "velocity") else ""
    forward = "in the forward pass of the gradients, " if kind == "branch" else ""
    unknown = "layer with a ReLU" if kind == "branch" else "parameter"
    begins = f"{tensor}: " if kind == "branch" else f"{what} of fc2.weight{after}: "
    return {
        f"{name} missing": Failure(
            workers.damages(kind, shutil.rmtree), "failed",
            f"gradients: the worker left no results ({kind} of case0)",
        ),
        f"{name} cut off": Failure(
            workers.damages(kind, workers.cut("0.npy")), "failed",
            f"gradients: the worker left damaged results ({kind} of case0): ",
        ),
        f"one of {name} missing": Failure(
            workers.leaves(kind, less(tensor)), "broken", f"{begins}there is no such output",
        ),
        f"one of {name} too many": Failure(
            workers.leaves(kind, more("fc9.weight", tensor)), "broken",
            f"{forward}no {unknown} is called fc9.weight",
        ),
        f"one of {name} of another shape": Failure(
            workers.leaves(kind, other(tensor, lambda values: values[:, :-1])), "broken",
            f"{begins}its shape is (",
        ),
        f"one of {name} with a NaN": Failure(
            workers.leaves(kind, other(tensor, spotted(np.nan))), "broken",
            f"{forward}{begins}1 of its ",
        ),
    }  # fmt: skip


GRADIENTS: Final = (
    {
        what: ENDS[what]._replace(reason=f"gradients: {ENDS[what].reason}")
        for what in ("exits", "raises", "is killed by Linux", "hangs", "crashes at its exit")
    }
    | of_gradients("ReLUs", "branch", "")
    | of_gradients("gradients", "gradients", "the gradient")
    # What else can be wrong with a tensor is compared as a gradient's is.
    | {
        what: failure
        for kind in (
            of_gradients("parameters", "parameters", "the value"),
            of_gradients("velocities", "velocity", "the velocity"),
        )
        for what, failure in kind.items()
        if what.endswith(("missing", "many"))
    }
)
