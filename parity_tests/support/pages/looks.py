"""What a page says and how it looks, for the tests of every report's page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image as Pillow
from PIL import ImageStat

if TYPE_CHECKING:
    from playwright.sync_api import Browser


class Text(HTMLParser):
    """The text that a page shows, and the addresses that it names."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def complaints(
    browser: Browser,
    file: Path,
    width: int,
    scheme: str,
    *,
    table: str,
    columns: Sequence[int],
    seen: Sequence[str],
) -> list[str]:
    """What is wrong with a page in the browser.

    ``table`` selects what must not scroll sideways, of which the ``columns`` must be on the screen;
    of each selector in ``seen`` the first must be visible.
    """
    found: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    tab = context.new_page()
    tab.on("console", lambda message: found.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: found.append(f"error: {error}"))
    requests: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(file.as_uri())
    found += [
        f"asks for {url[:80]}"
        for url in requests
        if url != file.as_uri() and not url.startswith("data:")
    ]
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    page_width = tab.evaluate("document.documentElement.scrollWidth")
    if page_width > width:
        found.append(f"{page_width} pixels wide on a screen of {width}")
    scroll = f"document.querySelector('{table} .scroll')"
    if tab.evaluate(f"(each => each.scrollWidth > each.clientWidth)({scroll})"):
        found.append(f"the table of {table} scrolls sideways")
    for column in columns:
        for cell in tab.locator(f"{table} tbody tr > :nth-child({column})").all():
            box = cell.bounding_box()
            if box is not None and not 0 <= box["x"] <= box["x"] + box["width"] <= width:
                found.append(f"{cell.inner_text()!r} of {table} is outside the screen")
    for name in seen:
        if not tab.locator(name).first.is_visible():
            found.append(f"no {name} can be seen")
    with Pillow.open(io.BytesIO(tab.screenshot(full_page=True))) as picture:
        colours = picture.convert("RGB").getcolors(maxcolors=2**24)
        if colours is None or len(colours) < 100:
            found.append("it looks empty")
        dark = ImageStat.Stat(picture.convert("L")).mean[0] < 128
    if dark != (scheme == "dark"):
        found.append(f"it is {'dark' if dark else 'light'}")
    context.close()
    return found
