"""Makes pages of the notebooks: a MkDocs hook.

A notebook becomes the Markdown that the other pages are written in, so that its code and figures
look like theirs and load nothing from elsewhere. Nothing is run: outputs are those in the file.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

# Pictures among a cell's outputs -> their file's ending.
_PICTURES: Final = {"image/png": ".png", "image/jpeg": ".jpg", "image/svg+xml": ".svg"}
# Longer than any run of backticks that a cell prints.
_FENCE: Final = "`````"

Pictures = dict[str, bytes]


class _Notebook(File):
    """A notebook, which MkDocs would only copy."""

    def is_documentation_page(self) -> bool:
        return True


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put a page, and a file for each of its figures, in the place of each notebook."""
    for file in list(files):
        if not file.src_uri.endswith(".ipynb"):
            continue
        text, pictures = page(json.loads(file.content_string), file.src_uri.removesuffix(".ipynb"))
        files.remove(file)
        # Under the notebook's own address, so that links to it hold.
        files.append(_Notebook.generated(config, file.src_uri, content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, name, content=content))
    return files


def page(notebook: dict[str, Any], stem: str) -> tuple[str, Pictures]:
    """A notebook as Markdown, and the contents of its figures by their addresses.

    ``stem`` is the notebook's address without its ending; figures lie beside it.
    """
    parts: list[str] = []
    pictures: Pictures = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code" and source.strip():
            parts.append(_fenced(source, "python"))
            parts += [_output(output, stem, pictures) for output in _joined(cell["outputs"])]
    return "\n\n".join(part for part in parts if part) + "\n", pictures


def _joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A cell's outputs; what it printed in pieces is one."""
    joined: list[dict[str, Any]] = []
    for output in outputs:
        if output["output_type"] == "stream" and joined and joined[-1]["output_type"] == "stream":
            joined[-1]["text"] += "".join(output["text"])
        elif output["output_type"] == "stream":
            joined.append({"output_type": "stream", "text": "".join(output["text"])})
        else:
            joined.append(output)
    return joined


def _output(output: dict[str, Any], stem: str, pictures: Pictures) -> str:
    if output["output_type"] == "stream":
        return _fenced("".join(output["text"]), "text")
    data = output.get("data", {})
    for kind, ending in _PICTURES.items():
        if kind in data:
            name = f"{stem}-{len(pictures) + 1}{ending}"
            content = "".join(data[kind])
            svg = kind == "image/svg+xml"
            pictures[name] = content.encode() if svg else base64.b64decode(content)
            return f"![]({name.rpartition('/')[2]})"
    for kind in ("text/markdown", "text/html"):
        if kind in data:
            return "".join(data[kind])
    return _fenced("".join(data["text/plain"]), "text") if "text/plain" in data else ""


def _fenced(text: str, language: str) -> str:
    return f"{_FENCE}{language}\n{text.rstrip()}\n{_FENCE}"
