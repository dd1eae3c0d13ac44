"""Every planted mistake breaks parity, at the stated layer and by the stated amount."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import pytest

from mistakes import in_keras, in_torch
from mistakes.catalogue import FRAMEWORKS, MISTAKES, Mistake, Port, judged
from parity_tests.support.helpers import PICTURES
from vgg16_parity.own_port import Arbiter
from vgg16_parity.records import Row
from vgg16_spec.checkpoint import Checkpoint

# At full size a mistake takes four seconds: the smallest ones, and one of each other kind, each in
# one framework; on the tiny network both frameworks have them all.
FULL: Final = (
    ("torch", None),
    pytest.param("keras", None, marks=pytest.mark.weekly),
    ("keras", "fc1 not permuted"),
    pytest.param("torch", "mean off by a level", marks=pytest.mark.weekly),
    pytest.param("torch", "bias off by 1e-3", marks=pytest.mark.weekly),
    pytest.param("keras", "weights in float16", marks=pytest.mark.weekly),
    pytest.param("torch", "dropout left on", marks=pytest.mark.weekly),
)
BUILDERS: Final[Mapping[str, Callable[[str], Port]]] = {
    "torch": in_torch.Port,
    "keras": in_keras.Port,
}
in_both: Final = pytest.mark.parametrize("framework", FRAMEWORKS)


class Bench:
    """An arbiter, and the model of each framework, made once."""

    def __init__(self, checkpoint: Checkpoint, pictures: int) -> None:
        self.pictures = PICTURES[:pictures]
        self.arbiter = Arbiter(checkpoint, self.pictures)
        self._ports: dict[str, Port] = {}
        self._rows: dict[tuple[str, str], Row] = {}

    def row(self, framework: str, mistake: Mistake) -> Row:
        """What is reported of a mistake, judged once."""
        key = (framework, mistake.name)
        if key not in self._rows:
            self._rows[key] = self.judge(framework, mistake)
        return self._rows[key]

    def judge(self, framework: str, mistake: Mistake | None) -> Row:
        """What is reported of a mistake, or of none."""
        if framework not in self._ports:
            self._ports[framework] = BUILDERS[framework](self.arbiter.checkpoint.configuration.name)
        return judged(self.arbiter, self._ports[framework], mistake, self.pictures)


@pytest.fixture(scope="module")
def bench(tiny: Checkpoint) -> Iterator[Bench]:
    made = Bench(tiny, len(PICTURES))
    yield made
    made.arbiter.close()


@pytest.fixture(scope="module")
def full_bench(full: Checkpoint) -> Iterator[Bench]:
    made = Bench(full, 1)
    yield made
    made.arbiter.close()


def check_named(row: Row, mistake: Mistake, configuration: str) -> None:
    """The row is broken by the mistake, names its layer and has the stated deviations."""
    assert row.status == "broken"
    assert row.first_wrong == mistake.named
    local, accumulated = (dict(row.verdicts(kind)) for kind in ("local", "accumulated"))
    first_wrong = next(tap for tap, verdict in accumulated.items() if not verdict.passed)
    assert first_wrong == mistake.shown
    wrong_locally = [tap for tap, verdict in local.items() if not verdict.passed]
    if mistake.layer:
        assert wrong_locally[0] == mistake.layer
        assert row.reason.startswith(f"{mistake.layer}, given the arbiter's input: ")
        found = local[mistake.layer].deviations
    else:
        assert not wrong_locally
        assert row.reason.startswith(f"from {mistake.shown} on: ")
        assert row.reason.endswith("though every layer is right given the arbiter's input")
        found = accumulated[mistake.shown].deviations
    # From there on the error is carried: no later tap may look right.
    after = list(accumulated)[list(accumulated).index(mistake.shown) :]
    assert not any(accumulated[tap].passed for tap in after)
    factor = mistake.tolerance.limit
    assert 1 / factor <= found / mistake.deviations[configuration] <= factor


@in_both
def test_a_model_without_a_mistake_holds_before_and_after_others(
    bench: Bench, framework: str
) -> None:
    assert bench.judge(framework, None).status == "holds"
    assert bench.judge(framework, MISTAKES["softmax"]).status == "broken"
    assert bench.judge(framework, MISTAKES["classes swapped"]).status == "broken"
    row = bench.judge(framework, None)
    assert (row.status, row.reason, row.first_wrong) == ("holds", "", "")


@in_both
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_breaks_parity_and_is_named(bench: Bench, framework: str, name: str) -> None:
    mistake = MISTAKES[name]
    check_named(bench.row(framework, mistake), mistake, "tiny")


@pytest.mark.full
@pytest.mark.parametrize(("framework", "name"), FULL)
def test_at_full_size_too(full_bench: Bench, framework: str, name: str | None) -> None:
    if name is None:
        assert full_bench.judge(framework, None).status == "holds"
    else:
        mistake = MISTAKES[name]
        check_named(full_bench.row(framework, mistake), mistake, "D")


@in_both
@pytest.mark.parametrize(
    "name",
    [name for name, mistake in MISTAKES.items() if mistake.layer and "every" not in mistake.what],
)
def test_a_mistake_in_one_layer_leaves_the_others_right_locally(
    bench: Bench, framework: str, name: str
) -> None:
    row = bench.row(framework, MISTAKES[name])
    wrong = [tap for tap, verdict in row.verdicts("local") if not verdict.passed]
    dropped = ["fc2", "predictions"] if name == "dropout left on" else []
    assert wrong == (dropped or [MISTAKES[name].layer])


@in_both
def test_logits_alone_show_every_mistake(bench: Bench, framework: str) -> None:
    for mistake in MISTAKES.values():
        row = bench.row(framework, mistake)
        logits = dict(row.verdicts("accumulated"))["predictions"]
        assert not logits.passed, mistake.name


def test_both_frameworks_have_the_same_mistakes() -> None:
    computed = {name for name, m in MISTAKES.items() if m.reweight is None and m.recipe is None}
    for changes in (in_torch.CHANGES, in_keras.CHANGES):
        assert set(changes) == computed
    for mistake in MISTAKES.values():
        assert set(mistake.deviations) == {"tiny", "D"}


def test_a_model_that_nothing_is_planted_in_is_not_judged_broken_by_a_name(bench: Bench) -> None:
    nothing = Mistake("nothing", "nothing", "", "", {})
    assert bench.row("torch", nothing).status == "holds"
