"""A harmless challenger is taken back with at most the chance that was asked for, however often one looks; and each entity counts once."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillars.config_rollout import Judge
from pillars.deployment.evidence import Count, Tally, baseline, event_of, is_bad, tally
from pillars.deployment.judge import excluded, guard, judge, log_e
from pillars.vocabulary import Event, Release, Stage, Trial

NEVER = math.log(300)  # three metrics at 1 %
POLICY = Judge(entities=10)
NEW = Release("small", 2, "2" * 64, "releases/small/v2-22222222")


def trial(*weights_bp: int, mode: Any = "canary", latency_ms: float | None = 100.0, ceilings: dict[str, float] | None = None) -> Trial:
    stages = tuple(Stage(place, weight, "2026-01-01T00:00:00+00:00") for place, weight in enumerate(weights_bp, start=1))
    return Trial(NEW, mode, "salt", stages, latency_ms, ceilings or {})


def event(entity: str, arm: Any, at: float = 0.0, generation: int = 1, error: bool = False, **more: Any) -> Event:
    return Event(entity, arm, at, generation, error, **{"latency_ms": 5.0, "score": 0.5, **more})


def counted(on: Trial, events: list[Event], policy: Judge = POLICY) -> Tally:
    return tally(policy, on, events, (0.0, 1.0))


def of(found: Tally, metric: str) -> list[tuple[int, int, float]]:
    return [(c.challenger, c.champion, c.share) for c in found.counts if c.metric == metric]


# ---- the test


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9, 0.9999])
@pytest.mark.parametrize("n", [1, 7, 400])
def test_the_e_value_of_no_harm_is_one_on_average(share: float, n: int) -> None:
    """What makes it a test that may be looked at always: a martingale that starts at 1."""
    from scipy.stats import binom

    bad = np.arange(n + 1)
    assert np.sum(np.exp(binom.logpmf(bad, n, share) + log_e(bad, n - bad, share))) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9])
def test_the_e_value_grows_with_bad_and_falls_with_good(share: float) -> None:
    n = 3000
    bad = np.arange(n + 1)
    e = log_e(bad, n - bad, share)
    assert np.all(np.diff(e)[e[1:] > 0] > 0)
    assert np.all(np.diff(e) > -0.2), "below 0 the tail is bounded, not computed"


@pytest.mark.parametrize("n", [10, 3_000, 10_000_000])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5, 0.9])
def test_a_challenger_that_is_better_is_never_harmful(share: float, n: int) -> None:
    for bad in (0, int(share * n * 0.5)):
        assert log_e(bad, n - bad, share) < 1e-9


def test_the_tail_agrees_with_the_integral_where_that_can_still_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is taken where the mass underflows; the same figures, with the mass at hand."""
    import scipy.special

    counts = [(0, 60, 0.5), (3, 300, 0.1), (0, 800, 0.05)]
    exact = [float(log_e(*c)) for c in counts]
    real = scipy.special.betaincc
    monkeypatch.setattr(scipy.special, "betaincc", lambda a, b, x: np.where(np.asarray(a + b) > PRIOR_ONLY, 0.0, real(a, b, x)))
    bounded = [float(log_e(*c)) for c in counts]
    assert all(e <= b < e + 0.15 for e, b in zip(exact, bounded, strict=True)), (exact, bounded)


PRIOR_ONLY = 11.0


def test_a_factor_of_harm_is_excluded_by_the_same_test_from_the_other_side() -> None:
    policy = Judge(exclude=2.0, alpha=0.01)

    def held(x: int, y: int) -> bool:
        return excluded(policy, Tally((Count("error", x, y, 0.5),), 1, 1, ((0, 0, 0), (0, 0, 0)), ("error",)), "error")

    assert held(100, 100)
    assert not held(5, 5), "too little to exclude anything"
    assert not held(200, 100), "harm by two"
    assert not held(0, 0)


# ---- what counts


def test_an_entity_counts_once_by_its_first_bad_event() -> None:
    events = [event("a", "champion", at, error=True) for at in (3.0, 4.0, 5.0)]
    events += [event("a", "challenger", 9.0, generation=2, error=True), event("b", "challenger", 6.0, generation=2, error=True)]
    assert of(counted(trial(100, 1000), events), "error") == [(0, 1, 0.01), (1, 0, 0.1)]


def test_an_error_is_neither_slow_nor_out_of_range() -> None:
    failed = event("a", "challenger", error=True, latency_ms=5000.0, score=None)
    assert [is_bad(m, failed, 100.0, (0, 1)) for m in ("error", "latency", "score", "wrong")] == [True, False, False, False]


