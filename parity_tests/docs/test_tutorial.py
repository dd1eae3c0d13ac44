"""The tutorial in its two languages: complete, the same code, and its outputs those of a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from parity_tests.support.pages import notebooks
from parity_tests.support.pages.notebooks import ANY_NETWORK, CHINESE, ENGLISH

LARGEST_NOTEBOOK: Final = 900 * 1024

# The tutorial's headings, in both languages, and a word of the code below each.
CHAPTERS: Final = (
    ("The paper: section 2.1 and Table 1", "论文：第 2.1 节与表 1", "PUBLISHED_MILLIONS"),
    ("Parameters and multiply-adds, by hand", "手算参数量与乘加次数", "D.multiply_adds"),
    ("Receptive fields", "感受野", "receptive_fields"),
    ("Why 3 × 3", "为什么用 3 × 3", "stacked"),
    ("Keras: the Sequential model", "Keras：Sequential 模型", "keras.Sequential("),
    ("Keras: the functional model", "Keras：函数式模型", "keras.Model("),
    ("PyTorch", "PyTorch", "nn.Module"),
    ("The model as a picture", "模型结构图", ""),
    ("Preprocessing", "预处理", "preprocess("),
    ("The same weights in three models", "三个模型，同一份权重", "load_state_dict"),
    ("Feature maps, block by block", "逐块查看特征图", "imshow(difference"),
    ("How far apart", "差多少", "rms("),
    ("Porting fc1: wrong, then right", "移植 fc1：错误与正确的做法", "weight.T"),
    ("Export to ONNX", "导出 ONNX", "export_onnx("),
    ("The parity table", "一致性对照表", "run_parity("),
    ("What pretrained weights change", "预训练权重会改变什么", "PUBLISHED"),
    ("Where to go next", "接下来", ""),
)

EVERY: Final = pytest.mark.parametrize(
    "path", [ENGLISH, CHINESE, ANY_NETWORK], ids=["English", "Chinese", "any network"]
)
BOTH: Final = pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=["English", "Chinese"])


def headings(path: Path) -> list[str]:
    texts = (cell.source for cell in notebooks.read(path).cells if cell.cell_type == "markdown")
    return [line for text in texts for line in re.findall(r"^## (.*)$", text, re.MULTILINE)]


def texts(path: Path) -> str:
    cells = notebooks.read(path).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def chapters(path: Path) -> list[list[NotebookNode]]:
    """The cells of code below each heading; those before the first are left out."""
    found: list[list[NotebookNode]] = []
    for cell in notebooks.read(path).cells:
        if cell.cell_type == "markdown":
            found += [[] for _ in re.findall(r"^## ", cell.source, re.MULTILINE)]
        elif found:
            found[-1].append(cell)
    return found


def test_both_languages_have_the_same_cells_of_code_at_the_same_places() -> None:
    english, chinese = (notebooks.read(path).cells for path in (ENGLISH, CHINESE))
    assert [cell.cell_type for cell in english] == [cell.cell_type for cell in chinese]
    for ours, theirs in zip(english, chinese, strict=True):
        assert ours.id == theirs.id
        if ours.cell_type == "code":
            assert ours.source == theirs.source
            assert ours.outputs == theirs.outputs


def test_every_chapter_is_there_in_both_languages_with_the_code_that_does_it() -> None:
    for path, column in ((ENGLISH, 0), (CHINESE, 1)):
        expected = [f"{n}. {chapter[column]}" for n, chapter in enumerate(CHAPTERS, 1)]
        assert headings(path) == expected
    for (title, _, word), cells in zip(CHAPTERS, chapters(ENGLISH), strict=True):
        assert word in "\n".join(cell.source for cell in cells), title


def test_both_languages_name_the_same_commands_files_and_numbers() -> None:
    # Words of the one language aside, what stands in code, in tables and in links is the same.
    for pattern in (r"`([^`\n]+)`", r"\]\(([^)]+)\)", r"^vgg16 \S+ ?\S*", r"\b\d[\d.,]*\d\b"):
        found = [set(re.findall(pattern, texts(path), re.MULTILINE)) for path in (ENGLISH, CHINESE)]
        assert found[0], pattern
        # Chinese counts in units of a hundred million: 1.85 billion is 18.5 of them.
        assert found[0] ^ found[1] <= {"1.85", "18.5"}, pattern


@BOTH
def test_links_lead_to_files_that_are_there(path: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", texts(path)) if "://" not in link]
    assert "pictures/vgg16-volumes.png" in links
    assert all((path.parent / link).is_file() for link in links), links


@BOTH
def test_the_chinese_is_in_the_text_and_not_in_code_or_pictures(path: Path) -> None:
    assert bool(re.search("[\u4e00-\u9fff]", texts(path))) == (path == CHINESE)
    assert all(cell.source.isascii() for cell in notebooks.code(notebooks.read(path)))


@EVERY
def test_committed_outputs_are_small_and_of_no_machine(path: Path) -> None:
    assert path.stat().st_size < LARGEST_NOTEBOOK
    for cell in notebooks.code(notebooks.read(path)):
        assert all(
            len(picture) <= notebooks.LARGEST_PICTURE for picture in notebooks.pictures(cell)
        ), cell.id
        kinds = {(output.output_type, output.get("name")) for output in cell.outputs}
        assert kinds <= {("stream", "stdout"), ("display_data", None)}, cell.id
        text = "".join(output.get("text", "") for output in cell.outputs)
        assert not re.search(r"(?<![\w.])/\w|\\\\|[A-Z]:\\", text), f"a path in {cell.id}"
        assert not re.search(r"0x[0-9a-f]{6,}|\d:\d\d\b|20\d\d-|(?i:warning)|\d ?m?s\b", text)


@EVERY
def test_a_notebook_is_normalised_as_it_is_committed(path: Path) -> None:
    # Without the pictures: another version of the encoder may write other bytes.
    committed, again = notebooks.read(path), notebooks.normalised(notebooks.read(path))
    for notebook in (committed, again):
        for cell in notebooks.code(notebook):
            for output in cell.outputs:
                output.pop("data", None)
    assert again == committed


def test_pictures_are_shown_where_they_are_announced() -> None:
    shown = {
        cell.id for cell in notebooks.code(notebooks.read(ENGLISH)) if notebooks.pictures(cell)
    }
    drawn = {
        cell.id for cell in notebooks.code(notebooks.read(ENGLISH)) if "plt.show()" in cell.source
    }
    assert shown == drawn
    assert len(shown) >= 7


def test_measured_numbers_are_compared_without_their_digits_and_facts_with_them() -> None:
    text = "R  0.24, 1.2e-05, 6,450, 2/2\n"
    output = NotebookNode(output_type="stream", name="stdout", text=text)  # type: ignore[no-untyped-call]
    cell = new_code_cell("", outputs=[output])  # type: ignore[no-untyped-call]
    assert notebooks.printed(cell) == text
    cell.metadata["tags"] = [notebooks.MEASURED]
    assert notebooks.printed(cell) == "R #, #, #, 2/2\n"


def notebook_of(source: str, folder: Path) -> Path:
    path = folder / "one.ipynb"
    notebook = new_notebook(cells=[new_code_cell(source)])  # type: ignore[no-untyped-call]
    notebooks.write(notebook, path)
    return path


@pytest.mark.slow
def test_a_run_keeps_what_is_printed_and_drops_what_differs_between_runs(tmp_path: Path) -> None:
    source = (
        "import sys, vgg16_spec\n"
        "print('I0000 00:00 a log line of TensorFlow', file=sys.stderr)\n"
        "print('fact')\n"
    )
    (cell,) = notebooks.run(notebook_of(source, tmp_path)).cells
    assert notebooks.printed(cell) == "fact\n"
    assert len(cell.outputs) == 1
    assert cell.execution_count is None
    assert not cell.metadata


@pytest.mark.slow
def test_a_warning_of_a_run_stays_where_the_tests_see_it(tmp_path: Path) -> None:
    source = "import warnings; warnings.warn('something is old')"
    (cell,) = notebooks.run(notebook_of(source, tmp_path)).cells
    assert "something is old" in cell.outputs[0].text


@pytest.mark.slow
def test_a_cell_that_raises_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="AssertionError"):
        notebooks.run(notebook_of("assert 1 == 2", tmp_path))


@pytest.mark.slow
def test_a_run_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(CellTimeoutError):
        notebooks.run(notebook_of("import time; time.sleep(60)", tmp_path), seconds=3)


def test_both_languages_show_the_same_outputs() -> None:
    """Their code is the same, too: what a run of one shows is what a run of the other would."""
    english, chinese = (notebooks.code(notebooks.read(path)) for path in (ENGLISH, CHINESE))
    for ours, theirs in zip(english, chinese, strict=True):
        assert notebooks.printed(theirs) == notebooks.printed(ours), ours.id
        assert len(notebooks.pictures(theirs)) == len(notebooks.pictures(ours)), ours.id


@pytest.mark.full
@pytest.mark.weekly
@pytest.mark.usefixtures("full")
def test_the_tutorial_runs_from_top_to_bottom_and_shows_what_is_committed() -> None:
    committed, again = notebooks.read(ENGLISH), notebooks.run(ENGLISH)
    for ours, theirs in zip(notebooks.code(committed), notebooks.code(again), strict=True):
        assert notebooks.printed(theirs) == notebooks.printed(ours), ours.id
        assert len(notebooks.pictures(theirs)) == len(notebooks.pictures(ours)), ours.id
        assert {output.output_type for output in theirs.outputs} <= {"stream", "display_data"}
