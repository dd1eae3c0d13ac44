from __future__ import annotations

import pytest

pytest.importorskip("cosmic_ray")

from benchmarks.mutants.changes import Key
from benchmarks.mutants.report import Result, failures, summary
from benchmarks.mutants.trial import Outcome


def results(noticed: int, survived: int, outcome: Outcome = Outcome.SURVIVED) -> list[Result]:
    return [
        Result(
            Key("a.py", "f", f"x = {number}", "x = 0"),
            number,
            Outcome.NOTICED if number < noticed else outcome,
        )
        for number in range(noticed + survived)
    ]


def test_results_survive_being_written() -> None:
    for result in results(1, 1, Outcome.UNREACHED):
        assert Result.read(result.written()) == result


@pytest.mark.parametrize("outcome", [Outcome.SURVIVED, Outcome.UNREACHED])
def test_fewer_than_nine_in_ten_fail(outcome: Outcome) -> None:
    assert failures(results(9, 1, outcome), {}, whole=False) == []
    found = failures(results(89, 11, outcome), {}, whole=False)
    assert found == ["fewer than 90% of the changes were noticed"]


def test_one_that_times_out_is_noticed() -> None:
    assert failures(results(0, 9, Outcome.TIMED_OUT), {}, whole=True) == []


def test_a_whole_run_is_held_to_the_list() -> None:
    tried = results(99, 1)
    assert failures(tried, {tried[-1].key}, whole=True) == []
    assert failures(tried, {tried[0].key}, whole=True) == [
        "1 changes survived that benchmarks/mutants/survivors.toml does not list"
    ]


def test_the_page_counts_and_gives_each_survivor_its_reason() -> None:
    tried = results(7, 3)
    text = summary("room", tried, {tried[-1].key: "it changes nothing"})
    # Wilson's interval: (7 + z²/2 ± z √(7 * 3 / 10 + z²/4)) / (10 + z²), z = 1.96.
    assert "70.0% of 10 changes were noticed (95 % interval: 39.7% to 89.2%)." in text
    assert "| noticed | 7 |" in text
    assert "| survived | 3 |" in text
    assert "- `a.py:8 in f: x = 8 -> x = 0`  \n  not listed" in text
    assert "- `a.py:9 in f: x = 9 -> x = 0`  \n  it changes nothing" in text
    assert "x = 6 ->" not in text