@pytest.mark.parametrize(
    ("metric", "change", "bad"),
    [
        pytest.param("latency", {"latency_ms": 100.0}, False, id="at the limit"),
        pytest.param("latency", {"latency_ms": 100.1}, True, id="slow"),
        pytest.param("latency", {"latency_ms": math.nan}, True, id="no time"),
        pytest.param("latency", {"latency_ms": None}, False, id="nobody waited"),
        pytest.param("score", {"score": 1.0}, False, id="at the end"),
        pytest.param("score", {"score": 1.01}, True, id="too high"),
        pytest.param("score", {"score": math.nan}, True, id="NaN"),
        pytest.param("score", {"score": None}, True, id="none"),
        pytest.param("wrong", {"wrong": None}, False, id="outcome unknown"),
        pytest.param("wrong", {"wrong": True}, True, id="wrong"),
    ],
)
def test_what_a_bad_event_is(metric: Any, change: dict[str, Any], bad: bool) -> None:
    assert is_bad(metric, event("a", "challenger", **change), 100.0, (0.0, 1.0)) is bad


EVENTS = st.builds(
    event,
    st.sampled_from("abcdefgh"),
    st.sampled_from(["champion", "challenger"]),
    st.integers(0, 30).map(float),
    st.integers(0, 4),
    st.booleans(),
    latency_ms=st.sampled_from([5.0, 500.0]),
    score=st.sampled_from([0.5, 7.0, None]),
    wrong=st.sampled_from([None, True, False]),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(EVENTS, max_size=40, unique_by=lambda e: (e.entity, e.at)), st.randoms(use_true_random=False), st.sampled_from([500, 10_000])
)
def test_neither_order_nor_repeats_of_the_log_matter(events: list[Event], dice: random.Random, last_bp: int) -> None:
    policy = Judge(metrics=("error", "latency", "score", "wrong"))
    on = trial(100, 200, last_bp, ceilings={"error": 0.1, "wrong": 0.3})
    shuffled = [*events, *events[: len(events) // 2]]
    dice.shuffle(shuffled)
    assert counted(on, shuffled, policy) == counted(on, events, policy)


@settings(deadline=None, max_examples=60)
@given(st.lists(EVENTS, max_size=40))
def test_no_entity_counts_twice(events: list[Event]) -> None:
    found = counted(trial(100, 200, 500), events)
    for metric in found.judged:
        assert sum(x + y for x, y, _ in of(found, metric)) <= len({e.entity for e in events})


def test_requests_from_before_the_trial_do_not_count() -> None:
    assert counted(trial(100), [event("a", "challenger", generation=0, error=True)]).counts == ()


def test_an_outcome_that_comes_later_is_seen_at_the_next_look() -> None:
    policy = Judge(metrics=("wrong",))
    early = event("a", "challenger", 1.0)
    assert counted(trial(1000), [early], policy).counts == ()
    assert of(counted(trial(1000), [early, replace(early, wrong=True)], policy), "wrong") == [(1, 0, 0.1)]


def test_of_a_shadow_only_what_differs_from_the_champion_counts() -> None:
    events = [event(e, arm, 1.0, error=True) for e in "ab" for arm in ("champion", "shadow")]  # both failed
    events += [event("c", "champion", 2.0), event("c", "shadow", 2.0, error=True), event("d", "shadow", 3.0, error=True)]  # d: not asked
    found = counted(trial(10_000, mode="shadow"), events)
    assert of(found, "error") == [(1, 0, 0.5)]
    assert "latency" not in found.judged
    assert (found.challenger, found.champion, found.alone) == (4, 3, False)


def test_with_the_whole_traffic_an_entity_counts_by_its_first_request() -> None:
    events = [event("a", "challenger", 1.0), event("a", "challenger", 2.0, error=True), event("b", "challenger", 1.0, error=True)]
    assert of(counted(trial(10_000, mode="blue-green", ceilings={"error": 0.02}), events), "error") == [(1, 1, 0.02)]


def test_limits_come_from_the_champion_before_and_none_from_too_little() -> None:
    few = [event(str(n), "champion", error=n % 50 == 0, latency_ms=float(n)) for n in range(100)]
    assert baseline(POLICY, few, (0, 1)) == (None, {})
    many = [event(str(n), "champion", error=n % 50 == 0, latency_ms=float(n)) for n in range(1000)]
    latency_ms, ceilings = baseline(POLICY, [*many, event("x", "challenger", latency_ms=9e9)], (0, 1))
    assert latency_ms is not None
    assert 985 <= latency_ms <= 995
    assert set(ceilings) == {"error", "latency", "score"}
    assert 0.02 < ceilings["error"] < 0.05
    batch = [event(str(n), "champion", latency_ms=None) for n in range(1000)]
    assert baseline(POLICY, batch, (0, 1))[0] is None, "nobody waited for a batch"
    named = Judge(latency_ms=7.0, ceilings={"error": 0.5})
    assert baseline(named, few, (0, 1)) == (7.0, {"error": 0.5})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"entity": 7}, "another type", id="entity a number"),
        pytest.param({"arm": "both"}, "no arm", id="no such arm"),
        pytest.param({"error": 1}, "another type", id="error a number"),
        pytest.param({"at": True}, "another type", id="time a flag"),
        pytest.param({"at": math.inf}, "no time", id="time infinite"),
        pytest.param({"generation": 1.5}, "another type", id="half a generation"),
        pytest.param({"score": "high"}, "another type", id="score a text"),
        pytest.param({"latency_ms": "5"}, "another type", id="latency a text"),
    ],
)
def test_a_row_that_is_no_event_is_refused(change: dict[str, Any], problem: str) -> None:
    row = {"entity": "a", "arm": "champion", "at": 1.5, "generation": 3, "error": False, "latency_ms": 2}
    assert event_of(row) == Event("a", "champion", 1.5, 3, False, 2.0)
    with pytest.raises(ValueError, match=problem):
        event_of(row | change)
    with pytest.raises(ValueError, match="entity is missing"):
        event_of({name: value for name, value in row.items() if name != "entity"})


