"""The table, its remarks, and what else every kind of report shows."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

from parity_tests.support.pages.reports import decision, everything, report, row, verdict
from vgg16_parity.report import html, schema
from vgg16_parity.report.diff import diff_reports
from vgg16_parity.report.json import Document, to_json
from vgg16_parity.report.junit import junit
from vgg16_parity.report.table import COLUMNS, remarks, table
from vgg16_parity.verdicts import ProbeVerdict

Place = tuple[str | int, ...]


def test_the_worst_tap_and_the_images_that_agree_are_in_the_table() -> None:
    cells = dict(zip(COLUMNS, table(report())[0], strict=True))
    assert cells == {
        "runtime": "torch",
        "parity": "holds",
        "lane": "strict",
        "R": "0.75",
        "Z": "5.00",
        "alone": "0.70",
        "|error|": "1.0e-05",
        "top-1": "1/1",
        "s": "2",
        "GB": "1.5",
    }


def test_a_first_class_that_changed_places_is_counted() -> None:
    swapped = decision(top1=282, top5=(282, 281, 285, 287, 292), outcome="inside")
    case = dataclasses.replace(row().cases[0], decisions=(decision(), swapped))
    cells = dict(zip(COLUMNS, table(report(row(cases=(case,))))[0], strict=True))
    assert cells["top-1"] == "1/2"


def test_a_row_that_did_not_run_has_no_numbers() -> None:
    cells = {line[0]: line for line in table(everything())}
    assert cells["onnx-from-torch"] == ("onnx-from-torch", "not run", "strict", *[""] * 7)
    assert cells["keras-torch"] == ("keras-torch", "failed", "strict", *[""] * 7)


def test_remarks_tell_what_does_not_hold_and_what_is_worth_knowing() -> None:
    assert remarks(report()) == []
    none = "gradients were not compared"
    assert remarks(everything()) == [
        f"torch (strict): {none}",
        "keras-jax (strict) broken: errors are 5 times the predicted size (limit 2)",
        "keras-jax (strict): NaN: one NaN: nothing of it is left at block1_pool",
        f"keras-jax (strict): {none}",
        f"port (strict): {none}",
        "keras-torch (strict) failed: the worker was killed by signal 9",
        "onnx-from-torch (strict) not run: onnxruntime is not installed",
        "torch (default): gradients of 2 tensors: R 1.50 and Z 4.00; "
        "after a step of SGD: R 0.30 and Z 4.00",
    ]


def test_a_note_on_several_rows_is_one_line() -> None:
    (case,) = row().cases
    noted = row(cases=(replace(case, notes=("seen",)),))
    other = replace(noted, runtime="keras-jax")
    assert remarks(report(noted)) == ["torch (strict): photographs: seen"]
    assert remarks(report(noted, other)) == [
        "torch (strict), keras-jax (strict): photographs: seen",
    ]


def test_layers_on_dense_inputs_are_in_every_kind_of_report() -> None:
    verdicts = (verdict(0.9, 3.0), verdict(7.0, 40.0, "too far"))
    probes = tuple(map(ProbeVerdict, ("block1_conv1", "predictions"), verdicts))
    made = report(row(), row("keras-jax", status="broken", probes=probes))
    before, after = (dict(zip(COLUMNS, line, strict=True)) for line in table(made))
    assert (before["alone"], after["alone"]) == ("0.70", "7.00")
    document = to_json(made)
    assert "probes" not in document["rows"][0]
    assert [probe["layer"] for probe in document["rows"][1]["probes"]] == [
        probe.layer for probe in probes
    ]
    assert schema.decode(Document, document).rows == made.rows
    tests = {test.name: test for suite in junit(made) for test in suite}
    assert not tests["block1_conv1 probe"].result
    assert tests["predictions probe"].result[0].message == "too far"
    shown = html.page(made)
    assert "Layer on dense inputs, strict" in shown
    assert "Layer on dense inputs" not in html.page(report())
    replaced = report(row(), row("keras-jax", status="broken", probes=probes[:1]))
    changes = diff_reports(Document.of(made), Document.of(replaced))
    assert [change.what for change in changes] == ["predictions, probe"]
