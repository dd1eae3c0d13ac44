"""A file that its reader does not survive is refused, and looked at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgg16_weights.first_reading import check_readable


def counting(path: str, number: int) -> None:
    """Leaves a letter beside the file each time that it is read."""
    with Path(f"{path}.read").open("a") as seen:
        seen.write("x")
    if Path(path).stat().st_size > number:
        raise ValueError("it is too large")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "f").write_bytes(b"x")
    return tmp_path / "f"


def test_a_file_that_is_read_to_its_end_passes_and_is_read_once(file: Path) -> None:
    check_readable(counting, file, 3)
    check_readable(counting, file, 3)
    assert Path(f"{file}.read").read_text() == "x"


def test_a_file_that_changed_is_read_again(file: Path) -> None:
    check_readable(counting, file, 3)
    file.write_bytes(b"changed")
    with pytest.raises(ValueError, match="it is too large"):
        check_readable(counting, file, 3)
    assert Path(f"{file}.read").read_text() == "xx"