# ---- the verdict


def served(n: int, bad: int, bad_there: int = 0, arm: Any = "challenger") -> list[Event]:
    both = [event(f"x{i}", arm, float(i), error=i < bad) for i in range(n)]
    return both + [event(f"y{i}", "champion", float(i), error=i < bad_there) for i in range(n)]


@pytest.mark.parametrize(
    ("events", "baked", "health", "said"),
    [
        pytest.param(
            [], True, "inconclusive", "too few entities served at this share (challenger 0, champion 0; 10 needed)", id="no traffic"
        ),
        pytest.param(served(10, 0)[:10], True, "inconclusive", "champion 0", id="nobody to compare with"),
        pytest.param(served(10, 0), False, "inconclusive", "not watched for its time yet", id="too short"),
        pytest.param(served(10, 0), True, "healthy", "10 entities served", id="enough and long enough"),
        pytest.param(served(100, 12), False, "harmful", "error: 12 of 12 entities count against the challenger, 1.2 by chance", id="harm"),
        pytest.param(served(100, 0, 50), True, "healthy", "100 entities served", id="the champion is the bad one"),
    ],
)
def test_a_look_has_one_of_three_answers(events: list[Event], baked: bool, health: str, said: str) -> None:
    found = judge(POLICY, counted(trial(1000), events), baked)
    assert found.health == health
    assert said in found.reason


def test_a_trial_that_nothing_can_be_judged_by_is_inconclusive() -> None:
    found = judge(POLICY, counted(trial(10_000, mode="blue-green"), served(50, 0)), True)
    assert (found.health, found.e) == ("inconclusive", {})


def test_harm_must_be_excluded_where_that_is_asked_for() -> None:
    policy = Judge(entities=10, metrics=("error",), exclude=3.0)
    few = counted(trial(5000), served(100, 2, 2), policy)
    assert "harm by 3 is not excluded yet" in judge(policy, few, True).reason
    assert judge(policy, counted(trial(5000), served(1000, 60, 60), policy), True).health == "healthy"


@pytest.mark.parametrize(
    ("recent", "struck"),
    [
        pytest.param(((20, 11, 5), (20, 0, 0)), True, id="most failed"),
        pytest.param(((20, 10, 5), (20, 0, 0)), False, id="half is not most"),
        pytest.param(((19, 19, 9), (20, 0, 0)), False, id="too few"),
        pytest.param(((20, 20, 4), (20, 0, 0)), False, id="few entities with trouble of their own"),
        pytest.param(((20, 20, 9), (20, 11, 9)), False, id="the champion fails, too"),
        pytest.param(((20, 20, 9), (0, 0, 0)), True, id="nobody else there"),
    ],
)
def test_the_guard_strikes_on_catastrophes_alone(recent: Any, struck: bool) -> None:
    found = Tally((), 50, 50, recent, ("error",))
    assert bool(guard(POLICY, found)) is struck
    assert (judge(POLICY, found, True).health == "harmful") is struck


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_broken_challenger_is_found_after_a_handful_of_entities(share: float) -> None:
    bad = next(n for n in range(1, 50) if log_e(n, 0, share) >= NEVER)
    assert bad <= {0.1: 6, 0.5: 16}[share]
