"""The closing table has one line per period, with each period's own figures."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from pillars import answers
from pillars.answers import PeriodRow, history
from pillars.monitoring.ledger import Ledger
from pillars.vocabulary import Release, Rest, Rollout, Stage, Trial
from tests.pillars.answers.years import Year


def table(year: Year) -> dict[str, PeriodRow]:
    return {row.period: row for row in answers.closing_table(year.stores, year.project)}


def test_nothing_run_is_an_empty_table(year: Year) -> None:
    assert table(year) == {}


def test_a_period_is_told_with_its_own_figures(quarter: Year) -> None:
    row = table(quarter)["2013-02"]
    assert (row.rows, row.quarantined, row.drift) == (1002, 2, 0.0)
    assert row.figures == pytest.approx({"auc": 0.7, "log_loss": 0.5, "brier": 0.15, "cost": 0.3})
    assert (row.verdict, row.scored_by, row.champion) == ("promoted v2", "v1", "v2")
    assert row.intervals["auc"].low == pytest.approx(0.69)
    json.dumps(asdict(row))


def test_the_first_period_has_no_quality_because_nobody_answered(quarter: Year) -> None:
    row = table(quarter)["2013-01"]
    assert (row.figures["auc"], row.figures["cost"], row.scored_by, row.champion) == (None, None, None, "v1")


def test_quality_stands_with_the_period_that_was_predicted_though_outcomes_come_later(quarter: Year) -> None:
    quarter.ingest("2013-04")
    quarter.monitor("2013-04", 3, auc=0.61, of="2013-03")
    rows = table(quarter)
    assert rows["2013-03"].figures["auc"] == 0.61
    assert rows["2013-04"].figures["auc"] is None


def test_periods_are_in_order_though_one_was_run_late(year: Year) -> None:
    year.full_period("2013-03", 1)
    year.full_period("2013-01", 2)
    assert list(table(year)) == ["2013-01", "2013-03"]


def test_each_way_a_period_can_end_has_its_word(quarter: Year) -> None:
    quarter.ingest("2013-04", refused="no rows")
    quarter.ingest("2013-05")
    quarter.ingest("2013-06")
    quarter.monitor("2013-06", 3, retrain=False)
    quarter.ingest("2013-07")
    quarter.monitor("2013-07", 3)
    quarter.promote("2013-07", 4, "refuse")
    quarter.ingest("2013-08")
    quarter.monitor("2013-08", 3)
    quarter.promote("2013-08", 5, "inconclusive")
    words = [row.verdict for row in table(quarter).values()][3:]
    assert words == ["batch rejected", "unfinished", "keep", "retrained, refused", "retrained, inconclusive"]


def test_a_repeated_decision_takes_the_place_of_the_first(quarter: Year) -> None:
    quarter.ingest("2013-02", rows=77)
    assert table(quarter)["2013-02"].rows == 77


def test_a_project_that_started_over_tells_its_new_epoch_only(quarter: Year) -> None:
    Ledger(quarter.stores).reset("trips", "once more", quarter.now, "tester")
    assert table(quarter) == {}
    quarter.full_period("2013-01", 4)
    assert list(table(quarter)) == ["2013-01"]


def test_a_trial_is_told_in_the_period_whose_rows_it_went_through(quarter: Year) -> None:
    """Begun in 2013-03, taken through 2013-04; and a champion that proved worse in 2013-05."""
    old, new = (Release("trips", n, str(n) * 64, f"releases/trips/v{n}") for n in (3, 4))
    generation = max(change.generation for chapter in history.read(quarter.stores, "trips").chapters for change in chapter.rollouts)

    def tell(decision: str, **changes: object) -> None:
        nonlocal generation
        generation += 1
        now = Rollout("trips", generation, **{"champion": old, **changes})  # type: ignore[arg-type]
        quarter.record(decision, {"generation": generation}, "accept", "", now)

    def trial(*shares: int) -> Trial:
        return Trial(new, "canary", "s", tuple(Stage(90 + n, share, "2013-04-01T00:00:00") for n, share in enumerate(shares)))

    tell("deploy", trial=trial(2000))
    quarter.ingest("2013-04")
    tell("rollout", trial=trial(2000, 5000))
    tell("rollout", champion=new, previous=(old,))
    quarter.ingest("2013-05")
    tell("rollout", rest=Rest("2013-06-02T00:00:00", (new.sha256,)))
    quarter.ingest("2013-06")
    tell("deploy", trial=trial(2000))
    quarter.ingest("2013-07")
    tell("rollout", rest=Rest("2013-07-03T00:00:00", (new.sha256,)))
    assert [row.rollout for row in table(quarter).values()] == [None, None, None, "v4 0.2, 0.5, all", "v4 back", None, "v4 0.2, back"]


def test_one_that_was_tried_and_proved_worse_in_one_period_says_both(quarter: Year) -> None:
    old, new = (Release("trips", n, str(n) * 64, f"releases/trips/v{n}") for n in (3, 4))
    trial = Trial(new, "canary", "s", (Stage(90, 2000, "2013-04-01T00:00:00"),))
    for generation, now in (
        (90, {"trial": trial}),
        (91, {"champion": new, "previous": (old,)}),
        (92, {"rest": Rest("2013-05-02T00:00:00")}),
    ):
        if generation == 91:
            quarter.ingest("2013-04")
        told = Rollout("trips", generation, **{"champion": old, **now})  # type: ignore[arg-type]
        quarter.record("rollout", {"generation": generation}, "accept", "", told)
    assert table(quarter)["2013-04"].rollout == "v4 0.2, all, back"
