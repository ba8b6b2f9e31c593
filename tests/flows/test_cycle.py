"""The loop on a real Prefect server, over a small real slice. Tests that only look share one clone; the others have their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pillars.deployment import traffic
from pillars.errors import ConfigChanged, UnknownName
from pillars.monitoring import registry
from pillars.monitoring.ledger import Entry
from tasks.opened import Opened, open_project
from tests.small import edit_config

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_server")]


def opened() -> Opened:
    return open_project("small")


def entries(decision: str) -> list[Entry]:
    return opened().ledger.entries("small", decision)


def move_by_hand(version: str) -> None:
    """As somebody does in MLflow's UI."""
    from mlflow import MlflowClient

    MlflowClient(opened().stores.tracking_uri).set_registered_model_alias("small", registry.ALIAS, version)


@pytest.mark.usefixtures("replayed")
def test_two_periods_go_through_all_five_pillars():
    now = opened()
    assert now.ledger.verify() > 10
    assert [e.outcome for e in entries("cycle")] == ["finished", "finished"]
    assert [e.outcome for e in entries("ingest")] == ["accept", "accept"]
    scored = entries("score")[1].facts
    assert scored["model_version"] == 1, "February is scored by the model of January"
    predictions = pq.read_table(now.stores.var / scored["path"])
    assert predictions.num_rows == entries("ingest")[1].facts["rows"]
    quality = entries("monitor")[1].facts["quality"]
    assert quality["measures"]["auc"]["value"] > 0.55
    assert entries("monitor")[1].facts["drift"]["scores"]


@pytest.mark.usefixtures("replayed")
def test_traffic_alias_and_ledger_name_the_same_champion():
    now = opened()
    answering = traffic.read(now.stores, "small")
    assert answering is not None
    assert answering.champion.version == now.past.champion() == registry.champion(now.stores, "small")


def test_each_period_is_a_commit_and_the_users_tree_is_untouched(replayed: Path):
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=replayed, check=True, capture_output=True, text=True).stdout

    assert len(git("log", "--format=%h", "dvc-data/small", "--", "data.dvc").split()) == 2
    assert git("symbolic-ref", "--short", "HEAD").strip() == "main"
    changed = git("status", "--porcelain").splitlines()
    assert sorted(line[3:] for line in changed) == ["configs/small.yaml", "slice/", "small_source.py"]


@pytest.mark.usefixtures("replayed")
def test_everything_asked_for_again_gives_what_is_on_record():
    from flows.ingest import ingest
    from flows.monitor import monitor
    from flows.promote import promote
    from flows.replay import replay
    from flows.score import score
    from flows.train import train

    before = [e.mac for e in opened().ledger.entries("small")]
    assert replay("small", last="2013-02") == []
    for step in (ingest, score, monitor, train, promote):
        step("small", "2013-02")
    assert [e.mac for e in opened().ledger.entries("small")] == before


def test_cycles_on_a_broken_batch_a_rollback_and_a_reset(small: Path):
    """One clone's history, in order; each step is a claim of its own."""
    from flows.cycle import cycle
    from flows.deploy import deploy
    from flows.replay import replay
    from flows.reset import reset
    from flows.rollback import rollback

    # without a period, the oldest unfinished one
    first = cycle("small")
    assert first is not None
    assert first.period == "2013-01"
    # a broken batch is kept whole, the data set is as it was, and the loop goes on
    file = small / "slice" / "rows-2013-02.parquet"
    whole = pq.read_table(file)
    pq.write_table(whole.slice(0, 100), file)
    replay("small", last="2013-03")
    rejected = entries("cycle")[1]
    assert (rejected.outcome, rejected.inputs["period"]) == ("rejected", "2013-02")
    kept = opened().stores.var / str(rejected.facts["kept_at"])
    assert pq.read_table(next(kept.glob("rows*.parquet"))).num_rows == 100
    assert opened().past.ingested("2013-03").periods == ("2013-01", "2013-03")
    # an alias moved by hand is put back, and the request is on record
    move_by_hand("1")
    replay("small", last="2013-04")
    move_by_hand("1")
    deploy("small")
    assert registry.champion(opened().stores, "small") == opened().past.champion() == 3
    assert "moved the alias to v1; v3 answers" in entries("alias")[-1].reason
    assert rollback("small", "one back").champion.version == 2
    # back to the release before; the alias follows; further back there is nothing
    assert rollback("small", "a test").champion.version == 1
    assert opened().past.champion() == registry.champion(opened().stores, "small") == 1
    with pytest.raises(UnknownName, match="earlier release"):
        rollback("small", "once too often")
    # over again, on record: nobody answers, then the same rows give the same model
    model = entries("train")[0].facts["sha256"]
    reset("small", "a test")
    assert traffic.read(opened().stores, "small") is None
    assert replay("small", last="2013-01") == ["2013-01"]
    assert entries("train")[0].facts["sha256"] == model
    # nothing left is a completed run that says so
    edit_config(small, source={"python": "small_source", "options": {"last": "2013-01"}})
    state = cycle("small", return_state=True)
    assert state.is_failed(), "settings that matter changed: that is not accepted silently"
    with pytest.raises(ConfigChanged, match=r"source\.options"):
        replay("small")
    assert replay("small", accept_changes=True) == []
    assert entries("configure")[-1].reason.startswith("source.options")
    state = cycle("small", return_state=True)
    assert state.is_completed()
    assert "nothing new" in state.message


def test_a_schedule_may_change_at_any_time(small: Path):
    opened()
    edit_config(small, schedule={"cron": "0 * * * *"})
    assert opened().config.schedule.cron == "0 * * * *"
    edit_config(small, gate={"margin": 0.5})
    with pytest.raises(ConfigChanged, match=r"gate\.margin: 0\.001 -> 0\.5"):
        opened()


def test_a_rollback_neither_waits_for_the_question_about_settings_nor_answers_it(small: Path):
    from flows.rollback import rollback

    opened()
    edit_config(small, gate={"margin": 0.5})
    with pytest.raises(UnknownName, match="earlier release"):  # it went as far as there was a release to go to
        rollback("small", "a test")
    with pytest.raises(ConfigChanged, match=r"gate\.margin"):
        opened()
