"""``python -m benchmarks.mistakes``: plant every mistake, write the page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.harness import command, machine
from benchmarks.harness.tables import page, provenance, table
from benchmarks.mistakes import sensitivity
from onnx_arbiter.limits import LIMITS

if TYPE_CHECKING:
    from mistakes.catalogue import Mistake, Port
    from vgg16_parity.records import Row

_PACKAGE: Final = "benchmarks.mistakes"
# Configuration -> the number of photographs.
_PICTURES: Final = {"tiny": 2, "D": 1}
_TITLES: Final = {"tiny": "The tiny network", "D": "VGG16"}
_SMALLEST: Final = (
    "## The smallest mistakes that show",
    "Each weighted layer alone, on the arbiter's input: the smallest mistake that breaks it under "
    "the former limits (R 4, Z 16) / under the present ones "
    f"(R {LIMITS.ratio.limit:g}, Z {LIMITS.deviations.limit:g}). Weights change relative to their "
    "size, a bias in the values' units; *typical* is the median of 101 single weights, or of all "
    "biases; *bits* are the fewest of the weights' significands that pass, of float32's 24. A "
    "dash: no size shows on this photograph, which does not exercise the value. These tables leave "
    "out the dense probes, which `vgg16 parity` also runs. All is computed from the arbiter's "
    "values and predicted deviations; a runtime's own rounding comes on top.",
)
_PACKAGES: Final = ("keras", "tensorflow", "torch", "numpy", "pillow")


@dataclass(frozen=True)
class Found:
    """How one mistake in one framework was reported.

    Attributes:
        named: the layer that was named; empty if nothing was found.
        deviations: the largest error of an element in predicted standard deviations.
        ratio: rms(error) over rms(predicted).
        logits: the deviations at the logits.
    """

    named: str
    deviations: float
    ratio: float
    logits: float


# Mistake -> framework -> how it was reported.
Findings = dict[str, dict[str, Found]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; the exit status is 1 if a mistake is not reported as stated."""
    # Before anything imports Keras.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from mistakes.catalogue import MISTAKES

    parser = command.parser(_PACKAGE)
    known = list(_PICTURES)
    listed = f"comma-separated (default: {','.join(known)})"
    parser.add_argument("--configurations", type=command.names(known), default=known, help=listed)
    chosen = parser.parse_args(arguments)
    measured = {name: _measure(name) for name in chosen.configurations}
    smallest = {name: _sensitivity(name) for name in chosen.configurations}
    facts = machine.measurement_facts(_PACKAGES, chosen.date)
    command.publish(_page(measured, smallest, command.line(_PACKAGE, arguments), facts), chosen)
    as_stated = all(
        found.named == MISTAKES[mistake].named
        for findings in measured.values()
        for mistake, by_framework in findings.items()
        for found in by_framework.values()
    )
    return 0 if as_stated else 1


def _measure(configuration: str) -> Findings:
    from mistakes import in_keras, in_torch
    from mistakes.catalogue import MISTAKES, judged
    from vgg16_parity.own_port import Arbiter, checkpoint_of
    from vgg16_spec.images.photographs import PHOTOGRAPHS

    pictures = [photograph.path for photograph in PHOTOGRAPHS[: _PICTURES[configuration]]]
    findings: Findings = {name: {} for name in MISTAKES}
    with Arbiter(checkpoint_of("seeded", configuration), pictures) as arbiter:
        for framework, builder in (("torch", in_torch.Port), ("keras", in_keras.Port)):
            port: Port = builder(configuration)
            for name, mistake in MISTAKES.items():
                command.say(f"{configuration}, {framework}: {name}")
                row = judged(arbiter, port, mistake, pictures)
                findings[name][framework] = _found(row, mistake)
    return findings


