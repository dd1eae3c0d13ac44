"""A report as a table, JSON, JUnit XML and a page says the same, whatever names a network has."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from junitparser import Failure, JUnitXml, Skipped

from onnx_arbiter.compare import Verdict, refused
from onnx_arbiter.judge.explain import explain_run
from onnx_arbiter.judge.records import Report, Row, Run
from onnx_arbiter.limits import LIMITS
from onnx_arbiter.report import html, junit
from onnx_arbiter.report import json as as_json
from onnx_arbiter.report.figures import figure, worst, worst_element
from onnx_arbiter.report.table import COLUMNS, remarks, summary, table
from parity_tests.support.foreign_text import HOSTILE, unseen


def verdict(ratio: float, deviations: float, flat: int = 5) -> Verdict:
    """One that passes if both figures are within their limits."""
    reason = f"errors are {ratio:.3g} times the predicted size" if ratio > 1 else ""
    return Verdict(
        not reason, ratio, deviations, 0.25, 0.1, 0.1, (0, flat), (), reason, LIMITS.ratio.limit
    )


RIGHT = Row("a", "conv1", "Conv", (2, 3), verdict(0.5, 3.0), verdict(0.7, 4.0))
WRONG = Row("b", "/layer2/0/conv1", "Conv", (2, 3), verdict(900, 7000), verdict(8412, 90_000, 4))
AFTER = Row("c", "fc", "Gemm", (2, 3), verdict(700, 5000), verdict(0.6, 2.0))
UNKNOWN = Row("d", "odd", "NonZero", why="NonZero has no rule")
HOLDS = Run("first", (RIGHT,), notes=("a note of the run",))
BROKEN = Run("second", (RIGHT, WRONG, AFTER, UNKNOWN), WRONG, "as if its padding were on one side")
NOTHING = Run("third", (UNKNOWN,))
REPORT = Report(
    "net.onnx",
    "float32",
    {"x": (1, 3, 8, 8)},
    (HOLDS, BROKEN, NOTHING),
    nodes=4,
    not_judged={"NonZero has no rule": 1},
    seconds=1.5,
    peak_bytes=10**9,
)
HELD = replace(REPORT, runs=(HOLDS, NOTHING))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (0.714, "0.71"),
        (12.34, "12.3"),
        (8412.3, "8,412"),
        (1.234e9, "1.2e+09"),
        (math.inf, "∞"),
        (math.nan, "NaN"),
    ],
)
def test_figures_are_short(value: float, text: str) -> None:
    assert figure(value) == text


def test_the_worst_value_is_the_guilty_one_and_not_the_largest_after_it() -> None:
    found = worst(BROKEN)
    assert found is not None
    assert found.row is WRONG
    assert found.verdict is WRONG.local
    assert worst(NOTHING) is None
    larger = replace(WRONG, accumulated=verdict(1e6, 1e6))
    assert worst(replace(BROKEN, rows=(RIGHT, WRONG, larger), guilty=WRONG)) == (WRONG, WRONG.local)
    nearest = worst(HOLDS)
    assert nearest is not None
    assert nearest.verdict is RIGHT.local


def test_the_worst_element_is_counted_in_the_values_own_shape() -> None:
    assert worst_element(RIGHT, RIGHT.local) == (1, 2)
    assert worst_element(WRONG, WRONG.local) == (1, 1)
    assert worst_element(RIGHT, refused("its shape")) == ()


def test_the_table_has_a_row_for_each_run() -> None:
    rows = table(REPORT)
    assert [dict(zip(COLUMNS, row, strict=True)) for row in rows] == [
        {"run": "first", "status": "holds", "worst value": "a", "R": "0.70", "Z": "4.00",
         "judged": "1", "alone": "1", "not judged": "0"},
        {"run": "second", "status": "broken", "worst value": "b", "R": "8,412", "Z": "90,000",
         "judged": "3", "alone": "3", "not judged": "1"},
        {"run": "third", "status": "not judged", "worst value": "", "R": "", "Z": "",
         "judged": "0", "alone": "0", "not judged": "1"},
    ]  # fmt: skip


def test_what_is_wrong_and_what_was_not_judged_is_said() -> None:
    assert remarks(REPORT) == [
        "second: broken. Conv /layer2/0/conv1: alone, errors are 8,410 times the predicted size, "
        "as if its padding were on one side",
        "third: not judged: NonZero has no rule",
        "first: a note of the run",
        "not judged: 1 value: NonZero has no rule",
    ]


def test_many_reasons_are_a_few_lines() -> None:
    report = replace(REPORT, runs=(), not_judged={f"reason {n}": n for n in range(1, 9)})
    assert remarks(report) == [
        *(f"not judged: {n} values: reason {n}" for n in (8, 7, 6, 5, 4)),
        "not judged: 6 values for 3 other reasons",
    ]


def test_the_summary_is_the_outcome() -> None:
    assert summary(REPORT) == "Beyond rounding: second."
    assert summary(HELD) == "Within rounding: 1 run judged by the float64 arbiter."
    assert summary(replace(REPORT, runs=(NOTHING,))) == "Nothing was judged."


def test_json_has_every_figure_and_null_for_what_it_cannot_hold() -> None:
    shapeless = replace(WRONG, accumulated=refused("its shape is (3,)"), local=None)
    report = replace(REPORT, runs=(HOLDS, replace(BROKEN, rows=(shapeless,), guilty=shapeless)))
    document = json.loads(as_json.text(report))
    assert document == as_json.to_json(report)
    assert document["schema"] == "onnx-arbiter-report/1"
    assert document["holds"] is False
    assert document["inputs"] == {"x": [1, 3, 8, 8]}
    assert document["not_judged"] == {"NonZero has no rule": 1}
    first, second = document["runs"]
    assert first["rows"][0]["local"]["ratio"] == 0.7
    assert first["rows"][0]["local"]["worst"] == [1, 2]
    assert first["rows"][0]["status"] == "holds"
    assert (first["guilty"], second["guilty"]) == (None, "b")
    assert second["rows"][0]["accumulated"]["ratio"] is None
    assert second["rows"][0]["local"] is None
    assert second["explanation"] == explain_run(report.runs[1])


def test_junit_has_a_test_for_each_run() -> None:
    [suite] = JUnitXml.fromstring(junit.text(REPORT).encode())
    first, second, third = suite
    assert [test.name for test in suite] == ["first", "second", "third"]
    assert first.result == []
    assert "a note of the run" in first.system_out
    [failure] = second.result
    assert isinstance(failure, Failure)
    assert failure.message == explain_run(BROKEN)
    assert isinstance(third.result[0], Failure)
    assert suite.failures == 2


def test_a_run_of_which_nothing_was_judged_is_skipped_where_another_holds() -> None:
    [suite] = JUnitXml.fromstring(junit.text(HELD).encode())
    assert isinstance(list(suite)[1].result[0], Skipped)
    assert suite.failures == 0


class Page(HTMLParser):
    """The tags, the attributes and the text of a page, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags = list[tuple[str, dict[str, str | None]]]()
        self.rows = list[list[str]]()
        self.guilty = list[list[str]]()
        self._open = list[str]()
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
            if dict(attrs).get("class") == "guilty":
                self.guilty.append(self.rows[-1])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data


