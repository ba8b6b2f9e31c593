"""The bench of rollouts takes a short cut through arrays; it must come to what the judge itself says of the same requests."""

from __future__ import annotations

import pytest

from bench import rollout
from pillars.config_rollout import Judge
from pillars.deployment.evidence import tally
from pillars.deployment.judge import judge
from pillars.vocabulary import Event, Release, Stage, Trial


def harmful(canary: rollout.Canary, looks: list[int]) -> list[bool]:
    """What the judge itself says after so many requests."""
    stages = tuple(Stage(place, weight, "") for place, weight in enumerate(canary.weights_bp, start=1))
    on = Trial(Release("p", 2, "2", "r"), "canary", "s", stages, latency_ms=100.0)
    events = [
        Event(
            str(canary.entity[at]),
            "challenger" if canary.challenger[at] else "champion",
            float(at),
            int(canary.stage[at]) + 1,
            bool(canary.bad[0, at]),
            500.0 if canary.bad[1, at] else 1.0,
            7.0 if canary.bad[2, at] else 0.5,
        )
        for at in range(len(canary.entity))
    ]
    found = []
    for until in looks:
        then = Trial(on.challenger, on.mode, on.salt, stages[: events[until - 1].generation], on.latency_ms)
        found.append(judge(Judge(), tally(Judge(), then, events[:until], (0.0, 1.0)), True).health == "harmful")
    return found


@pytest.mark.parametrize("population", ["few", "many"])
@pytest.mark.parametrize("harm", [1.0, 5.0, 60.0])
@pytest.mark.parametrize("shares", rollout.SHARES)
def test_the_short_cut_agrees_with_the_judge(population: str, harm: float, shares: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "REQUESTS", 3_000)
    monkeypatch.setattr(rollout, "ENTITIES", 500)
    canary = rollout.POPULATIONS[population](rollout.SHARES[shares], 0.02, harm, 3)
    canary.bad[1:] &= ~canary.bad[0]  # an error is neither slow nor out of range
    found = rollout.ours(canary, 0.02)
    end = rollout.REQUESTS if found is None else found
    assert not any(harmful(canary, [*range(100, end, 100), end]))
    assert found is None or harmful(canary, [found + 1]) == [True]


def test_a_small_bench_prints_a_line_for_every_judge(capsys: pytest.CaptureFixture[str]) -> None:
    rollout.main(["--clean", "2", "--harmful", "1", "--rates", "0.05"])
    out = capsys.readouterr().out
    assert out.count("ours ") == out.count("window ") == 2 * 2 * 5
