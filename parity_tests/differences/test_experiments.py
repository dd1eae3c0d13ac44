"""Every experiment of the catalogue bears out what its page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from differences.__main__ import main
from differences.harness import pages
from differences.harness.catalogue import NAMES, module, run
from differences.harness.experiment import Claim, Figure, Finding
from vgg16_spec.errors import BadInput

FOUND = Finding(
    (Figure("elements that differ", 3), Figure("largest", 0.12345)), (Claim("So.", True),)
)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_bears_out_its_page(name: str) -> None:
    finding = run(name)
    assert finding.figures
    assert finding.claims
    assert [claim.sentence for claim in finding.claims if not claim.holds] == []
    text = pages.page(name).read_text(encoding="utf-8")
    written = text.partition(pages.BEGIN)[2].partition(pages.END)[0]
    for figure in finding.figures:
        assert f"| {figure.name} | " in written
    for claim in finding.claims:
        assert f"- {claim.sentence}\n" in written
    assert pages.picture(name).exists() == (finding.draw is not None)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_its_title_and_ends_with_its_rule(name: str) -> None:
    text = pages.page(name).read_text(encoding="utf-8")
    assert text.startswith(f"# {module(name).TITLE}\n")
    _, rule, last = text.rpartition("\n## Rule\n\n")
    assert rule
    assert " ".join(last.split()).startswith(module(name).RULE)


def test_the_index_leads_to_every_page() -> None:
    index = (pages.FOLDER / "index.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"[{module(name).TITLE}]({pages.page(name).name}) | {module(name).RULE} |" in index
    others = {path.name for path in pages.FOLDER.glob("*.md")} - {"index.md"}
    assert others == {pages.page(name).name for name in NAMES}


def test_a_claim_that_does_not_hold_is_not_written() -> None:
    false = Finding(FOUND.figures, (Claim("The moon is made of cheese.", False),))
    before = pages.page(NAMES[0]).read_bytes()
    with pytest.raises(BadInput, match="was not borne out: The moon is made of cheese"):
        pages.write(NAMES[0], false)
    assert pages.page(NAMES[0]).read_bytes() == before


def test_a_page_keeps_what_was_not_measured() -> None:
    text = f"# T\n\n{pages.BEGIN}\nold\n{pages.END}\n\n## Rule\n\nR.\n"
    new = pages.rewritten(text, "new", Path("p"))
    assert new == text.replace("old", "new")
    with pytest.raises(BadInput, match="has no measured part"):
        pages.rewritten("# T\n", "new", Path("p"))


def test_figures_are_shown_as_whole_numbers_or_three_digits() -> None:
    assert [figure.text for figure in FOUND.figures] == ["3", "0.123"]
    assert Figure("n", 138357544).text == "138,357,544"
    assert Figure("n", 1.5e-7, "of the largest").text == "1.5e-07 of the largest"


def test_an_experiment_that_does_not_exist_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err
