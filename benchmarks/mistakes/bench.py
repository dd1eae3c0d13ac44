"""What planted mistakes look like: ``python -m benchmarks.mistakes --markdown docs/measured/mistakes.md``.

Plants every mistake of ``mistakes/catalogue.py`` in the PyTorch and in the Keras model (on
TensorFlow), on the tiny network with both photographs and on VGG16 with the first, and tells which
layer is named and how far off it is. The exit status is 1 where a mistake is not found, or another
layer is named than is stated.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.harness import machine

if TYPE_CHECKING:
    from mistakes.catalogue import Mistake, Port
    from vgg16_parity.records import Row

# Configuration -> how many of the photographs.
_PICTURES: Final = {"tiny": 2, "D": 1}
_PACKAGES: Final = ("keras", "tensorflow", "torch", "numpy", "pillow")


@dataclass(frozen=True)
class Found:
    """What was reported of one mistake in one framework.

    Attributes:
        named: the layer that was named; empty where nothing was found.
        deviations: the most predicted standard deviations that an element of it is off by.
        ratio: rms(error) over rms(predicted) of it.
        logits: the deviations at the logits.
    """

    named: str
    deviations: float
    ratio: float
    logits: float


# Mistake -> framework -> what was found.
Findings = dict[str, dict[str, Found]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 where a mistake is not found as stated."""
    # Chosen before Keras is imported.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from mistakes.catalogue import MISTAKES

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mistakes", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--configurations", default="tiny,D", help="of tiny and D, with commas; both unless given"
    )
    parser.add_argument("--markdown", type=Path, help="write the page here")
    parser.add_argument(
        "--date", default=datetime.date.today().isoformat(), help="printed with the results"
    )
    chosen = parser.parse_args(arguments)
    measured = {name: _measure(name) for name in chosen.configurations.split(",")}
    page = _page(measured, machine.describe(_PACKAGES, chosen.date))
    print(page, end="")
    if chosen.markdown is not None:
        chosen.markdown.write_text(page, encoding="utf-8")
    named = all(
        found.named == MISTAKES[mistake].named
        for findings in measured.values()
        for mistake, of in findings.items()
        for found in of.values()
    )
    return 0 if named else 1


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
                print(f"{configuration}, {framework}: {name}", file=sys.stderr, flush=True)
                row = judged(arbiter, port, mistake, pictures)
                findings[name][framework] = _found(row, mistake)
    return findings


def _found(row: Row, mistake: Mistake) -> Found:
    accumulated, local = row.worst("accumulated"), row.worst("local")
    ratio, deviations = (local if mistake.layer else accumulated)[mistake.named]
    return Found(row.first_wrong, deviations, ratio, accumulated["predictions"][1])


def _page(measured: dict[str, Findings], facts: dict[str, str]) -> str:
    from onnx_arbiter.limits import LIMITS

    parts = [
        "# Planted mistakes, and what is said of them",
        "Every mistake below is planted in the project's own models and judged as `vgg16 parity` "
        "judges a runtime. *Named* is the layer that the report calls the first wrong one. Where a "
        "layer computes something wrong, it is wrong by itself: given the arbiter's input, it is "
        "the only one, or the first, that fails. Where the *input* is wrong, each layer alone is "
        "right, and the report names the first tap and says so.",
        "*Deviations* are the largest error of an element in predicted standard deviations of "
        f"float32 rounding (limit {LIMITS.deviations.limit:g}), *ratio* is rms(error) over "
        f"rms(predicted) (limit {LIMITS.ratio.limit:g}); of the layer alone, or of the tap where "
        "no layer is wrong. Figures are PyTorch / Keras on TensorFlow. The tests "
        "(`parity_tests/mistakes/test_mistakes.py`) hold the deviations to those stated in "
        "`mistakes/catalogue.py`. This page is written by",
        "```sh\npython -m benchmarks.mistakes --markdown docs/measured/mistakes.md\n```",
        "on this machine:",
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
    ]
    for configuration, findings in measured.items():
        count = _PICTURES[configuration]
        pictures = "the first photograph" if count == 1 else "both photographs"
        title = "VGG16" if configuration == "D" else "The tiny network"
        parts += [f"## {title}, seeded weights, {pictures}", _table(findings)]
    return "\n\n".join(parts) + "\n"


def _table(findings: Findings) -> str:
    from mistakes.catalogue import MISTAKES

    lines = [
        "| mistake | what is wrong | named | deviations | ratio | deviations at the logits |",
        "|---|---|---|---|---|---|",
    ]
    for name, of in findings.items():
        named = " / ".join(dict.fromkeys(found.named or "nothing" for found in of.values()))
        if not MISTAKES[name].layer:
            named += ", each layer alone right"
        figures = [
            " / ".join(_short(getattr(found, figure)) for found in of.values())
            for figure in ("deviations", "ratio", "logits")
        ]
        lines.append(f"| {' | '.join([name, MISTAKES[name].what, named, *figures])} |")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.2e}"
