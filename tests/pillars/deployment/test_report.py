"""The report of a trial: each request once, each arm by itself, a shadow against the champion on the same requests."""

from __future__ import annotations

import pytest

from pillars.config_rollout import Judge
from pillars.deployment.report import report, share
from tests.pillars.deployment.test_judge import event, trial

POLICY = Judge(metrics=("error", "wrong"))


def test_each_arm_is_told_by_itself() -> None:
    events = [event("a", "champion", 1.0, latency_ms=10.0, score=0.2), event("a", "champion", 2.0, latency_ms=30.0, score=0.4)]
    events += [
        event("b", "challenger", 1.0, error=True),
        event("c", "challenger", 1.0, wrong=True),
        event("d", "challenger", 0.0, generation=0),
    ]
    told = report(POLICY, trial(1000), events, (0.0, 1.0))
    champion, challenger = told.arms
    assert (champion.arm, champion.requests, champion.entities, champion.mean_score) == ("champion", 2, 1, pytest.approx(0.3))
    assert champion.p50_ms == 20.0
    assert (challenger.requests, challenger.entities) == (2, 2)
    assert {m: s.value for m, s in challenger.bad.items()} == {"error": 0.5, "wrong": 1.0}, "wrong: of those whose outcome is known"
    assert "wrong" not in champion.bad


def test_a_row_that_comes_again_with_its_outcome_counts_once() -> None:
    events = [event("a", "champion", 1.0), event("a", "champion", 1.0, wrong=False), event("a", "champion", 1.0)]
    (champion,) = report(POLICY, trial(1000), events, (0.0, 1.0)).arms
    assert (champion.requests, champion.bad["wrong"].value) == (1, 0.0)


def test_a_shadow_is_told_by_slice_the_farthest_first() -> None:
    events = []
    for n, (name, gap) in enumerate([("UA", 0.1), ("UA", 0.3), ("AA", 0.0)]):
        events += [event(str(n), "champion", 1.0, score=0.5, slice=name), event(str(n), "shadow", 1.0, score=0.5 + gap, slice=name)]
    events.append(event("alone", "shadow", 1.0, score=0.9, slice="AA"))
    told = report(POLICY, trial(10_000, mode="shadow"), events, (0.0, 1.0))
    assert [(d.slice, d.pairs, round(d.mean, 9), round(d.most, 9)) for d in told.divergence] == [("UA", 2, 0.2, 0.3), ("AA", 1, 0.0, 0.0)]


def test_an_interval_of_a_share_stays_between_nothing_and_all() -> None:
    """Wilson 1927; the figures of Newcombe 1998, table I."""
    assert (round(share(81, 263).low, 4), round(share(81, 263).high, 4)) == (0.2553, 0.3662)
    assert (round(share(0, 20).low, 4), round(share(0, 20).high, 4)) == (0.0, 0.1611)
    assert share(5, 5).high == 1.0


def test_nothing_is_told_of_nobody() -> None:
    assert report(POLICY, trial(1000), [], (0.0, 1.0)).arms == ()
