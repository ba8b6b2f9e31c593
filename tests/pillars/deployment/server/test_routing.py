from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillars.deployment.server import routing

SALT = b"rollout-7"
KEYS = [f"entity {n}".encode() for n in range(20_000)]
PLACES = [routing.bucket(key, SALT) for key in KEYS]


@pytest.mark.parametrize("weight", [0, 100, 1_000, 5_000, 10_000])
def test_shares_are_what_was_asked_for(weight: int) -> None:
    share = sum(routing.challenger(place, [weight]) == 0 for place in PLACES) / len(PLACES)
    assert share == pytest.approx(weight / 10_000, abs=0.01)


@given(st.integers(0, 5_000), st.integers(0, 5_000), st.integers(0, 5_000), st.integers(0, 5_000))
def test_whoever_was_in_stays_while_shares_grow(one: int, more: int, other: int, others: int) -> None:
    before = [min(one, more), min(other, others)]
    after = [max(one, more), max(other, others)]
    for place in range(0, 10_000, 37):
        was = routing.challenger(place, before)
        assert was in (-1, routing.challenger(place, after))


def test_two_challengers_never_share_an_entity_and_leave_the_rest() -> None:
    seats = [routing.challenger(place, [3_000, 2_000]) for place in range(10_000)]
    assert [seats.count(arm) for arm in (0, 1, -1)] == [3_000, 2_000, 5_000]


def test_another_salt_draws_anew() -> None:
    half = [routing.bucket(key, SALT) < 5_000 for key in KEYS]
    again = [routing.bucket(key, b"rollout-8") < 5_000 for key in KEYS]
    assert sum(a == b for a, b in zip(half, again, strict=True)) / len(KEYS) == pytest.approx(0.5, abs=0.02)


def test_the_place_of_an_entity_is_the_same_everywhere() -> None:
    assert routing.bucket(b"passenger 1", SALT) == 4376


@pytest.mark.parametrize(
    ("one", "other"), [pytest.param(["a", "bc"], ["ab", "c"], id="cut elsewhere"), pytest.param([1], [2], id="numbers")]
)
def test_other_values_are_another_entity(one: list[object], other: list[object]) -> None:
    assert routing.entity_of(one) != routing.entity_of(other)


def test_an_entity_without_one_of_its_values_is_none() -> None:
    assert routing.entity_of(["UA", None]) is None
