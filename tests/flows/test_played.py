"""A replay whose releases go on trial: judged on the next period's rows, on record, alike every time and after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pillars.answers import closing_table
from pillars.deployment import scoring, traffic
from pillars.errors import Overtaken
from pillars.monitoring import registry
from pillars.stores import Stores
from tasks import rollouts
from tasks.opened import Opened, open_as_it_is
from tests.bad_input.door import say
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
    shown = say("run", "small")
    assert shown.exit_code == 0, shown.err
    assert "v3 0.2, 0.5, all" in shown.out
    assert "On trial:         v4 (canary, 0.2 since 2013-05-01T00:00:00)" in shown.out
    lay(tmp_path / "again", slices, monkeypatch)
    replay("small")
    assert told() == first


def test_a_replay_killed_in_a_trial_goes_on_to_the_same_end(
    tiny: Path, tmp_path: Path, slices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third policy of a replay is the first step within March: v1 at once, v2 on trial, then its second share."""
    from flows.replay import replay

    replay("small", last="2013-03")
    undisturbed = told()
    for when in ("before", "after"):
        root = lay(tmp_path / when, slices, monkeypatch)
        environ = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{CHECKOUT}"}
        done = subprocess.run([sys.executable, "-c", DYING, when, "3"], cwd=root, env=environ, capture_output=True, timeout=900)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
        replay("small", last="2013-03")
        opened().ledger.verify()
        assert told() == undisturbed


@pytest.mark.usefixtures("tiny")
def test_what_harms_is_taken_back_within_its_period_and_who_was_quicker_is_not_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    """March twice: somebody pins the champion while its rows are scored, and then the release on trial says 9 for a probability."""
    from flows.deploy import deploy
    from flows.ingest import ingest
    from flows.pin import pin
    from flows.replay import replay
    from flows.score import score
    from flows.unpin import unpin

    replay("small", last="2013-02")
    ingest("small", "2013-03")
    play, answers = rollouts.play, scoring.answers

    def slow(*given: Any) -> Any:
        done = play(*given)
        pin("small", None, "a moment")
        return done

    with monkeypatch.context() as patched:
        patched.setattr(rollouts, "play", slow)
        with pytest.raises(Overtaken):
            score("small", "2013-03")
    assert opened().past.latest("score", "2013-03") is None
    unpin("small", "done")
    assert deploy("small").trial is not None

    def nine(*given: Any) -> Any:
        said = dict(answers(*given))
        newest = max(said)
        return said | {newest: {**said[newest], "score": pa.array(np.full(len(said[newest]["score"]), 9.0))}}

    with monkeypatch.context() as patched:
        patched.setattr(scoring, "answers", nine)
        score("small", "2013-03")
    back, now = opened().ledger.entries("small", "rollout")[-1], traffic.read(Stores(), "small")
    assert (back.outcome, "v2 harms: score" in back.reason) == ("refuse", True)
    assert now is not None
    assert (now.champion.version, now.trial, now.rest and now.rest.until[:8]) == (1, None, "2013-03-")
    replay("small", last="2013-03")
    now = traffic.read(Stores(), "small")
    assert now is not None
    assert (now.champion.version, now.trial and now.trial.challenger.version) == (1, 3), "rest is over when March is"
    assert "v2 0.2, back" in str([row.rollout for row in closing_table(Stores(), opened().config)])
