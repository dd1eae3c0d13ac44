"""The notebook that ports ResNet-18 finds its two mistakes, and its outputs are those of a run."""

from __future__ import annotations

from functools import cache
from typing import Final

import pytest

from parity_tests.support.pages import notebooks

# The port's convolutions and pool that pad before a stride of 2.
PADDED: Final = ("conv1", "maxpool", "layer2.0.conv1", "layer3.0.conv1", "layer4.0.conv1")


@cache
def printed() -> dict[str, str]:
    """Cell -> what it prints, as committed."""
    return {
        cell.id: "".join(output.get("text", "") for output in cell.outputs)
        for cell in notebooks.code(notebooks.read(notebooks.ANY_NETWORK))
    }


def test_the_padding_is_found_first_and_every_layer_that_has_it() -> None:
    assert printed()["judge"].startswith("port: broken. Conv conv1: alone, errors are ")
    assert "as if its padding were TensorFlow's SAME" in printed()["judge"]
    wrong = printed()["wrong"].replace("\n", " ").split(", ")
    norms = [name for name in map(str.strip, wrong) if "bn" in name or "downsample.1" in name]
    assert len(norms) == 20
    assert {name.strip() for name in wrong} - set(norms) == set(PADDED)


def test_the_epsilon_is_found_next_and_then_the_port_holds() -> None:
    assert "BatchNormalization bn1: alone" in printed()["judge-again"]
    assert "as if its epsilon were 0.001" in printed()["judge-again"]
    assert "20 layers are wrong alone" in printed()["judge-again"]
    assert "port: holds within rounding" in printed()["mend-epsilon"]


def test_the_difference_that_the_text_calls_close_is_below_the_tolerance_that_it_names() -> None:
    cells = notebooks.read(notebooks.ANY_NETWORK).cells
    text = next(cell.source for cell in cells if cell.id == "close-text")
    tolerance = float(text.partition("tolerance of ")[2].split()[0])
    difference = float(printed()["mend-padding"].split()[-1])
    assert tolerance / 2 < difference < tolerance


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom_and_shows_what_is_committed() -> None:
    committed = notebooks.read(notebooks.ANY_NETWORK)
    again = notebooks.run(notebooks.ANY_NETWORK)
    for ours, theirs in zip(notebooks.code(committed), notebooks.code(again), strict=True):
        assert notebooks.printed(theirs) == notebooks.printed(ours), ours.id
