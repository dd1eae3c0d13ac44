"""What every report's page is made with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def page_environment(package: str) -> Environment:
    """Jinja for a package's ``templates``, which can include those of `onnx_arbiter.report`."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    packages = dict.fromkeys((package, "onnx_arbiter.report"))
    return Environment(
        loader=ChoiceLoader([PackageLoader(name, "templates") for name in packages]),
        autoescape=True,  # others chose the names of files, packages and layers
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
