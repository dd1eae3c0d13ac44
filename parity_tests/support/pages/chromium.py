"""A browser to look at a page with: the system's Chromium, by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def missing() -> str:
    """Why no page can be looked at here; empty where one can."""
    if find_spec("playwright") is None:
        return "Playwright is not installed"
    return "" if _executable() else "there is no Chromium on the PATH"


def skip(reason: str) -> NoReturn:
    """Skip a test for want of a browser; where one is required, that is a failure."""
    if os.environ.get("VGG16_REQUIRE_CHROMIUM") == "1":
        pytest.fail(f"VGG16_REQUIRE_CHROMIUM=1, but {reason}")
    pytest.skip(reason=reason)


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Its sandbox does not start as root, as in most containers.
        arguments = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=_executable(), args=arguments)
        try:
            yield opened
        finally:
            opened.close()


def _executable() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)