def _sensitivity(configuration: str) -> str:
    """The table of the smallest mistakes that each layer shows on the first photograph."""
    from vgg16_parity.own_port import checkpoint_of
    from vgg16_spec.images.photographs import PHOTOGRAPHS
    from vgg16_spec.images.preprocessing import preprocess, read_image

    command.say(f"{configuration}: sensitivity")
    checkpoint = checkpoint_of("seeded", configuration)
    size = checkpoint.configuration.input_size
    image = preprocess(read_image(PHOTOGRAPHS[0].path), checkpoint.recipe, size=size)
    found = {each.layer: each for each in sensitivity.measure(checkpoint, image)}
    return sensitivity.described(found)


def _found(row: Row, mistake: Mistake) -> Found:
    accumulated, local = row.worst("accumulated"), row.worst("local")
    ratio, deviations = (local if mistake.layer else accumulated)[mistake.named]
    return Found(row.first_wrong, deviations, ratio, accumulated["predictions"][1])


def _page(
    measured: dict[str, Findings], smallest: dict[str, str], asked: str, facts: dict[str, str]
) -> str:
    parts = [
        "# Planted mistakes and how they are reported",
        _outcome(measured),
        "- *named* is the layer reported as the first wrong one. A layer that computes something "
        "wrong is wrong locally: given the arbiter's input, it is the only layer that fails, or "
        "the first. If the *input* is wrong, every layer is right locally, and the report names "
        "the first tap and says so.\n"
        "- *deviations* is the largest error of an element in predicted standard deviations of "
        "float32 rounding; *ratio* is rms(error) over rms(predicted). Both are local, or those of "
        "the tap where no layer is wrong.\n"
        "- Figures are PyTorch / Keras on TensorFlow. `parity_tests/mistakes/test_mistakes.py` "
        "checks the deviations against those stated in `mistakes/catalogue.py`.",
    ]
    for configuration, findings in measured.items():
        count = _PICTURES[configuration]
        pictures = "the first photograph" if count == 1 else "both photographs"
        parts += [f"## {_TITLES[configuration]}, seeded weights, {pictures}", _table(findings)]
    parts += _SMALLEST
    for configuration, lines in smallest.items():
        parts += [f"### {_TITLES[configuration]}, seeded weights, the first photograph", lines]
    return page([*parts, provenance(asked, facts)])


def _outcome(measured: dict[str, Findings]) -> str:
    """What the tables show, in a few sentences."""
    from mistakes.catalogue import MISTAKES

    found = [
        (name, each)
        for findings in measured.values()
        for name, by_framework in findings.items()
        for each in by_framework.values()
    ]
    astray = dict.fromkeys(name for name, each in found if each.named != MISTAKES[name].named)
    reported = (
        f"Not reported at the right place: {', '.join(astray)}."
        if astray
        else "Every one is reported at the right place, in PyTorch and in Keras."
    )
    ratio, deviations = (
        _short(min(getattr(each, figure) for _, each in found))
        for figure in ("ratio", "deviations")
    )
    return (
        f"Each of the {len(MISTAKES)} mistakes below is planted in the project's own models and "
        f"judged as `vgg16 parity` judges a runtime. {reported} The smallest ratio is {ratio} "
        f"(limit {LIMITS.ratio.limit:g}); the smallest deviations are {deviations} "
        f"(limit {LIMITS.deviations.limit:g})."
    )


def _table(findings: Findings) -> str:
    from mistakes.catalogue import MISTAKES

    header = (
        "mistake",
        "what is wrong",
        "named",
        "deviations",
        "ratio",
        "deviations at the logits",
    )
    lines = []
    for name, by_framework in findings.items():
        named = " / ".join(
            dict.fromkeys(found.named or "nothing" for found in by_framework.values())
        )
        if not MISTAKES[name].layer:
            named += ", each layer right locally"
        figures = [
            " / ".join(_short(getattr(found, figure)) for found in by_framework.values())
            for figure in ("deviations", "ratio", "logits")
        ]
        lines.append((name, MISTAKES[name].what, named, *figures))
    return table(header, lines, words=3)


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.2e}"


if __name__ == "__main__":
    raise SystemExit(main())
