"""The command: what it tries again, when it stops, and its exit status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cosmic_ray")

from benchmarks.mutants import __main__ as command
from benchmarks.mutants.changes import Change, Key
from benchmarks.mutants.rooms import ROOMS, Room, nearest
from benchmarks.mutants.survivors import LISTED
from benchmarks.mutants.trial import Outcome
from vgg16_spec.errors import BadInput

_PROJECT = Path(__file__).resolve().parents[3]

# What becomes of a change -> the changes that were tried.
Tries = Callable[[Callable[[Key], Outcome]], list[Key]]


@pytest.fixture
def tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tries:
    """Twenty changes of one module, with outcomes of the test's choice."""
    (tmp_path / "toy").mkdir()
    numbers = "".join(f"x{number} = {number}\n" for number in range(10, 20))
    (tmp_path / "toy" / "a.py").write_text(numbers)
    (tmp_path / LISTED).parent.mkdir(parents=True)
    (tmp_path / LISTED).touch()
    (tmp_path / "build" / "mutants" / "toy").mkdir(parents=True)
    monkeypatch.setattr(command, "_PROJECT", tmp_path)
    monkeypatch.setattr(command, "ROOMS", {"toy": Room("toy", ())})

    def outcomes(of: Callable[[Key], Outcome]) -> list[Key]:
        tried: list[Key] = []

        class Trial:
            def __init__(self, *arguments: Any, near: bool) -> None:
                pass

            def outcome(self, change: Change) -> Outcome:
                tried.append(change.key)
                return of(change.key)

        monkeypatch.setattr(command, "Trial", Trial)
        return tried

    return outcomes


def noticed(key: Key) -> Outcome:
    return Outcome.NOTICED


def none(key: Key) -> Outcome:
    return Outcome.SURVIVED


def all_but_one(key: Key) -> Outcome:
    return Outcome.SURVIVED if key.now == "x13 = 14" else Outcome.NOTICED


def test_a_larger_sample_goes_on_from_a_smaller_one(
    tries: Tries, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = tries(noticed)
    assert command.main(["toy", "--sample", "3"]) == 0
    assert "100.0% of 3 changes" in capsys.readouterr().out
    assert command.main(["toy", "--sample", "8"]) == 0
    assert "100.0% of 8 changes" in capsys.readouterr().out
    assert len(set(tried)) == len(tried) == 8
    assert command.main(["toy"]) == 0
    assert "100.0% of 20 changes" in capsys.readouterr().out
    assert len(set(tried)) == len(tried) == 20


def test_a_run_whose_time_is_up_counts_what_it_tried(
    tries: Tries, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = tries(noticed)
    for count in (1, 1):
        assert command.main(["toy", "--minutes", "0"]) == 0
        assert f"of {count} changes" in capsys.readouterr().out
    assert len(tried) == 1


def test_what_near_tests_notice_is_kept_apart(
    tries: Tries, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = tries(noticed)
    for options in (["--near"], [], ["--near"]):
        assert command.main(["toy", "--sample", "4", *options]) == 0
    assert len(tried) == 8
    assert len(set(tried)) == 4


def test_a_survivor_fails_a_whole_run_until_it_is_listed(
    tries: Tries, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tries(all_but_one)
    # One in twenty: a sample may miss as many.
    assert command.main(["toy", "--sample", "20"]) == 0
    capsys.readouterr()
    assert command.main(["toy"]) == 1
    captured = capsys.readouterr()
    assert "`toy/a.py:4 in x13: x13 = 13 -> x13 = 14`" in captured.out
    assert captured.err.splitlines()[-1] == (
        "1 changes survived that benchmarks/mutants/survivors.toml does not list"
    )
    (tmp_path / LISTED).write_text(
        '[[survivor]]\nfile = "toy/a.py"\nwhere = "x13"\nwas = "x13 = 13"\nnow = "x13 = 14"\n'
        'why = "unused"\n'
    )
    assert command.main(["toy"]) == 0


def test_too_many_survivors_fail_a_sample(tries: Tries) -> None:
    tries(none)
    assert command.main(["toy", "--sample", "5"]) == 1


def test_bad_input_is_one_line(
    tries: Tries, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(key: Key) -> Outcome:
        raise BadInput("test_toy.py", "fails without a change")

    tries(broken)
    assert command.main(["toy"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "test_toy.py: fails without a change"
    (tmp_path / LISTED).write_text("survivor")
    assert command.main(["toy"]) == 2


def test_every_room_is_drawn_weekly() -> None:
    workflow = (_PROJECT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert f"room: [{', '.join(ROOMS)}]\n" in workflow


def test_every_room_has_modules_and_tests() -> None:
    for room in ROOMS.values():
        modules = list(room.modules(_PROJECT))
        assert modules
        assert all((_PROJECT / module).is_file() for module in modules)
        tests = room.test_files(_PROJECT)
        assert tests
        assert all((_PROJECT / name).is_file() for name in tests)


@pytest.mark.parametrize(
    ("module", "near"),
    [
        (
            "room/inner/a.py",
            ["parity_tests/room/inner/test_a.py", "parity_tests/room/inner/test_b.py"],
        ),
        ("room/c.py", ["parity_tests/room/test_c.py", "parity_tests/other/test_c.py"]),
        # The folder above, where there is none of its own.
        ("room/deep/er/d.py", ["parity_tests/room/test_c.py"]),
    ],
)
def test_the_nearest_tests_mirror_the_module(module: str, near: list[str]) -> None:
    tests = [
        *("parity_tests/room/inner/test_a.py", "parity_tests/room/inner/test_b.py"),
        *("parity_tests/room/test_c.py", "parity_tests/other/test_c.py"),
    ]
    found, others = nearest(tests, module)
    assert found == near
    assert others == [name for name in tests if name not in near]
