"""Of several sets of weights the usual one is read, or a key is asked for."""

from __future__ import annotations

import pytest

from parity_tests.support.weights.layers import (
    PLAIN,
    read,
    refusal,
    under,
)


@pytest.mark.parametrize("main", ["state_dict", "model_state_dict", "model", "net", "params"])
@pytest.mark.parametrize("other", ["state_dict_ema", "ema", "momentum"])
def test_the_usual_set_is_read_and_the_others_are_named(main: str, other: str) -> None:
    both = under(f"{other}/", PLAIN) | under(f"{main}/module.", PLAIN)
    found = read(both)
    assert set(found.keys.values()) == set(under(f"{main}/module.", PLAIN))
    assert f"others: `--key {other}`" in found.steps
    found = read(both, key=other)
    assert set(found.keys.values()) == set(under(f"{other}/", PLAIN))
    assert found.steps == (f"read under `{other}`",)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("student.", "teacher."),
        ("encoder_q.", "encoder_k."),
        ("state_dict/model.", "state_dict/ema_model."),
        ("generator/", "discriminator/"),
        ("", "teacher."),
        ("model/", "state_dict/"),
        ("module.student.", "module.teacher."),
    ],
)
def test_two_sets_without_a_usual_order_need_a_key(one: str, other: str) -> None:
    both = under(one, PLAIN) | under(other, PLAIN)
    message = refusal(both)
    assert "--key" in message
    assert other.strip("/") in message
    for key in (other, other.rstrip("./")):
        assert set(read(both, key=key).keys.values()) == set(under(other, PLAIN))


def test_an_unknown_key_is_refused_with_those_there_are() -> None:
    both = under("state_dict/", PLAIN) | under("ema/", PLAIN)
    message = refusal(both, key="state_dict_ema")
    assert "'state_dict_ema' is not among the file's keys; expected one of" in message
    assert "`state_dict`, `ema`" in message
    assert read(both, key="ema").steps == ("read under `ema`",)
    message = refusal(PLAIN, key="ema")
    assert message == (
        "--key: 'ema' is not among the file's keys; expected no --key: w does not have several "
        "sets of weights"
    )


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (3, "expected --key net_0 or --key net_1 or --key net_2"),
        (4, "expected one of --key net_0, --key net_1, --key net_2 and 1 more"),
    ],
)
def test_few_sets_are_listed_and_more_are_counted(count: int, expected: str) -> None:
    sets = [under(f"net_{number}/", PLAIN) for number in range(count)]
    several = {key: value for each in sets for key, value in each.items()}
    assert refusal(several) == f"w: it has several sets of weights; {expected}"
