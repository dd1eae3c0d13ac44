"""The committed list of changes that may survive."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray")

from benchmarks.mutants.changes import Key
from benchmarks.mutants.rooms import ROOMS
from benchmarks.mutants.survivors import LISTED, listed
from vgg16_spec.errors import BadInput

_PROJECT = Path(__file__).resolve().parents[3]
_ENTRY = '[[survivor]]\nfile = "a.py"\nwhere = "f"\nwas = "x = 1"\nnow = "x = 2"\nwhy = "unused"\n'


def test_an_entry_names_a_change_and_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "survivors.toml"
    path.write_text(_ENTRY)
    assert listed(path) == {Key("a.py", "f", "x = 1", "x = 2"): "unused"}


@pytest.mark.parametrize("broken", [_ENTRY.replace("why", "because"), f"{_ENTRY}line = 1\n"])
def test_an_entry_with_other_fields_is_refused(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "survivors.toml"
    path.write_text(broken)
    with pytest.raises(BadInput, match="expected file, where, was, now, why"):
        listed(path)


def test_a_list_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "survivors.toml"
    with pytest.raises(BadInput, match="No such file"):
        listed(path)
    path.write_text("[[survivor]")
    with pytest.raises(BadInput, match="line 1"):
        listed(path)


def test_no_entry_is_stale() -> None:
    entries = listed(_PROJECT / LISTED)
    assert entries
    rooms = {module for room in ROOMS.values() for module in room.modules(_PROJECT)}
    for key, reason in entries.items():
        assert Path(key.file) in rooms
        source = (_PROJECT / key.file).read_text(encoding="utf-8")
        assert key.was in " ".join(source.split()), key
        assert key.where.rpartition(".")[2] in source, key
        assert key.now != key.was
        assert reason
