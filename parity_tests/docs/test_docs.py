"""The pages' links and commands work; the site is complete and loads nothing from other hosts."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from typer.main import get_command

import vgg16_weights
from parity_tests.support.pages import chromium
from vgg16_parity.cli.app import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted({*DOCS.rglob("*.md"), *DOCS.glob("*.ipynb")})
ALL = [*sorted(ROOT.glob("*.md")), ROOT / "vgg16_spec/images/photographs/README.md", *PAGES]
LINK = re.compile(r"\]\(([^)\s]+)\)")
# Widths of screens in pixels; scripts for the width of a page, and for its parts that are cut off.
PHONE, LAPTOP = 390, 1280
WIDTH = "document.documentElement.scrollWidth"
TABLES = ".md-typeset__scrollwrap"
CUT = """parts => [...document.querySelectorAll(parts)]
    .filter(part => part.scrollWidth > part.clientWidth + 1).map(part => part.innerText)"""


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    """A page's Markdown; of a notebook, that of its text cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def outside_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"(?ms)^(`{3,}).*?^\1$", "", text))


def anchors(path: Path) -> set[str]:
    """What a link can point to inside a page."""
    text = re.sub(r"(?ms)^(`{3,}).*?^\1$", "", prose(path))
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(path: Path) -> Iterator[list[str]]:
    """The words of every ``vgg16`` command in a page's shell blocks."""
    for block in re.findall(r"(?ms)^```sh\n(.*?)^```$", path.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and Path(words[0]).name == "vgg16":
                yield words[1:]


def loaded(name: str) -> ModuleType:
    """A hook of the site; the hooks are not a package."""
    spec = spec_from_file_location(f"site_{name}", DOCS / "site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entries(navigation: Any) -> Iterator[str]:
    """The pages of a navigation, in order."""
    if isinstance(navigation, str):
        yield navigation
    else:
        for part in navigation.values() if isinstance(navigation, dict) else navigation:
            yield from entries(part)


@pytest.mark.parametrize("path", ALL, ids=named)
def test_every_relative_link_and_picture_is_there(path: Path) -> None:
    for link in LINK.findall(outside_code(prose(path))):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https", link
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if DOCS in path.parents:
            assert target.is_relative_to(DOCS), f"{link} is not on the site"
        if parts.fragment:
            assert parts.fragment in anchors(target), link


def test_every_page_that_the_code_names_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    sources = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    pages = {
        page
        for path in sources
        for page in re.findall(r"\bdocs/[\w/.-]+\.(?:ipynb|md|png)", path.read_text("utf-8"))
    }
    assert "docs/measured/tolerance.md" in pages
    assert all((ROOT / page).is_file() for page in pages), pages


def test_every_page_is_in_the_navigation_once() -> None:
    config = pytest.importorskip("mkdocs.config", reason="the extra docs is not installed")
    listed = list(entries(config.load_config(str(ROOT / "mkdocs.yml")).nav))
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


@pytest.mark.parametrize(
    "path", [path for path in ALL if path.suffix == ".md" and any(commands(path))], ids=named
)
def test_every_command_of_a_page_is_one_that_the_command_line_takes(path: Path) -> None:
    for words in commands(path):
        command: Any = get_command(app)
        while hasattr(command, "commands"):
            name, *words = words
            assert name in command.commands, name
            command = command.commands[name]
        command.make_context(name, words)


def test_a_notebook_becomes_a_page_with_its_outputs_and_figures(tmp_path: Path) -> None:
    mkdocs = pytest.importorskip("mkdocs.config", reason="the extra docs is not installed")
    from mkdocs.structure.files import get_files

    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["printed\n"]},
        {"output_type": "stream", "name": "stdout", "text": ["more\n"]},
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": "UE5H"}},
        {"output_type": "display_data", "metadata": {}, "data": {"text/plain": ["2"]}},
    ]
    code = {"cell_type": "code", "id": "b", "metadata": {}, "execution_count": 1}
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# Title\n", "Words."]},
        code | {"source": ["1 + 1"], "outputs": outputs},
    ]
    metadata = {"language_info": {"name": "python"}}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    (tmp_path / "tutorial.zh.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    config = mkdocs.load_config(str(ROOT / "mkdocs.yml"), docs_dir=str(tmp_path))
    files = config.plugins.on_files(get_files(config), config=config)

    page = files.get_file_from_path("tutorial.zh.ipynb")
    assert page is not None
    assert page.is_documentation_page()
    blocks = [block for block in re.split(r"\n\n+", page.content_string.rstrip("\n")) if block]
    shown = "![Figure](tutorial.zh-figures/figure_1_2.png)"
    assert [block.strip() for block in blocks] == [
        *("# Title\nWords.", "```python\n1 + 1\n```", "printed\n    more", shown, "2"),
    ]
    drawn = files.get_file_from_path("tutorial.zh-figures/figure_1_2.png")
    assert drawn is not None
    assert drawn.content_bytes == b"PNG"


def test_formulas_are_drawn_without_a_script() -> None:
    pytest.importorskip("latex2mathml", reason="the extra docs is not installed")
    inline = '<p>is <span class="arithmatex">\\(C_1 &lt; 2\\)</span>.</p>'
    block = '<div class="arithmatex">\\[ r \\leftarrow j \\]</div>'
    html = loaded("formulas").on_page_content(inline + block)
    assert html.count("<math") == html.count("</math>") == 2
    assert 'display="inline"><mrow><msub><mi>C</mi><mn>1</mn></msub><mo>&#x0003C;</mo>' in html
    assert 'display="block"><mrow><mi>r</mi><mo>&#x02190;</mo><mi>j</mi></mrow>' in html
    assert "arithmatex" not in html


class Loads(HTMLParser):
    """Collects what a page loads and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if source := given.get("src"):
            self.loads.append(source)
        if address := given.get("href"):
            (self.links if tag == "a" else self.loads).append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere_and_its_links_lead_somewhere(site: Path) -> None:
    pages = sorted(path for path in site.rglob("*.html") if path.name != "404.html")
    assert len(pages) == len(PAGES) + len(list(DOCS.glob("measured/*.html")))
    for page in pages:
        parser = Loads()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.loads
        for address in parser.loads:
            assert urlsplit(address).scheme in ("", "data"), f"{page}: {address}"
        for address in (*parser.loads, *parser.links):
            parts = urlsplit(address)
            if not parts.scheme and parts.path:
                assert (page.parent / unquote(parts.path)).exists(), f"{page}: {address}"


@pytest.mark.slow
def test_the_reference_shows_every_parameter_and_no_markup(site: Path) -> None:
    pages = list((site / "reference").rglob("*.html"))
    assert len(pages) == len(list((DOCS / "reference").glob("*.md")))
    for path in pages:
        text = path.read_text(encoding="utf-8")
        left = re.findall(r"\b(?:Args|Attributes|Returns|Raises):\n|:(?:class|func|meth):", text)
        assert not left, f"{path}: {left}"
    page = (site / "reference" / "vgg16_weights" / "index.html").read_text(encoding="utf-8")
    section = page.partition('id="vgg16_weights.open_weights"')[2].partition("<h2")[0]
    for name in inspect.signature(vgg16_weights.open_weights).parameters:
        assert re.search(rf"<li[^>]*>.*?<code>{name}</code>", section, re.DOTALL), name


@pytest.mark.slow
def test_in_a_browser_tables_and_code_fit_and_no_other_host_is_asked(site: Path) -> None:
    if reason := chromium.missing():
        chromium.skip(reason)
    with chromium.browser() as browser:
        page = browser.new_page()
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        for path in sorted(site.rglob("*.html")):
            page.goto(path.as_uri())
            page.set_viewport_size({"width": PHONE, "height": 844})
            assert page.evaluate(WIDTH) <= PHONE, path.relative_to(site)
            page.set_viewport_size({"width": LAPTOP, "height": 844})
            # Messages of a program may be longer than any screen; tables and our own code are not.
            parts = TABLES if "tutorial" not in path.as_posix() else f"{TABLES}, pre > code"
            assert page.evaluate(CUT, parts) == [], path.relative_to(site)
    assert requested
    assert {urlsplit(url).scheme for url in requested} <= {"file", "data"}, requested
