"""Status names who answers from what, and is unhealthy exactly when something is stale or broken."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict

import pytest

from pillars import answers
from pillars.answers import Status
from tests.pillars.answers.years import Year
from tests.pillars.monitoring.worlds import project


def status(year: Year) -> Status:
    return answers.status(year.stores, year.project)


def test_a_finished_quarter_is_healthy_and_says_who_answers(quarter: Year) -> None:
    found = status(quarter)
    assert (found.healthy, found.problems, found.alerts) == (True, (), ())
    assert (found.champion, found.sha256, found.fitted_through, found.generation) == ("v3", f"{3:064x}", "2013-03", 3)
    assert found.data_version == f"{3:032x}.dir"
    assert (found.last_period, found.next_period) == ("2013-03", None)
    assert found.last_verdict == "2013-03: retrain, scheduled every period"
    assert found.freshness == "data through 2013-03, model fitted through 2013-03, up to date"
    json.dumps(asdict(found))


def test_a_project_that_never_ran_is_not_healthy(year: Year) -> None:
    found = status(year)
    assert found.problems == ("nothing has run yet; pillars run trips",)
    assert (found.healthy, found.champion, found.freshness) == (False, None, "no period finished yet")


def test_a_refused_retraining_leaves_the_model_behind_but_healthy(quarter: Year) -> None:
    for period in ("2013-04", "2013-05"):
        quarter.ingest(period)
        quarter.monitor(period, 3)
        quarter.promote(period, int(period[-1]), "refuse")
        quarter.cycle(period)
    found = status(quarter)
    assert found.healthy
    assert found.freshness == "data through 2013-05, model fitted through 2013-03, 2 periods behind"


def test_alerts_are_told_and_are_no_problem(quarter: Year) -> None:
    quarter.full_period("2013-04", 4, share=0.5)
    found = status(quarter)
    assert found.alerts == ("trips 2013-04 drift: 1 of 2 structural columns lie 0.1 or more from 2013-01: carrier",)
    assert found.healthy
    quarter.full_period("2013-05", 5)
    assert status(quarter).alerts == ()


def interrupted(year: Year) -> None:
    year.ingest("2013-04")


def rejected(year: Year) -> None:
    year.ingest("2013-04", refused="temp in Celsius")
    year.cycle("2013-04")


def reconfigured(year: Year) -> None:
    year.configure(project(search={"seed": 9}))


def switched_by_hand(year: Year) -> None:
    rollout = year.deploy(3, 3)
    year.write_policy(type(rollout)(**{**vars(rollout), "generation": 4, "champion": year.release(2)}))
    year.write_release(year.release(2))


def policy_gone(year: Year) -> None:
    (year.stores.var / "releases/trips/policy.json").unlink()


def policy_unreadable(year: Year) -> None:
    (year.stores.var / "releases/trips/policy.json").write_text("{")


def boosters_changed(year: Year) -> None:
    (year.stores.var / year.release(3).path / "booster-0.ubj").write_bytes(b"others")


def release_gone(year: Year) -> None:
    for path in (year.stores.var / year.release(3).path).iterdir():
        path.unlink()


def ledger_edited(year: Year) -> None:
    with sqlite3.connect(year.stores.var / "ledger.db") as database:
        for trigger in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            database.execute(f"drop trigger {trigger[0]}")
        database.execute("delete from ledger where seq = 2")


@pytest.mark.parametrize(
    ("happens", "problem"),
    [
        pytest.param(interrupted, "2013-04 was begun and not finished", id="interrupted"),
        pytest.param(rejected, "the batch of 2013-04 was rejected (temp in Celsius), kept at rejected/x", id="batch rejected"),
        pytest.param(reconfigured, "configs/trips.yaml changed since the last run (search.seed: 9 -> 0)", id="config changed"),
        pytest.param(switched_by_hand, "v2 answers (generation 4), on record is v3 (generation 3)", id="switched by hand"),
        pytest.param(policy_gone, "the traffic policy on record is gone", id="policy gone"),
        pytest.param(policy_unreadable, "cannot be read as a traffic policy", id="policy unreadable"),
        pytest.param(boosters_changed, "booster-0.ubj", id="boosters changed"),
        pytest.param(release_gone, "refused", id="release gone"),
        pytest.param(ledger_edited, "ledger row 2", id="ledger edited"),
    ],
)
def test_what_is_stale_or_broken_is_named(quarter: Year, happens: Callable[[Year], None], problem: str) -> None:
    assert status(quarter).healthy
    happens(quarter)
    found = status(quarter)
    assert not found.healthy
    assert any(problem in said for said in found.problems), found.problems


def test_a_rejected_batch_that_was_mended_is_no_problem(quarter: Year) -> None:
    rejected(quarter)
    quarter.full_period("2013-04", 4)
    assert status(quarter).healthy


def test_a_rollback_on_record_is_no_problem(quarter: Year) -> None:
    quarter.write_release(quarter.release(2))
    quarter.deploy(2, 4, decision="rollback")
    found = status(quarter)
    assert (found.champion, found.generation, found.fitted_through, found.healthy) == ("v2", 4, "2013-02", True)


def test_settings_that_no_result_depends_on_may_change(quarter: Year) -> None:
    changed = quarter.project.model_copy(update={"description": "other words"})
    assert answers.status(quarter.stores, changed).healthy


def test_status_needs_none_of_the_heavy_tools() -> None:
    heavy = "{'mlflow', 'evidently', 'prefect', 'pandas', 'xgboost', 'sklearn', 'great_expectations', 'jinja2'}"
    code = f"import sys, pillars.answers; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
