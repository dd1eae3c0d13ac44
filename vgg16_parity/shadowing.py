"""Other people's folders and files that are imported in place of this project's."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from vgg16_spec.errors import BadInput

_OURS = Path(__file__).resolve().parent.parent / "export"


def require_own_export() -> None:
    """Check, without running it, that ``import export`` finds this project's package.

    Its name is a common one: a user's own ``export/`` or ``export.py`` in the current folder, or on
    ``PYTHONPATH``, is found first. Call this before a lazy import of ``export``.

    Raises:
        BadInput: naming the file that shadows the package.
    """
    spec = find_spec("export")
    found = spec.origin if spec is not None and spec.origin else "export"
    if Path(found).resolve().parent != _OURS:
        expected = "no other export/ or export.py in the current folder or on PYTHONPATH"
        raise BadInput(found, "shadows this project's package export", expected)
