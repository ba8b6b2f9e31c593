"""Requests that are older than their time go by the clock, on record before they do, and not under a trial that is judged by them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from pillars.config import Project
from pillars.config_data import Retention
from pillars.deployment import traffic
from pillars.monitoring.ledger import Entry, Ledger
from pillars.stores import Stores
from tasks import retention
from tasks.opened import Opened, _record
from tests.releases import small_project
from tests.tasks.test_rollouts import START, begin, bundles, exported

__all__ = ["bundles", "exported"]
NOW = START + timedelta(days=40)


def project(days: int | None = 7) -> Project:
    return small_project().model_copy(update={"retention": Retention(requests_days=days)})


def opened(**said: Any) -> Opened:
    stores = Stores()
    return Opened(stores, project(**said), Ledger(stores))


@pytest.fixture(autouse=True)
def without_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step that writes to the ledger, as a plain function."""
    monkeypatch.setattr("tasks.opened._record", _record.fn)


def put(at: datetime) -> str:
    path = Stores().folder("served", "small", "log") / f"{int(at.timestamp() * 1e9):020d}-77-0a0b0c.jsonl"
    path.write_bytes(b"")
    return Stores().relative(path)


def retain(now: datetime = NOW, stop: str = "") -> int | None:
    """As the flow does it, of a project without rows; stopped before what `stop` names."""
    plan = retention.plan(opened(), now)
    if plan is None:
        return None
    row = retention.record(opened(), plan, None)
    if stop != "delete":
        retention.delete.fn(opened(), plan, row)
    return row


def rows() -> list[Entry]:
    return Ledger(Stores()).entries("small", "retain")


def left() -> set[str]:
    return {Stores().relative(path) for path in (Stores().var / "served" / "small").rglob("*.jsonl")}


def test_old_requests_go_on_record_and_once() -> None:
    old, young = [put(NOW - timedelta(days=days)) for days in (30, 8)], put(NOW - timedelta(days=6))
    first = retain()
    assert (left(), first) == ({young}, rows()[-1].seq)
    assert rows()[0].facts["requests_before"] == (NOW - timedelta(days=7)).isoformat()
    assert f"{len(old)} files of requests before 2026-02-03" in rows()[0].reason
    assert retain() is None
    assert retain(NOW + timedelta(days=3)) == rows()[-1].seq
    assert (left(), len(rows())) == (set(), 2)
    assert Ledger(Stores()).verify()


def test_killed_between_record_and_deletion_the_same_call_goes_on_and_says_it_once() -> None:
    put(NOW - timedelta(days=30))
    first = retain(stop="delete")
    assert len(left()) == 1
    assert retain(NOW + timedelta(minutes=5)) == first
    assert (left(), len(rows())) == (set(), 1)


def test_without_a_limit_requests_are_kept_for_good() -> None:
    put(NOW - timedelta(days=3000))
    assert retention.plan(opened(days=None), NOW) is None


def test_what_a_trial_is_judged_by_stays_until_it_has_ended(exported: Any) -> None:
    before, during = put(START - timedelta(days=1)), put(START + timedelta(hours=1))
    begin(exported[1])
    plan = retention.plan(opened(), NOW)
    assert plan is not None
    assert (plan.requests, plan.requests_before) == ((before,), START.isoformat())
    traffic.change(Stores(), "small", None, lambda now: replace(now, trial=None))  # type: ignore[type-var]
    plan = retention.plan(opened(), NOW)
    assert plan is not None
    assert plan.requests == (before, during)


def test_a_trial_by_its_rows_clock_keeps_what_came_since_it_was_on_record(exported: Any) -> None:
    put(NOW - timedelta(days=30))
    begin(exported[1], at=datetime(2013, 3, 1))
    recorded = datetime.fromisoformat(opened().past.latest("rollout").at)  # type: ignore[union-attr]
    later = put(recorded + timedelta(hours=1))
    plan = retention.plan(opened(), recorded + timedelta(days=400))
    assert plan is not None
    assert later not in plan.requests
    assert plan.requests_before == recorded.isoformat()
