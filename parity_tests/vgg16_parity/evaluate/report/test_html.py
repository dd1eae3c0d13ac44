"""The page of an evaluation holds everything, escapes everything, and looks right in a browser."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image as Pillow

from parity_tests.support.foreign_text import HOSTILE as UNSEEN
from parity_tests.support.foreign_text import unseen
from parity_tests.support.pages import chromium
from parity_tests.support.pages.evaluations import evaluation, everything, statistics
from parity_tests.support.pages.looks import Text, complaints
from parity_tests.support.tolerances import FLOAT64
from vgg16_parity.evaluate.datasets.items import Skipped
from vgg16_parity.evaluate.records import (
    Answer,
    ClassAccuracy,
    Dispute,
    Evaluation,
    Published,
    RuntimeAccuracy,
)
from vgg16_parity.evaluate.report import charts
from vgg16_parity.evaluate.report.html import MOST_DISPUTES, class_rows, page
from vgg16_parity.evaluate.statistics import share

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = "<script>alert(1)</script>\"'&<img src=http://example.org/x.png>"
# The runtime, its status, top-1 and its interval; and what is there to be seen.
LOOKS: Any = {
    "table": "#accuracy",
    "columns": (1, 2, 3, 4),
    "seen": ("img", "svg", ".cause.broken", "table.classes"),
}


def hostile(text: str = HOSTILE) -> Evaluation:
    """An evaluation in which every name that others choose is an attack."""
    made = evaluation()
    runtimes = tuple(
        replace(each, name=f"{text}{place}", versions={text: text}, flags={text: text},
                not_finite=(text,),
                classes=tuple(replace(one, name=text) for one in each.classes))
        for place, each in enumerate(made.runtimes)
    )  # fmt: skip
    answer = Answer(text, (0, 1, 2, 3, 4), "mistake", 1.0, 0.1, text)
    return replace(
        made,
        dataset=text,
        mapping=text,
        duplicates=(Skipped(text, text),),
        unreadable=(Skipped(text, text),),
        weights=text,
        recipe=text,
        view=text,
        class_names=(text,) * 10,
        runtimes=(*runtimes, RuntimeAccuracy(text, "failed", text)),
        pairs=tuple(replace(each, first=text, second=text) for each in made.pairs),
        disputes=(Dispute(text, 0, (1, 2, 3, 4, 5), (answer,), made.disputes[0].thumbnail),),
        published=(Published(text, 71.0, 90.0, text),),
    )


def test_everything_is_on_the_page() -> None:
    shown = Text(page(everything())).text
    for text in (
        "rounding does not explain 6 answers of keras-jax, onnx-int8",
        "openvino failed: the worker was killed by signal 9",
        "keras-tensorflow not run: tensorflow is not installed",
        "52.4–62.0",
        "torch and keras-jax",
        "2e-03",
        "Label: stingray.",
        "The arbiter's five: cock, stingray,",
        "stingray = label",
        "58 σ",
        "✗ more than rounding explains; first wrong layer: block3_conv2",
        "≈ within rounding",
        "✓ the arbiter's answer",
        "~ quantised weights",
        "– not judged",
        "no answer",
        "tench/00003.JPEG",
        "tench/empty.JPEG it has 0 bytes",
        "tench/copy.JPEG the bytes of tench/00001.JPEG",
        "71.592 %",
        "torch, here",
        "do not expect the same figures",
        "keras 3.15.0",
        "0123456789abcdef",
        "folders named like ImageNet's classes",
        "centre crop of 224 pixels",
        "3.2 s of the processor",
    ):
        assert text in shown, text


def test_a_figure_in_the_title_stays_on_one_line() -> None:
    title = re.search("<h1>.*</h1>", page(everything()))
    assert title is not None
    assert "top\u20111\xa057.2\xa0% to" in title[0]
    assert "top\u20115\xa079.5\xa0% to" in title[0]


def test_the_page_names_nothing_outside_itself() -> None:
    for made in (everything(), hostile()):
        found = Text(page(made))
        assert all(address.startswith(("#", "data:")) for address in found.addresses)
        assert "script" not in found.tags


def test_what_others_chose_is_text() -> None:
    source = page(hostile())
    assert "<script" not in source
    assert source.count("<img") == 1
    assert source.count("&lt;script&gt;") > 60


def test_what_cannot_be_seen_is_escaped() -> None:
    assert not unseen(page(hostile(UNSEEN)))


def test_disputes_have_thumbnails_and_images_that_are_gone_have_none() -> None:
    made = everything()
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page(made))
    assert len(found) == len(made.disputes) - 1
    for data, dispute in zip(found, made.disputes[1:], strict=True):
        assert base64.b64decode(data) == dispute.thumbnail
    with Pillow.open(io.BytesIO(base64.b64decode(found[0]))) as thumbnail:
        assert (thumbnail.format, max(thumbnail.size)) == ("PNG", 112)


def test_very_many_disputes_are_counted_and_left_to_the_json() -> None:
    made = evaluation()
    many = [replace(made.disputes[0], name=f"image-{place:04}") for place in range(2000)]
    source = page(replace(made, disputes=tuple(many)))
    assert len(set(re.findall(r'class="title">(image-\d+)', source))) == MOST_DISPUTES
    shown = Text(source).text
    assert "image-0000" in shown
    assert f"image-{MOST_DISPUTES - 1:04}" in shown
    assert "1,800 more are in evaluation.json , beside this page." in shown
    assert "11 to 35 of 2,000" in shown
    assert "186 to 200 of 2,000" in shown


def test_very_many_images_that_were_left_out_are_counted() -> None:
    many = tuple(Skipped(f"lost-{place}", "it has 0 bytes") for place in range(1234))
    shown = Text(page(evaluation(unreadable=many))).text
    assert "lost-99 it has 0 bytes" in shown
    assert "lost-100 it has 0 bytes" not in shown
    assert "1,134 more are in evaluation.json" in shown


def test_the_worst_class_comes_first_and_every_class_is_there() -> None:
    made = everything()
    rows = class_rows(made)
    assert sorted(row.index for row in rows) == list(range(10))
    means = [sum(s.value for s in row.shares if s is not None) / len(row.shares) for row in rows]
    assert means == sorted(means)
    assert means[0] < means[-1]
    first = {each.index: each for each in made.runtimes[0].classes}
    for row in rows:
        assert row.shares[0] == first[row.index].top1
        assert row.images == first[row.index].top1.of
    assert page(made).count('scope="row">tench <span class="soft">0</span>') == 1


def test_many_classes_are_folded_away() -> None:
    made = evaluation()
    classes = tuple(
        ClassAccuracy(index, f"class-{index}", share(index % 50, 50), share(50, 50))
        for index in range(1000)
    )
    source = page(replace(made, runtimes=(replace(made.runtimes[0], classes=classes),)))
    assert "The other 990 classes" in Text(source).text
    assert len(set(re.findall(r"class-\d+", source))) == 1000


def test_an_evaluation_without_labels_or_runtimes_is_a_page() -> None:
    absent = RuntimeAccuracy("jax", "not run", "jax is not installed")
    shown = Text(page(evaluation(labelled=0, runtimes=(absent,), pairs=(), disputes=()))).text
    assert "Nothing was measured: no runtime could run." in shown
    assert "Wilson" not in shown
    bare = statistics()
    plain = [
        replace(r, top1=None, top5=None, loss=None, classes=()) for r in evaluation(bare).runtimes
    ]
    shown = Text(page(evaluation(labelled=0, mapping="", runtimes=tuple(plain)))).text
    assert "no labels" in shown
    assert "120 images without a label" in shown
    assert "top-1" in shown


def test_runtimes_that_agree_are_said_to() -> None:
    shown = Text(page(evaluation(disputes=()))).text
    assert "Every runtime gives the same answer to every image." in shown


def test_nothing_left_out_is_said() -> None:
    shown = Text(page(evaluation(unreadable=(), duplicates=()))).text
    assert "None: every image could be read, and no two are equal." in shown


def test_the_chart_is_to_scale() -> None:
    one, other = share(570, 1000), share(600, 1000)
    top1, top5 = charts.panels(
        [
            RuntimeAccuracy("torch", "measured", top1=one, top5=share(800, 1000)),
            RuntimeAccuracy("jax", "not run"),
            RuntimeAccuracy("onnx", "measured", top1=other, top5=share(1000, 1000)),
        ]
    )
    assert [bar.runtime for bar in top1.bars] == ["torch", "onnx"]
    assert list(top1.ticks) == ["50 %", "55 %", "60 %", "65 %"]
    assert (top1.ticks["50 %"], top1.ticks["65 %"]) == (0, 1)
    for bar, of in zip(top1.bars, (one, other), strict=True):
        found = [0.50 + 0.15 * place for place in (bar.low, bar.value, bar.high)]
        assert found == pytest.approx([of.low, of.value, of.high], rel=FLOAT64.limit)
    assert list(top5.ticks)[-1] == "100 %"


@pytest.mark.parametrize("count", [0, 50_000])
def test_a_chart_of_none_or_all_has_an_axis(count: int) -> None:
    (panel, _) = charts.panels(
        [RuntimeAccuracy("a", "measured", top1=share(count, 50_000), top5=share(1, 2))]
    )
    assert len(panel.ticks) >= 2
    (bar,) = panel.bars
    assert 0 <= bar.low <= bar.value <= bar.high <= 1


def test_nothing_measured_has_no_chart() -> None:
    assert charts.panels([RuntimeAccuracy("a", "failed", "killed")]) == []


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
    made = everything()
    long = replace(made.runtimes[0], name="a-port-with-a-very-long-name-without-any-space" * 3)
    image = replace(made.disputes[1], name="a-very-long-name-without-any-space/" * 12)
    made = replace(
        made,
        runtimes=(long, *made.runtimes[1:]),
        disputes=(image, *made.disputes),
        unreadable=(Skipped("x" * 400, "y" * 400),),
        dataset="z" * 400,
    )
    file = tmp_path / "evaluation.html"
    file.write_text(page(made), "utf-8")
    assert complaints(browser, file, width, scheme, **LOOKS) == []


def test_a_hostile_evaluation_is_harmless_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "evaluation.html"
    file.write_text(page(hostile()), "utf-8")
    assert complaints(browser, file, 390, "light", **LOOKS) == []
