"""A file that its reader does not survive is refused, and looked at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgg16_weights import first_reading
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


@pytest.mark.parametrize(
    ("size", "memory", "seconds"),
    [
        (1, 1_100_000_000, 15),
        (120_000_000, 1_100_000_000, 25),
        (600_000_000, 1_100_000_000, 60),
        (2_000_000_000, 2_500_000_000, 60),
    ],
)
def test_it_may_take_its_size_or_a_networks_and_half_a_gigabyte_and_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, memory: int, seconds: int
) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.truncate(size)  # it takes no room
    limits: list[dict[str, float]] = []
    monkeypatch.setattr(first_reading, "run_apart", lambda *_, **given: limits.append(given))
    check_readable(counting, tmp_path / "f", 3)
    (given,) = limits
    assert (given["memory"], round(given["seconds"])) == (memory, seconds)
