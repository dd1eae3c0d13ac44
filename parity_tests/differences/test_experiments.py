"""Every experiment of the catalogue supports what its page says."""

from __future__ import annotations

import datetime
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from differences.__main__ import main
from differences.harness import pages
from differences.harness.catalogue import NAMES, module, run
from differences.harness.experiment import Finding, Table, shown
from vgg16_spec.errors import BadInput

# Takes a minute: hundreds of decodings by other projects.
MARKS = {"accuracy": pytest.mark.weekly}
FOUND = Finding({"elements that differ": 3, "largest": (0.12345, "of it")}, {"So.": True})


def written(name: str) -> str:
    """The part of an experiment's page that was written from measurements."""
    text = pages.page(name).read_text(encoding="utf-8")
    return text.partition(pages.BEGIN)[2].partition(pages.END)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, marks=MARKS.get(n, ())) for n in NAMES])
def test_an_experiment_supports_its_page(name: str) -> None:
    finding = run(name)
    assert finding.figures
    assert finding.claims
    assert finding.disproved == []
    part = written(name)
    for what in finding.figures:
        assert f"| {what} | " in part
    for table in finding.tables:
        assert f"\n### {table.title}\n" in part
        assert all(f"\n| {row} | " in part for row in table.rows)
    for claim in finding.claims:
        assert f"- {claim}\n" in part
    assert pages.picture(name).exists() == (finding.draw is not None)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_its_title_its_provenance_and_ends_with_its_rule(name: str) -> None:
    text = pages.page(name).read_text(encoding="utf-8")
    assert text.startswith(f"# {module(name).TITLE}\n")
    _, rule, last = text.rpartition("\n## Rule\n\n")
    assert rule
    assert " ".join(last.split()).startswith(module(name).RULE)
    command, versions = f"`python -m differences {name}`", r"keras [\d.]+.*, torch [\d.]+.*"
    assert re.search(rf"Measured by {command} with .*{versions} on \d{{4}}-\d\d-\d\d\.\n", text)


def test_the_index_leads_to_every_page() -> None:
    index = (pages.FOLDER / "index.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"[{module(name).TITLE}]({pages.page(name).name}) | {module(name).RULE} |" in index
    others = {path.name for path in pages.FOLDER.glob("*.md")} - {"index.md"}
    assert others == {pages.page(name).name for name in NAMES}


def test_a_claim_that_does_not_hold_is_not_written() -> None:
    false = Finding(FOUND.figures, {"The moon is made of cheese.": False})
    before = pages.page(NAMES[0]).read_bytes()
    with pytest.raises(BadInput, match="does not support: The moon is made of cheese"):
        pages.write(NAMES[0], false)
    assert pages.page(NAMES[0]).read_bytes() == before


def test_writing_replaces_the_measured_part_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = "resizing"
    text = pages.page(name).read_text(encoding="utf-8")
    monkeypatch.setattr(pages, "FOLDER", tmp_path)
    pages.page(name).write_text(text, encoding="utf-8")
    pages.write(name, FOUND)
    before, _, rest = text.partition(pages.BEGIN)
    new = pages.page(name).read_text(encoding="utf-8")
    assert new.startswith(before + pages.BEGIN)
    assert new.endswith(pages.END + rest.partition(pages.END)[2])
    part = written(name)
    assert "| elements that differ | 3 |\n| largest | 0.123 of it |\n\n- So.\n" in part
    packages = ("keras", "tensorflow", "torch", "numpy", "torchvision", "pillow")
    assert all(f", {package} {version(package)}" in part for package in packages)
    assert f" on {datetime.date.today().isoformat()}." in part


def test_tables_follow_the_figures_with_their_own_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table("Filters", ("filter", "moved", "of"), {"box": ((0.12345, "%"), "3 of 4")})
    finding = FOUND | Finding({}, {"Boxes move.": True}, tables=(table,))
    part = pages.measured("resizing", finding)
    rows = "| filter | moved | of |\n| --- | ---: | ---: |\n| box | 0.123 % | 3 of 4 |\n"
    assert f"| largest | 0.123 of it |\n\n### Filters\n\n{rows}" in part
    assert "\n### What follows\n\n- So.\n- Boxes move.\n" in part
    monkeypatch.setattr("differences.__main__.run", lambda _: finding)
    assert main(["resizing"]) == 0
    assert "  Filters\n    box: moved 0.123 %; of 3 of 4\n" in capsys.readouterr().out


def test_a_page_without_a_measured_part_is_refused() -> None:
    with pytest.raises(BadInput, match="has no measured part"):
        pages.rewritten("# T\n", "new", Path("p"))


def test_figures_are_shown_as_whole_numbers_or_three_digits() -> None:
    assert [shown(value) for value in FOUND.figures.values()] == ["3", "0.123 of it"]
    assert shown(138357544) == "138,357,544"
    assert shown((1.5e-7, "of the largest")) == "1.5e-07 of the largest"


@pytest.mark.parametrize("name", ["pooling-at-odd-sizes", "pooling_at_odd_sizes"])
def test_a_name_may_have_hyphens_or_underscores(name: str) -> None:
    assert module(name).__name__ == "differences.layers.pooling_at_odd_sizes"


def test_an_experiment_that_does_not_exist_is_refused_in_one_line_before_any_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("differences.__main__.run", lambda _: pytest.fail("it ran"))
    assert main([NAMES[0], "nonsense"]) == 2
    refusal = capsys.readouterr().err
    assert "nonsense" in refusal
    assert refusal.count("\n") == 1
