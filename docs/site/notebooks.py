"""Makes Markdown pages of the notebooks with nbconvert: a MkDocs hook.

Markdown gets what every other page has: links that MkDocs checks, the theme's code blocks, formulas
without a script. No cell is run: a page shows the outputs that are in the notebook.
"""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor


class _Notebook(File):
    """A notebook as a page; MkDocs would only copy it."""

    def is_documentation_page(self) -> bool:
        return True


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace each notebook by a page at the same address, and add the figures of its outputs."""
    # What a cell prints in pieces is one block of text.
    exporter = MarkdownExporter(preprocessors=[CoalesceStreamsPreprocessor])  # type: ignore[no-untyped-call]
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        figures = f"{file.src_uri.removesuffix('.ipynb')}-figures"
        resources: dict[str, Any] = {"unique_key": "figure", "output_files_dir": figures}
        text, resources = exporter.from_filename(str(file.abs_src_path), resources)
        files.remove(file)
        page = text.replace("![png](", "![Figure](")
        files.append(_Notebook.generated(config, file.src_uri, content=page))
        for name, content in resources["outputs"].items():
            files.append(File.generated(config, name, content=content))
    return files
