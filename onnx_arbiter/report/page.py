"""What every report's page is made with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def page_environment(*packages: str) -> Environment:
    """Jinja for the ``templates`` of packages, which can include those of `onnx_arbiter.report`.

    Of two templates of one name, that of the package named first is used.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    names = dict.fromkeys((*packages, "onnx_arbiter.report"))
    return Environment(
        loader=ChoiceLoader([PackageLoader(name, "templates") for name in names]),
        autoescape=True,  # others chose the names of files, packages and layers
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
