"""Where files are kept that can be made or fetched again."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

from vgg16_spec.errors import BadInput


def cache_folder() -> Path:
    """The folder of everything that is kept: ``VGG16_CACHE``, or the platform's cache folder."""
    chosen = os.environ.get("VGG16_CACHE")
    return Path(chosen) if chosen else user_cache_path("vgg16", appauthor=False)


def check_own_file(path: Path) -> None:
    """Raise ``BadInput`` where anything but a file of its own is in a file's place in the cache.

    To write there would write where a link leads, and to read a pipe would wait for its writer.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        problem = "is a link" if path.is_symlink() else "is not a regular file"
        raise BadInput(path, f"{problem}, in the cache folder", "a file, or nothing")


def ensure_folder(folder: Path) -> Path:
    """The folder, which is there now.

    Raises ``BadInput`` where it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"the cache folder cannot be made ({error.strerror})"
        raise BadInput(folder, problem, "a writable folder in VGG16_CACHE") from error
    return folder
