"""The loop on a real Prefect server, over a small real slice."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pillars.deployment import traffic
from pillars.errors import ConfigChanged, UnknownName
from pillars.monitoring import registry
from tests.flows.conftest import edit_config

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def replayed(small: Path) -> Path:
    """January and February through the loop."""
    from flows.replay import replay

    assert replay("small", last="2013-02") == ["2013-01", "2013-02"]
    return small


def opened():
    from tasks.opened import open_project

    return open_project("small")


def entries(decision: str):
    now = opened()
    return now.ledger.entries(now.name, decision)


def test_two_periods_go_through_all_five_pillars(replayed: Path):
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


def test_traffic_alias_and_ledger_name_the_same_champion(replayed: Path):
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


def test_a_second_replay_changes_nothing(replayed: Path):
    from flows.replay import replay

    before = [e.mac for e in opened().ledger.entries("small")]
    assert replay("small", last="2013-02") == []
    assert [e.mac for e in opened().ledger.entries("small")] == before


def test_steps_asked_for_again_give_what_is_on_record(replayed: Path):
    from flows.ingest import ingest
    from flows.monitor import monitor
    from flows.promote import promote
    from flows.score import score
    from flows.train import train

    before = [e.mac for e in opened().ledger.entries("small")]
    ingest("small", "2013-02")
    score("small", "2013-02")
    monitor("small", "2013-02")
    train("small", "2013-02")
    promote("small", "2013-02")
    assert [e.mac for e in opened().ledger.entries("small")] == before


def test_cycle_takes_the_oldest_unfinished_period_and_says_when_there_is_none(small: Path):
    from flows.cycle import cycle

    edit_config(small, source={"python": "small_source", "options": {"last": "2013-01"}})
    first = cycle("small")
    assert first is not None
    assert first.period == "2013-01"
    state = cycle("small", return_state=True)
    assert state.is_completed()
    assert "nothing new" in state.message


def test_rollback_goes_to_the_release_before_and_the_alias_follows(replayed: Path):
    from flows.rollback import rollback

    now = opened()
    assert rollback("small", "a test").champion.version == 1
    assert now.past.champion() == registry.champion(now.stores, "small") == 1
    with pytest.raises(UnknownName, match="earlier release"):
        rollback("small", "once too often")


def test_a_broken_batch_is_kept_whole_and_the_loop_goes_on(replayed: Path):
    from flows.replay import replay

    file = replayed / "slice" / "rows-2013-03.parquet"
    pq.write_table(pq.read_table(file).slice(0, 100), file)
    data_before = opened().past.ingested("2013-02").id
    replay("small", last="2013-04")
    rejected = entries("cycle")[2]
    assert (rejected.outcome, rejected.inputs["period"]) == ("rejected", "2013-03")
    assert pq.read_table(next((opened().stores.var / rejected.facts["kept_at"]).glob("rows*.parquet"))).num_rows == 100
    assert entries("cycle")[3].outcome == "finished"
    periods = opened().past.ingested("2013-04").periods
    assert (data_before != opened().past.ingested("2013-04").id, periods) == (True, ("2013-01", "2013-02", "2013-04"))


def test_changed_settings_are_named_and_wait_for_an_answer(replayed: Path):
    from flows.replay import replay

    edit_config(replayed, gate={"margin": 0.5})
    with pytest.raises(ConfigChanged, match=r"gate\.margin: 0\.001 -> 0\.5"):
        replay("small", last="2013-02")
    assert replay("small", last="2013-02", accept_changes=True) == []
    assert entries("configure")[-1].reason == "gate.margin: 0.001 -> 0.5"


def test_a_schedule_may_change_at_any_time(replayed: Path):
    from flows.replay import replay

    edit_config(replayed, schedule={"cron": "0 * * * *"})
    assert replay("small", last="2013-02") == []


def test_reset_starts_over_on_record_and_ends_with_the_same_model(replayed: Path):
    from flows.replay import replay
    from flows.reset import reset

    before = {e.facts["sha256"] for e in entries("train")}
    reset("small", "a test")
    assert traffic.read(opened().stores, "small") is None
    assert replay("small", last="2013-02") == ["2013-01", "2013-02"]
    assert {e.facts["sha256"] for e in entries("train")} == before
