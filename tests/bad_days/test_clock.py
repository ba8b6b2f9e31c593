"""A clock that jumps by a year, between two cycles and within one: order, ids and results are as on any other day."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from pillars.monitoring.ledger import Ledger
from tests.bad_days.world import perform, pillars
from tests.proofs.stage import Stage
from tests.proofs.state import differences, stores_of, told

pytestmark = [pytest.mark.flow, pytest.mark.slow]

YEAR = timedelta(days=365)


def jumping(*leaps: timedelta) -> None:
    """Every module of ours, and MLflow, asks a clock that is off by each of `leaps` in turn; for a forked process."""
    asked = [0]

    def leap() -> timedelta:
        asked[0] += 1
        return leaps[asked[0] % len(leaps)]

    class Off(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + leap()

    for name, module in list(sys.modules.items()):
        if name.startswith(("pillars.", "tasks.", "flows.")) and vars(module).get("datetime") is datetime:
            module.datetime = Off  # type: ignore[attr-defined]
    import mlflow.utils.time as of_mlflow

    of_mlflow.time = type("Clock", (), {"time": staticmethod(lambda: time.time() + leap().total_seconds())})


@pytest.mark.parametrize(
    "leaps",
    [
        pytest.param((-YEAR,), id="back a year since the last cycle"),
        pytest.param((YEAR, -YEAR, timedelta()), id="to and fro within a cycle"),
    ],
)
def test_a_cycle_under_a_wrong_clock_ends_as_any_other(stage: Stage, undisturbed: dict[str, Any], leaps: tuple[timedelta, ...]):
    done = perform(stage, "cycle", "small", before=lambda: jumping(*leaps))
    assert done.code == 0, done.said
    assert differences(in_any_order(undisturbed), in_any_order(told(stage.root, "small"))) == []
    said = json.loads(pillars(stage.root, "status", "small", "--json").out)
    assert (said["champion"], said["last_period"], said["healthy"]) == ("v2", "2013-02", True)
    moments = [entry.at for entry in Ledger(stores_of(stage.root)).entries("small")]
    assert moments != sorted(moments), "the clock did jump"


def in_any_order(state: dict[str, Any]) -> dict[str, Any]:
    """MLflow lists trainings by the clock; nothing of ours goes by that."""
    listed = sorted(state["mlflow"]["trainings"], key=lambda run: json.dumps(run, sort_keys=True))
    return {**state, "mlflow": {**state["mlflow"], "trainings": listed}}
