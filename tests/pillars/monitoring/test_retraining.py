"""The policy retrains for its causes, never for drift alone, and says why."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillars.monitoring.alerts import alerts, fresh
from pillars.monitoring.retraining import verdict
from pillars.vocabulary import Drift, Scorecard, Verdict
from tests.pillars.monitoring.worlds import card, drift_of, project


def decide(policy: dict[str, Any], index: int = 1, **given: Any) -> Verdict:
    """The verdict on period 2013-02 of a project with a champion."""
    defaults: dict[str, Any] = {
        "history": (),
        "drift": None,
        "quality": None,
        "reference": None,
        "periods_since_promotion": 5,
        "champion": 1,
    }
    return verdict(project(retraining=policy), "2013-02", index, **(defaults | given))


@given(share=st.floats(0, 1), with_drift=st.booleans())
def test_drift_alone_never_retrains(share: float, with_drift: bool) -> None:
    seen = decide({"every": None, "loss_increase": 0.0, "with_drift": with_drift}, drift=drift_of(share))
    assert not seen.retrain


def test_without_a_champion_every_period_retrains() -> None:
    seen = decide({"every": None, "cooldown": 9}, champion=None, periods_since_promotion=0)
    assert seen.retrain
    assert seen.reason == "no champion yet"


@pytest.mark.parametrize(("every", "due"), [(1, [0, 1, 2, 3, 4, 5]), (2, [0, 2, 4]), (3, [0, 3]), (None, [])])
def test_the_schedule_counts_periods(every: int | None, due: list[int]) -> None:
    assert [i for i in range(6) if decide({"every": every}, index=i).retrain] == due


def test_a_loss_that_lies_above_the_reference_retrains() -> None:
    seen = decide({"every": None, "loss_increase": 0.02}, quality=card(0.53, low=0.521), reference=card(0.50, rows_of="2013-01"))
    assert seen.retrain
    assert seen.reason == "log_loss 0.5300 [0.5210, 0.5390] lies above 0.5000 (twin on 2013-01) + 0.0200"


@pytest.mark.parametrize(
    ("quality", "reference", "history"),
    [
        pytest.param(card(0.53, low=0.519), card(0.50), (), id="interval reaches below"),
        pytest.param(card(0.40), card(0.50), (), id="better"),
        pytest.param(None, card(0.50), (card(0.5),), id="no outcomes yet"),
        pytest.param(card(0.90), None, (), id="nothing to hold it against"),
        pytest.param(card(0.53, low=0.52), card(0.50), (card(0.1),), id="the twin comes before the mean"),
        pytest.param(Scorecard("v1", "2013-02", 9, 4, {}), card(0.50), (), id="no loss among the measures"),
    ],
)
def test_a_loss_that_is_not_surely_higher_keeps_the_model(quality: Scorecard | None, reference: Scorecard | None, history: Any) -> None:
    seen = decide({"every": None, "loss_increase": 0.02}, quality=quality, reference=reference, history=history)
    assert not seen.retrain
    assert seen.alarms == ()


def test_the_mean_of_earlier_losses_stands_in_for_a_twin() -> None:
    policy = {"every": None, "loss_increase": 0.02}
    assert decide(policy, quality=card(0.53, low=0.521), history=(card(0.48), card(0.52))).retrain
    assert not decide(policy, quality=card(0.53, low=0.521), history=(card(0.49), card(0.52))).retrain


@pytest.mark.parametrize(
    ("with_drift", "drift", "retrain"),
    [
        pytest.param(True, drift_of(0.5), True, id="drift halves it"),
        pytest.param(True, drift_of(0.4), False, id="too little drift"),
        pytest.param(True, None, False, id="no drift"),
        pytest.param(False, drift_of(1.0), False, id="switched off"),
    ],
)
def test_structural_drift_halves_the_increase_that_is_needed(with_drift: bool, drift: Drift | None, retrain: bool) -> None:
    policy = {"every": None, "loss_increase": 0.02, "with_drift": with_drift}
    assert decide(policy, drift=drift, quality=card(0.53, low=0.511), reference=card(0.50)).retrain is retrain


def test_the_cooldown_holds_against_every_cause() -> None:
    policy = {"every": 1, "loss_increase": 0.0, "cooldown": 2}
    causes: dict[str, Any] = {"quality": card(0.9, low=0.89), "reference": card(0.5)}
    decided = {n: decide(policy, periods_since_promotion=n, **causes) for n in (0, 1, 2, 3)}
    assert [n for n, seen in decided.items() if seen.retrain] == [3]
    assert decided[1].reason.startswith("cooldown of 2 holds, 1 period since the promotion; put off: scheduled every period; log_loss")
    assert decided[1].alarms  # put off is not out of sight


def test_no_cooldown_puts_nothing_off() -> None:
    assert decide({"every": 1, "cooldown": 0}, periods_since_promotion=0).retrain


def test_keeping_a_model_has_a_reason_too() -> None:
    assert decide({"every": 3}, index=1).reason == "next scheduled in 2; no realized loss to compare"
    drifted = decide({"every": None, "loss_increase": 0.1}, drift=drift_of(1.0), quality=card(0.5), reference=card(0.5))
    assert drifted.reason.endswith("drift alone does not retrain")


def test_alarms_say_what_moved_and_what_got_worse() -> None:
    seen = decide({"every": None}, drift=drift_of(0.5), quality=card(0.6), reference=card(0.5))
    assert seen.alarms[0] == "drift: 1 of 2 structural columns lie 0.1 or more from 2013-01: carrier"
    assert seen.alarms[1].startswith("quality: log_loss 0.6000")
    assert not seen.retrain  # without `loss_increase` a worse loss is told, not acted on


def test_an_alert_is_one_line_and_told_once_while_it_lasts() -> None:
    before = decide({"every": None}, drift=drift_of(0.5))
    now = decide({"every": None}, drift=drift_of(1.0, ("carrier", "fare")), quality=card(0.6), reference=card(0.5))
    assert [a.kind for a in alerts(now)] == ["drift", "quality"]
    assert [a.kind for a in fresh(now, before)] == ["quality"]
    assert fresh(now, None) == alerts(now)
    assert str(alerts(before)[0]) == "trips 2013-02 drift: 1 of 2 structural columns lie 0.1 or more from 2013-01: carrier"
