"""Markdown: tables, their cells, and the section that says how a page was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vgg16_spec.text import visible

ABSENT = "–"
MB = 1e6
GB = 1e9


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """A table of Markdown, its columns after the first ``words`` aligned to the right."""
    rule = ["---"] * words + ["---:"] * (len(header) - words)
    escaped = ([visible(cell).replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *escaped))


def number(value: float | None, digits: int = 2, scale: float = 1) -> str:
    """A figure in units of ``scale``, or a dash where it was not measured."""
    return ABSENT if value is None else f"{value / scale:.{digits}f}"


def ratio(figure: float | None, unit: float | None) -> float | None:
    """One figure over another, where both were measured."""
    return figure / unit if figure is not None and unit else None


def provenance(command: str, facts: Mapping[str, str], level: int = 2) -> str:
    """The section that ends a page: the command, the machine and the versions."""
    listed = "\n".join(f"- {name}: {visible(fact)}" for name, fact in facts.items())
    return f"{'#' * level} How this was measured\n\n```sh\n{command}\n```\n\n{listed}"


def page(parts: Iterable[str]) -> str:
    """Parts of Markdown as one text; empty ones are left out."""
    return "\n\n".join(part for part in parts if part) + "\n"
