"""The report's page holds everything, escapes everything, and looks right in a browser."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image as Pillow

from onnx_arbiter.limits import LIMITS
from parity_tests.support.helpers import PICTURES, Command
from parity_tests.support.pages import chromium
from parity_tests.support.pages.looks import Text, complaints
from parity_tests.support.pages.reports import RECORD, decision, everything, report, row, verdict
from vgg16_parity.records import CaseFacts, Image, Report
from vgg16_parity.report import charts
from vgg16_parity.report.html import page
from vgg16_parity.report.json import Change
from vgg16_spec.checkpoint.metadata import Metadata
from vgg16_spec.images.photographs import PHOTOGRAPHS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# The runtime, its verdict, R and Z; and what is there to be seen.
RUNS: Any = {
    "table": "#runs",
    "columns": (1, 2, 4, 5),
    "seen": ("img", "svg", ".cell.wrong"),
}
HOSTILE = "<script>alert(1)</script>\"'&<img src=http://example.org/x.png>"


def hostile() -> Report:
    """A report in which every name that others choose is an attack."""
    case = dataclasses.replace(row().cases[0], case=HOSTILE, notes=(HOSTILE,), reason=HOSTILE)
    layer = dataclasses.replace(case.layers[0], tap=HOSTILE)
    case = dataclasses.replace(case, layers=(layer,))
    record = dataclasses.replace(RECORD, versions={HOSTILE: HOSTILE}, flags={HOSTILE: HOSTILE})
    made = row(HOSTILE, status="broken", reason=HOSTILE, cases=(case,), record=record)
    weights = dataclasses.replace(report().weights, path=HOSTILE, metadata=Metadata(*[HOSTILE] * 5))
    images = (Image(HOSTILE, HOSTILE, (1, 2, 3, 4, 5)),)
    return report(made, cases=(CaseFacts(HOSTILE, images),), weights=weights)


def test_everything_is_on_the_page() -> None:
    shown = Text(page(everything(), PICTURES[:1])).text
    for text in (
        "Parity is broken: keras-jax (strict).",
        "keras-torch (strict) failed: the worker was killed by signal 9",
        "onnxruntime is not installed",
        "NaN: one NaN: nothing of it is left at block1_pool",
        f"R = {LIMITS.ratio.limit:g}",
        f"Z = {LIMITS.deviations.limit:g}",
        "tabby",
        "great white shark ≠",
        "✗ flipped",
        "2.50e-01",
        "torch 2.15.0",
        "deterministic_algorithms=True",
        "untrained",
        "tiny.safetensors",
        "0123456789abcdef",
        "CC0-1.0",
        "block1_conv1",
        "predictions.weight",
        "Momentum, default",
    ):
        assert text in shown, text


def test_the_page_names_nothing_outside_itself() -> None:
    for made in (everything(), hostile()):
        found = Text(page(made, PICTURES[:1]))
        assert all(address.startswith(("#", "data:")) for address in found.addresses)
        assert "script" not in found.tags


def test_what_others_chose_is_text() -> None:
    source = page(hostile(), (), [Change(HOSTILE, HOSTILE, HOSTILE, HOSTILE)])
    assert "<script" not in source
    assert "<img" not in source
    assert source.count("&lt;script&gt;") > 20


def test_pictures_have_thumbnails_and_other_inputs_have_none() -> None:
    source = page(everything(), PICTURES[:1])
    (data,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', source)
    with Pillow.open(io.BytesIO(base64.b64decode(data))) as thumbnail:
        assert (thumbnail.format, max(thumbnail.size)) == ("JPEG", 160)


def test_a_picture_that_is_gone_has_no_thumbnail(tmp_path: Path) -> None:
    assert "<img" not in page(report(), [tmp_path / "gone.png"])


def test_classes_of_another_network_are_numbers() -> None:
    weights = dataclasses.replace(report().weights, classes=10)
    few = decision(top1=3, arbiter_top1=3, top5=(3, 1, 2, 4, 5), arbiter_top5=(3, 1, 2, 4, 5))
    case = dataclasses.replace(row().cases[0], decisions=(few,))
    facts = (CaseFacts("photographs", (Image("a.png", "", (3, 1, 2, 4, 5)),)),)
    shown = Text(page(report(row(cases=(case,)), cases=facts, weights=weights))).text
    assert "class 3 class 1 class 2" in shown
    assert "goldfish" not in shown


def test_logits_alone_are_one_line_of_the_map_and_no_layer_is_alone() -> None:
    case = row().cases[0]
    layer = dataclasses.replace(case.layers[-1], local=None)
    quick = report(row(cases=(dataclasses.replace(case, layers=(layer,)),)))
    assert list(charts.heat_map(quick.rows, "accumulated")) == ["predictions"]
    assert charts.heat_map(quick.rows, "local") == {}
    assert "No layer was run alone." in Text(page(quick)).text


def test_a_report_in_which_nothing_ran_is_a_page() -> None:
    absent = row(status="not run", reason="jax is not installed", cases=(), record=None)
    shown = Text(page(report(absent, cases=()))).text
    assert "Nothing was compared: no runtime could run." in shown
    assert "There are no errors to count." in shown


def test_what_moved_is_on_the_page() -> None:
    assert "Since the older report" not in Text(page(report())).text
    assert "Nothing moved." in Text(page(report(), (), [])).text
    shown = Text(page(report(), (), [Change("torch (strict)", "threads", "2", "1")])).text
    assert "torch (strict) threads 2 1" in shown


@pytest.mark.parametrize(
    ("ratio", "heat"), [(0.0, -1), (0.01, -1), (0.1, -1), (1.0, 0), (10.0, 1), (float("inf"), 1)]
)
def test_colours_are_of_the_ratios_logarithm(ratio: float, heat: float) -> None:
    assert charts.heat(ratio) == heat


def test_a_cell_fails_where_any_case_does_and_tells_which() -> None:
    cells = charts.heat_map(everything().rows[:3], "accumulated")["block1_conv1"]
    good, bad, absent = cells
    assert good is not None
    assert bad is not None
    assert absent is None
    assert (good.passed, good.ratio, good.deviations) == (True, 0.75, 5.0)
    assert (bad.passed, bad.ratio, bad.deviations) == (False, 5.0, 31.0)
    assert "photographs: 5.00 times the predicted size" in bad.title
    assert "✗ errors are 5 times" in bad.title


def test_one_case_that_fails_is_enough_and_the_worst_is_shown() -> None:
    good = row().cases[0]
    layer = dataclasses.replace(good.layers[0], accumulated=verdict(2.5, 4.0, "too large"))
    bad = dataclasses.replace(good, case="noise", layers=(layer,))
    for cases in ((good, bad), (bad, good)):
        (cell,) = charts.heat_map([row(cases=cases)], "accumulated")["block1_conv1"]
        assert cell is not None
        assert (cell.passed, cell.ratio, cell.deviations) == (False, 2.5, 5.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"), (0.004, "<.01"), (0.014, "0.01"), (9.87, "9.87"), (43.21, "43.2"),
        (318.4, "318"), (25000.0, "2e4"), (1e30, "1e30"), (float("inf"), "∞"),
    ],
)  # fmt: skip
def test_figures_are_short(value: float, text: str) -> None:
    assert charts.number(value) == text
    assert len(text) <= 5


def test_histograms_count_every_tap_to_one_scale() -> None:
    first, second = charts.histograms([row(), row(cases=()), row("keras-jax")])
    assert (first.row.runtime, second.row.runtime) == ("torch", "keras-jax")
    assert sum(first.counts) == 2 * 683
    assert len(first.counts) == len(first.normal) > charts.position(LIMITS.deviations.limit)
    assert max(first.heights) == 1.0
    # Half a deviation ends the bin before that of 1: the normal distribution's share is erf's.
    assert charts.position(1.0) == 9.0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if reason := chromium.missing():
        chromium.skip(reason)
    with chromium.browser() as opened:
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_looks_right_in_a_browser(
    browser: Browser, tmp_path: Path, width: int, scheme: str
) -> None:
    long = row(
        "a-port-with-a-very-long-name-without-any-space" * 3, status="broken", reason="x" * 400
    )
    made = everything()
    made = dataclasses.replace(made, rows=(*made.rows, long))
    file = tmp_path / "report.html"
    file.write_text(
        page(made, PICTURES[:1], [Change("weights", "sha256", "a" * 64, "b" * 64)]), "utf-8"
    )
    assert complaints(browser, file, width, scheme, **RUNS) == []


def test_a_hostile_report_is_harmless_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(hostile(), PICTURES[:1]), "utf-8")
    found = complaints(browser, file, 390, "light", **RUNS)
    assert [line for line in found if "can be seen" not in line] == []


@pytest.mark.slow
def test_a_real_run_writes_the_page(vgg16: Command, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    arguments = ("--configuration", "tiny", "--runtimes", "torch", "--quick")
    done = vgg16("parity", *arguments, "--html", file)
    assert done.status == 0
    assert "Parity holds: 1 run within" in Text(file.read_text("utf-8")).text
    assert file.read_text("utf-8").count("data:image/jpeg;base64,") == len(PHOTOGRAPHS)
