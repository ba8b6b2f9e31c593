"""The controller: whatever looks, pins and clocks come, one champion answers, shares only grow, and what harmed does not come back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillars.config_rollout import Rollout as Policy
from pillars.deployment import rollout
from pillars.vocabulary import Judgement, Pin, Release, Rest, Rollout

START = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW, NEWER = (Release("small", n, str(n) * 64, f"releases/small/v{n}") for n in (1, 2, 3))
NOW = Rollout("small", 7, OLD, (), "direct", "v1 is better")
CANARY = Policy.model_validate(
    {
        "strategy": "canary",
        "steps": [{"share": 0.05, "bake_min": 10}, {"share": 0.5, "bake_min": 20}],
        "timeout_min": 60,
        "bake_min": 50,
        "cooldown_min": 90,
    }
)
HEALTHY, HARMFUL, OPEN = Judgement("healthy", "all fine"), Judgement("harmful", "error: 9 of 9"), Judgement("inconclusive", "too few")


def policy(**changes: Any) -> Policy:
    return Policy.model_validate({**CANARY.model_dump(), **changes})


def tried(of: Policy = CANARY, now: Rollout = NOW, release: Release = NEW, at: datetime = START) -> Rollout:
    return written(rollout.begun(of, now, release, at, 250.0, {"error": 0.02}))


def written(now: Rollout) -> Rollout:
    """As the traffic file numbers it."""
    return replace(now, generation=now.generation + 1)


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def test_a_trial_begins_at_the_first_share_beside_the_champion() -> None:
    now = tried()
    assert now.trial is not None
    assert (now.champion, now.trial.challenger, now.trial.mode) == (OLD, NEW, "canary")
    assert [(s.generation, s.weight_bp) for s in now.trial.stages] == [(8, 500)]
    assert (now.trial.latency_ms, now.trial.ceilings) == (250.0, {"error": 0.02})


@pytest.mark.parametrize("release", [OLD, NEW], ids=["the champion", "the one on trial"])
def test_a_trial_of_who_is_there_already_changes_nothing(release: Release) -> None:
    now = tried()
    assert rollout.begun(CANARY, now, release, after(5), None, {}) is now


def test_every_trial_deals_the_entities_anew_and_a_repeat_alike() -> None:
    first, again, later = tried(), tried(at=after(3)), tried(now=written(NOW))
    assert first.trial
    assert again.trial
    assert later.trial
    assert first.trial.salt == again.trial.salt != later.trial.salt


def test_a_healthy_challenger_goes_from_share_to_share_and_becomes_champion() -> None:
    now = written(rollout.advanced(CANARY, tried(), HEALTHY, after(10)))
    assert now.trial
    assert [(s.generation, s.weight_bp) for s in now.trial.stages] == [(8, 500), (9, 5000)]
    end = rollout.advanced(CANARY, now, HEALTHY, after(40))
    assert (end.champion, end.previous, end.trial) == (NEW, (OLD,), None)


def test_a_harmful_one_is_taken_back_whatever_the_step() -> None:
    back = rollout.advanced(CANARY, tried(), HARMFUL, after(1))
    assert (back.champion, back.trial, back.rest) == (OLD, None, Rest(after(91).isoformat(), (NEW.sha256,)))
    assert back.reason == "v2 harms: error: 9 of 9"


def test_inconclusive_is_not_healthy_and_ends_when_its_time_is_over() -> None:
    now = tried()
    assert rollout.advanced(CANARY, now, OPEN, after(59)) is now
    back = rollout.advanced(CANARY, now, OPEN, after(60))
    assert (back.champion, back.trial) == (OLD, None)
    assert back.rest == Rest(after(150).isoformat(), ()), "it did no harm that anybody saw"


def test_a_clock_that_goes_back_neither_bakes_nor_ends_anything() -> None:
    now = tried()
    assert now.trial
    assert not rollout.baked(CANARY, now.trial, after(-100))
    assert rollout.advanced(CANARY, now, OPEN, after(-100)) is now


def test_bake_time_is_counted_from_the_share_in_force() -> None:
    second = written(rollout.advanced(CANARY, tried(), HEALTHY, after(10)))
    assert second.trial
    assert [rollout.baked(CANARY, second.trial, after(m)) for m in (29, 30)] == [False, True]


@pytest.mark.parametrize("strategy", ["blue-green", "shadow", "ab"])
def test_every_strategy_has_one_share_and_its_end(strategy: str) -> None:
    of = policy(strategy=strategy)
    now = tried(of)
    assert now.trial
    assert [s.weight_bp for s in now.trial.stages] == [5000 if strategy == "ab" else 10_000]
    end = rollout.advanced(of, now, HEALTHY, after(59))
    assert (end.champion, end.trial) == ((OLD if strategy == "ab" else NEW), None)
    assert rollout.advanced(policy(strategy=strategy, then="promote"), now, HEALTHY, after(59)).champion == NEW
    assert rollout.advanced(of, now, HARMFUL, after(1)).champion == OLD


def test_steps_edited_meanwhile_go_on_from_the_share_in_force() -> None:
    now, edited = tried(), policy(steps=[{"share": 0.2, "bake_min": 30}])
    assert now.trial
    assert [rollout.baked(edited, now.trial, after(m)) for m in (29, 30)] == [False, True]
    wider = rollout.advanced(edited, now, HEALTHY, after(31))
    assert wider.trial
    assert wider.trial.stages[-1].weight_bp == 2000
    assert rollout.advanced(policy(strategy="direct"), now, HEALTHY, after(31)).trial is not None, "a trial keeps its strategy"


PIN = Pin(1, "ann", START.isoformat(), "audit")


@pytest.mark.parametrize("verdict", [HEALTHY, HARMFUL, OPEN])
def test_a_pin_is_left_alone(verdict: Judgement) -> None:
    now = rollout.held(tried(), OLD, PIN, 3)
    assert now.trial is None
    assert rollout.advanced(CANARY, now, verdict, after(600)) is now
    assert "v1 is pinned by ann: audit" in rollout.allowed(now, NEW, after(600), by_hand=True).reason
    assert rollout.held(now, OLD, replace(PIN, at="later"), 3) is now, "a repeat"
    assert rollout.allowed(rollout.let_go(now, "ann", "done"), NEW, after(600), by_hand=False)


def test_a_pin_on_another_version_gives_it_all_traffic_and_keeps_the_way_back() -> None:
    now = rollout.held(replace(NOW, champion=NEW, previous=(OLD,)), OLD, PIN, 3)
    assert (now.champion, now.previous) == (OLD, (NEW,))


def test_after_something_was_taken_back_automation_rests_and_never_brings_it_again() -> None:
    back = written(rollout.advanced(CANARY, tried(), HARMFUL, after(1)))
    assert "nothing by itself before" in rollout.allowed(back, NEWER, after(90), by_hand=False).reason
    assert rollout.allowed(back, NEWER, after(91), by_hand=False)
    assert "was taken back before" in rollout.allowed(back, NEW, after(10_000), by_hand=False).reason
    assert rollout.allowed(back, NEW, after(2), by_hand=True), "a person may"


def test_one_trial_at_a_time() -> None:
    assert "v2 is on trial" in rollout.allowed(tried(), NEWER, START, by_hand=False).reason
    assert rollout.allowed(tried(), NEW, START, by_hand=False)


@pytest.mark.parametrize(
    ("verdict", "minutes", "told"),
    [
        pytest.param(HEALTHY, 10, ("rollout", "accept"), id="wider"),
        pytest.param(HARMFUL, 10, ("rollout", "refuse"), id="harm"),
        pytest.param(OPEN, 60, ("rollout", "inconclusive"), id="no verdict"),
    ],
)
def test_what_goes_on_record_is_told_by_the_traffic_alone(verdict: Judgement, minutes: float, told: tuple[str, str]) -> None:
    before = tried()
    assert rollout.told(before, rollout.advanced(CANARY, before, verdict, after(minutes))) == told


ACTS = st.lists(st.tuples(st.sampled_from(["look", "deploy", "pin", "unpin"]), st.integers(0, 2), st.integers(-5, 80)), max_size=40)


@settings(deadline=None)
@given(ACTS, st.sampled_from(["canary", "blue-green", "shadow", "ab"]))
def test_whatever_comes_there_is_one_champion_and_shares_only_grow(acts: list[tuple[str, int, int]], strategy: str) -> None:
    of, now, at = policy(strategy=strategy), NOW, START
    for act, which, minutes in acts:
        at += timedelta(minutes=minutes)
        release = (OLD, NEW, NEWER)[which]
        if act == "look":
            then = rollout.advanced(of, now, (HEALTHY, HARMFUL, OPEN)[which], at)
        elif act == "deploy":
            then = rollout.begun(of, now, release, at, None, {}) if rollout.allowed(now, release, at, by_hand=False) else now
        elif act == "pin":
            then = rollout.held(now, release, replace(PIN, version=release.version), 3)
        else:
            then = rollout.let_go(now, "ann", "done")
        assert then.generation == now.generation, "the file counts, nobody else"
        assert then.champion not in then.previous
        assert len(set(then.previous)) == len(then.previous)
        assert then.trial is None or (then.trial.challenger != then.champion and then.pin is None)
        if then.champion != now.champion:
            assert act == "pin" or (act == "look" and now.trial is not None and then.champion == now.trial.challenger and which == 0)
        if now.pin is not None:
            assert then is now or act in ("pin", "unpin")
        if then.trial and now.trial and then.trial != now.trial:
            weights = [stage.weight_bp for stage in then.trial.stages]
            assert weights == sorted(set(weights))
            assert then.trial.stages[:-1] == now.trial.stages
        now = now if then == now else written(then)


def test_a_release_that_proved_worse_goes_back_whole_and_is_not_tried_again_by_itself() -> None:
    now = replace(NOW, champion=NEW, previous=(OLD, NEWER), trial=tried().trial)
    back = rollout.reverted(CANARY, now, "v2 is surely worse", datetime(2013, 4, 1))
    assert (back.champion, back.previous, back.trial, back.reason) == (OLD, (NEWER,), None, "v2 is surely worse")
    assert back.rest == Rest("2013-04-01T01:30:00", (NEW.sha256,))
    assert rollout.told(now, back) == ("rollout", "refuse")
    assert not rollout.allowed(back, NEW, datetime(2014, 1, 1), by_hand=False)
    assert rollout.allowed(back, NEW, datetime(2014, 1, 1), by_hand=True)
    assert rollout.reverted(CANARY, replace(now, pin=Pin(2, "me", "", "why")), "", START).champion == NEW
    assert rollout.reverted(CANARY, replace(now, previous=()), "", START).champion == NEW


def test_rest_ends_by_the_clock_that_it_began_by() -> None:
    rows = replace(NOW, rest=Rest("2013-04-01T01:30:00"))
    assert rollout.resting(rows, datetime(2013, 4, 1, 1))
    assert not rollout.resting(rows, datetime(2013, 4, 1, 2))
    assert not rollout.resting(rows, START), "the wall clock is years ahead"


def test_who_looks_by_another_clock_begins_with_what_it_saw_first() -> None:
    trial = tried(at=datetime(2013, 4, 1)).trial
    assert trial is not None
    assert rollout.timed(trial, datetime(2013, 4, 2)) is trial
    assert rollout.timed(trial, START).stages[-1].since == START.isoformat(timespec="seconds")
    assert not rollout.baked(CANARY, rollout.timed(trial, START), after(9))
    assert rollout.baked(CANARY, rollout.timed(trial, START), after(10))


def test_forth_is_a_trials_end_and_nothing_else() -> None:
    now = tried()
    end = replace(now, champion=NEW, previous=(OLD,), trial=None)
    assert rollout.forth(now, end)
    assert not rollout.forth(end, replace(end, champion=OLD, previous=()))
    assert not rollout.forth(None, NOW)
