"""What a drill calls held: each fault seen, found, and ended where it had to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click
import pytest

from flows import __main__ as command
from pillars.drill.faults import CONTROL, FAULTS, STRATEGIES, at_least, expected, false_alarms, holds, problems
from pillars.vocabulary import Drilled, Expected, Played

HARMFUL = Played("canary", "errors", Expected("taken back", "why"), "9 errors in the log", "judge: error", 1.5, 100, 7, "taken back")
CLEAN = Played("canary", CONTROL, Expected("harmless", "why"), "no fault", "", None, 100, 0, "promoted")
DIRECT = Played("direct", "errors", Expected("not judged", "why"))


def drilled(*plays: Played) -> Drilled:
    return Drilled("small", 7, plays, 1.0)


@pytest.mark.parametrize(
    ("played", "change", "said"),
    [
        pytest.param(HARMFUL, {}, "", id="found and taken back"),
        pytest.param(HARMFUL, {"injected": ""}, "not seen", id="a fault that nobody saw proves nothing"),
        pytest.param(HARMFUL, {"end": "promoted"}, "ended promoted", id="harm that was promoted"),
        pytest.param(HARMFUL, {"end": "taken back without a verdict"}, "ended taken back without", id="harm that only time took back"),
        pytest.param(HARMFUL, {"end": ""}, "nowhere", id="no end"),
        pytest.param(HARMFUL, {"seconds": None}, "nobody noticed", id="taken back, and nobody knows by whom"),
        pytest.param(HARMFUL, {"unsafe": ("2 stand twice",)}, "2 stand twice", id="unsafe"),
        pytest.param(CLEAN, {"fault": "registry down", "end": "taken back"}, "a good release", id="a good release taken back"),
        pytest.param(CLEAN, {"fault": "clock jump", "end": "taken back without a verdict"}, "", id="its time was over"),
        pytest.param(CLEAN, {"end": "taken back"}, "", id="a clean run is counted, not blamed"),
        pytest.param(DIRECT, {}, "", id="nobody judges"),
    ],
)
def test_what_does_not_hold_of_a_play_is_said(played: Played, change: dict[str, Any], said: str) -> None:
    found = problems(replace(played, **change))
    assert bool(found) == bool(said)
    assert not said or said in "; ".join(found)


def test_false_alarms_are_those_of_clean_runs_that_somebody_judged() -> None:
    taken = replace(CLEAN, end="taken back")
    direct = replace(CLEAN, strategy="direct", end="answers")
    assert false_alarms([CLEAN, taken, taken, direct, HARMFUL]) == (2, 3)


@pytest.mark.parametrize(("alarms", "clean", "held"), [(0, 10, True), (1, 10, True), (2, 10, False), (1, 1, True), (2, 2, False)])
def test_more_false_alarms_than_luck_allows_are_a_failure(alarms: int, clean: int, held: bool) -> None:
    plays = [replace(CLEAN, end="taken back")] * alarms + [CLEAN] * (clean - alarms)
    assert holds(drilled(*plays), alpha=0.01) == held


def test_a_drill_holds_where_all_its_plays_do() -> None:
    assert holds(drilled(HARMFUL, CLEAN, DIRECT), alpha=0.01)
    assert not holds(drilled(HARMFUL, CLEAN, replace(HARMFUL, injected="")), alpha=0.01)


def test_a_binomial_tail() -> None:
    assert at_least(0, 5, 0.3) == 1
    assert at_least(2, 2, 0.5) == pytest.approx(0.25)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_an_outcome_under_every_strategy(strategy: Any, fault: Any) -> None:
    wanted = expected(strategy, fault, labelled=True)
    assert wanted.why
    if fault in ("errors", "wrong scores", "late labels", "unit change"):
        assert wanted.outcome == ("not judged" if strategy == "direct" else "taken back")
    if fault == "latency":
        assert wanted.outcome == {"direct": "not judged", "shadow": "harmless"}.get(strategy, "taken back")


def test_of_numbers_nothing_is_wrong() -> None:
    assert expected("canary", "wrong scores", labelled=False).outcome == "not judged"
    assert expected("canary", "errors", labelled=False).outcome == "taken back"


def test_the_command_offers_the_whole_catalogue() -> None:
    given = {one.name: one.type for one in command.drill.params}
    strategies, faults = given["strategies"], given["faults"]
    assert isinstance(strategies, click.Choice)
    assert isinstance(faults, click.Choice)
    assert list(strategies.choices) == list(STRATEGIES)
    assert list(faults.choices) == [fault for fault in FAULTS if fault != CONTROL]
