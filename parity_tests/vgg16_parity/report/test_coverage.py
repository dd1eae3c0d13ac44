"""Reports say which share of the weights the inputs exercise, and name the tensors that lack."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

import pytest

from parity_tests.support.pages.reports import report, row
from vgg16_parity.network.coverage import Coverage
from vgg16_parity.own_port import explain
from vgg16_parity.records import Status
from vgg16_parity.report import html, junit, schema
from vgg16_parity.report.coverage import percent
from vgg16_parity.report.diff import diff_reports
from vgg16_parity.report.json import Document, to_json
from vgg16_parity.report.table import remarks, summary

HALF = Coverage(0.612, {"fc1.weight": 0.39, "fc1.bias": 0.58, "fc2.weight": 1.0, "fc2.bias": 0.7})
ALL = Coverage(1.0, dict.fromkeys(HALF.tensors, 1.0))
SAID = "61 % of the weights (fc1 39 %, fc2.bias 70 %)"


def test_holds_carries_the_smallest_share() -> None:
    one, other = row(coverage=ALL), row(lane="default", coverage=HALF)
    begins = "within the errors predicted of the float64 arbiter"
    assert summary(report(one)) == (
        f"Parity holds: 1 run {begins}; the inputs exercise 100 % of the weights."
    )
    assert summary(report(one, other)) == (
        f"Parity holds: 2 runs {begins}; the inputs exercise 61 % of the weights."
    )
    assert summary(report()) == f"Parity holds: 1 run {begins}."


@pytest.mark.parametrize("status", ["holds", "broken"])
def test_every_tensor_that_lacks_is_named_once_for_the_rows_alike(status: Status) -> None:
    half = row(coverage=HALF, status=status), row(lane="default", coverage=HALF)
    assert remarks(report(*half, row(lane="tf32", coverage=ALL))) == [
        f"torch (strict), torch (default): the inputs exercise {SAID}"
    ]
    many = Coverage(0.5, {f"layer{index}.weight": index / 10 for index in range(1, 9)})
    (remark,) = remarks(report(row(coverage=many)))
    assert remark.endswith(f"({', '.join(f'layer{index} {index}0 %' for index in range(1, 9))})")


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.29, "29 %"),
        (0.9899, "98 %"),
        (0.99, "99 %"),
        (0.9999, "99.9 %"),
        (1, "100 %"),
    ],
)
def test_a_share_is_rounded_down(share: float, text: str) -> None:
    assert percent(share) == text


def test_every_format_has_it() -> None:
    made = report(row(coverage=HALF), row(lane="default", coverage=HALF))
    document = to_json(made)
    assert document["rows"][0]["coverage"] == dataclasses.asdict(HALF)
    assert schema.decode(Document, document).rows == made.rows
    suite = ElementTree.fromstring(junit.text(made))[0]
    properties = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert properties["exercised"] == "61 %"
    assert properties["exercised of fc1"] == "39 %"
    page = html.page(made)
    assert "torch (strict), torch (default)" in page
    assert (
        '<th scope="row">fc2.bias</th><td class="number" data-label="exercised">70 %</td>' in page
    )
    assert "Weights exercised" not in html.page(report())
    assert f"the inputs exercise {SAID}" in explain(made.rows[0])


def test_a_changed_share_moved() -> None:
    def moved(old: Coverage | None, new: Coverage | None) -> list[str]:
        older, newer = (Document.of(report(row(coverage=each))) for each in (old, new))
        return list(map(str, diff_reports(older, newer)))

    assert moved(HALF, HALF) == []
    assert moved(HALF, dataclasses.replace(HALF, share=0.6125)) == []
    assert moved(None, HALF) == ["torch (strict): weights exercised: none → 61 %"]
    assert moved(HALF, ALL) == [
        "torch (strict): weights exercised: 61 % → 100 %",
        "torch (strict): fc1.weight, exercised: 39 % → 100 %",
        "torch (strict): fc1.bias, exercised: 58 % → 100 %",
        "torch (strict): fc2.bias, exercised: 70 % → 100 %",
    ]
