"""A replay whose releases go on trial: judged on the next period's rows, on record, alike every time and after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pillars.answers import closing_table
from pillars.deployment import traffic
from pillars.monitoring import registry
from pillars.stores import Stores
from tasks.opened import Opened, open_as_it_is
from tests.clone import CHECKOUT, make_clone
from tests.small import edit_config, enter, write_tiny

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
CANARY = {
    "strategy": "canary",
    "steps": [{"share": 0.2, "bake_min": 1440}, {"share": 0.5, "bake_min": 1440}],
    "timeout_min": 20_000,
    "judge": {"entities": 20},
}
# `python -m flows.replay` that kills itself at the nth write of a traffic policy
DYING = """
import os, signal, sys
from pillars.deployment import traffic
from flows.environment import prepare_prefect
real, left = traffic.write_atomically, int(sys.argv[2])
def write(*args, **kwargs):
    global left
    left -= 1
    if left == 0 and sys.argv[1] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(*args, **kwargs)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
traffic.write_atomically = write
from flows.replay import replay
replay("small", last="2013-03")
"""


@pytest.fixture
def tiny(tmp_path: Path, slices: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return lay(tmp_path / "project", slices, monkeypatch)


def lay(root: Path, slices: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_tiny(make_clone(root), slices)
    enter(root, monkeypatch)
    edit_config(root, rollout=CANARY)
    return root


def opened() -> Opened:
    return open_as_it_is("small")


def told() -> list[tuple[Any, ...]]:
    """The replay's results: the table, and every change of the traffic but for who made it and when."""
    now = opened()
    table = [tuple(vars(row).values()) for row in closing_table(now.stores, now.config)]
    return [*table, *[(e.decision, e.outcome, e.reason) for e in now.ledger.entries("small") if e.decision in ("deploy", "rollout")]]


def test_each_release_is_tried_on_the_next_periods_rows_and_the_replay_is_the_same_every_time(
    tiny: Path, tmp_path: Path, slices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.replay import replay

    replay("small")
    first, now = told(), traffic.read(Stores(), "small")
    assert now is not None
    assert (now.champion.version, now.trial and now.trial.challenger.version) == (3, 4), "the newest one waits for rows"
    assert [row.rollout for row in closing_table(Stores(), opened().config)] == [None, None, "v2 0.2, 0.5, all", "v3 0.2, 0.5, all"]
    assert [row.scored_by for row in closing_table(Stores(), opened().config)] == [None, "v1", "v2", "v3"]
    scored = opened().past.latest("score", "2013-03")
    assert scored is not None
    made = pq.read_table(Stores().var / str(scored.facts["path"])).sort_by("scheduled_at").to_pandas()
    assert [int(g) for g in made.generation.unique()] == [2, 3, 4]
    shares = made.groupby("generation").model_version.apply(lambda versions: (versions == 2).mean())
    assert [round(share, 1) for share in shares] == [0.2, 0.5, 1.0]
    assert "by v1" in scored.reason
    assert registry.champion(Stores(), "small") == 3
    reports = sorted(path.name for path in (tiny / "var" / "rollouts" / "small").iterdir())
    assert reports[:2] == ["g2.json", "g3.json"]
    assert {arm["arm"] for arm in json.loads((tiny / "var" / "rollouts" / "small" / "g2.json").read_text())["arms"]} == {
        "champion",
        "challenger",
    }
    assert replay("small") == []
    assert told() == first
    lay(tmp_path / "again", slices, monkeypatch)
    replay("small")
    assert told() == first


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_replay_killed_in_a_trial_goes_on_to_the_same_end(
    tiny: Path, tmp_path: Path, slices: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The third policy of a replay is the first step within March: v1 at once, v2 on trial, then its second share."""
    from flows.replay import replay

    environ = {**os.environ, "PYTHONPATH": f"{tiny}{os.pathsep}{CHECKOUT}"}
    done = subprocess.run([sys.executable, "-c", DYING, when, "3"], cwd=tiny, env=environ, capture_output=True, timeout=500)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    replay("small", last="2013-03")
    killed = told()
    opened().ledger.verify()
    lay(tmp_path / "undisturbed", slices, monkeypatch)
    replay("small", last="2013-03")
    assert killed == told()