def test_the_page_has_every_value_and_marks_the_guilty_one() -> None:
    page = Page(html.page(REPORT))
    [guilty] = page.guilty
    assert guilty[:2] == ["b", "Conv /layer2/0/conv1"]
    assert guilty[4:10] == ["900", "7,000", "8,412", "90,000", "2.5e-01", "1, 1"]
    assert "here it goes wrong first, as if its padding were on one side" in guilty[10]
    values = [row[0] for row in page.rows if len(row) == len(guilty)]
    assert values == ["value", "a", "value", "a", "b", "c", "d", "value", "d"]
    assert all(len(row) in (len(guilty), len(COLUMNS)) for row in page.rows)


def test_no_error_has_no_place_and_one_without_end_is_shown() -> None:
    none = replace(verdict(0.0, 0.0), max_error=0.0)
    rows = (replace(RIGHT, accumulated=none, local=None), replace(AFTER, local=refused("NaN")))
    page = Page(html.page(replace(REPORT, runs=(Run("one", rows),))))
    exact, endless = (row for row in page.rows if row[0] in ("a", "c"))
    assert exact[8:10] == ["0", ""]
    assert endless[6:10] == ["∞", "∞", "∞", ""]


def test_the_page_loads_nothing_and_its_links_lead_somewhere() -> None:
    page = Page(html.page(REPORT))
    assert not {"script", "img", "iframe"} & {tag for tag, _ in page.tags}
    places = {f"#{attributes['id']}" for _, attributes in page.tags if attributes.get("id")}
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert links
    assert links <= places
    icons = {attributes["href"] for tag, attributes in page.tags if tag == "link"}
    assert icons == {"data:,"}


def test_names_are_text_wherever_they_are_shown() -> None:
    odd = replace(WRONG, value=HOSTILE, node=HOSTILE, operator=HOSTILE, why_not_local=HOSTILE)
    run = Run(HOSTILE, (odd,), odd, HOSTILE, (HOSTILE,))
    report = replace(
        REPORT, model=HOSTILE, inputs={HOSTILE: (1,)}, runs=(run,), not_judged={HOSTILE: 1}
    )
    document = as_json.text(report)
    assert json.loads(document)["runs"][0]["rows"][0]["value"] == HOSTILE
    for text in (document, html.page(report), junit.text(report)):
        assert not unseen(text, allowed="\n\t")
        assert r"\u202e" in text
    assert [tag for tag, _ in Page(html.page(report)).tags].count("b") == 1
    [suite] = JUnitXml.fromstring(junit.text(report).encode())
    assert len(list(suite)) == 1
