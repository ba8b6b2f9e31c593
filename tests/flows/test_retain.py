"""Retention as a flow: on record, idempotent, and what it took away does not come back by itself."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.ingest import ingest
from flows.replay import replay
from flows.retain import retain
from pillars.data import versions
from pillars.errors import UnknownName
from pillars.monitoring.ledger import Entry
from pillars.stores import Stores
from tasks import retention
from tasks.opened import Opened, open_project
from tests.bad_input.door import say
from tests.small import edit_config, enter

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_server")]


def opened() -> Opened:
    return open_project("small")


def rows_of(decision: str = "retain") -> list[Entry]:
    return opened().ledger.entries("small", decision)


def periods() -> tuple[str, ...]:
    found = versions.head(opened().stores, opened().config)
    assert found is not None
    return found.periods


@pytest.fixture(scope="module")
def four_periods(tmp_path_factory: pytest.TempPathFactory, two_periods: Path) -> Path:
    """The shared clone two months on, with a retention of the newest month and one before it; nothing was dropped yet."""
    root = shutil.copytree(two_periods, tmp_path_factory.mktemp("retain") / "project", symlinks=True)
    with pytest.MonkeyPatch.context() as context:
        enter(root, context)
        edit_config(root, retention={"collected": 1, "rows": 1, "requests_days": 2})
        assert replay("small", accept_changes=True) == ["2013-03", "2013-04"]
    return root


@pytest.fixture
def limited(four_periods: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it."""
    root = shutil.copytree(four_periods, tmp_path / "project", symlinks=True)
    enter(root, monkeypatch)
    return root


def correct(root: Path, period: str) -> None:
    """One row less."""
    for kind in ("rows", "outcomes"):
        file = root / "slice" / f"{kind}-{period}.parquet"
        table = pq.read_table(file)
        pq.write_table(table.filter(pa.array([False] + [True] * (table.num_rows - 1))), file)


def raw() -> set[str]:
    return {folder.name for folder in (Stores().var / "raw" / "small").iterdir()}


def test_what_is_over_is_dropped_on_record_and_once(limited: Path) -> None:
    told = json.loads(say("data", "retain", "small", "--dry-run", "--json").out)
    assert (told["plan"]["rows"], told["row"]) == (["2013-01", "2013-02"], 0)
    assert (periods(), rows_of(), len(raw())) == (("2013-01", "2013-02", "2013-03", "2013-04"), [], 4)
    said = say("data", "retain", "small")
    (row,) = rows_of()
    assert said.exit_code == 0, said.err
    assert f"on ledger row {row.seq}" in said.out
    assert (row.facts["collected"], row.facts["rows"]) == (["2013-01", "2013-02"],) * 2
    assert (periods(), raw()) == (("2013-03", "2013-04"), {"2013-03", "2013-04"})
    assert "v1" in " ".join(one["why"] for one in row.facts["held"]), "the first model is kept for rollback, or answers"
    model = opened().past.versions()[0]
    read = opened().read(next(v for v in versions.history(opened().stores, opened().config) if v.id == model.data_version))
    assert read("rows", ["2013-01"]).num_rows > 500, "what it was fitted on is there"
    again = json.loads(say("data", "retain", "small", "--json").out)
    assert (again["row"], again["plan"]["files"], len(rows_of())) == (row.seq, [], 1)
    assert opened().ledger.verify()
    newest = versions.head(opened().stores, opened().config)
    assert newest is not None
    assert json.loads(say("status", "small", "--json").out)["data_version"] == newest.id == again["version"]
    listed = say("data", "show", "small").out
    assert "2013-03" in listed


def test_requests_that_were_answered_go_with_it_and_then_alone(limited: Path) -> None:
    old, young = (
        limited / "var" / "served" / "small" / "log" / f"{time.time_ns() - days * 86_400 * 10**9:020d}-7-0a0b0c.jsonl" for days in (3, 1)
    )
    old.parent.mkdir(parents=True)
    for file in (old, young):
        file.write_bytes(b"")
    told = json.loads(say("data", "retain", "small", "--dry-run", "--json").out)
    assert told["plan"]["requests"] == [old.relative_to(limited / "var").as_posix()]
    assert "1 files deleted" in say("data", "retain", "small").out
    assert (old.exists(), young.exists()) == (False, True)
    newest = versions.head(opened().stores, opened().config)
    assert newest is not None
    young.rename(old)
    found = retain("small")
    assert found is not None
    assert (found.plan.requests, old.exists()) == (tuple(told["plan"]["requests"]), False)
    assert json.loads(say("status", "small", "--json").out)["data_version"] == newest.id
    assert opened().ledger.verify()


def test_a_dropped_period_does_not_come_back(limited: Path) -> None:
    retain("small")
    (row,) = rows_of()
    told = json.loads(say("ingest", "small", "2013-01", "--json").out)
    assert told["decision"] == {"outcome": "refuse", "reason": f"dropped by retention on ledger row {row.seq}"}
    assert opened().unfinished() == []
    assert say("run", "small").exit_code == 0
    assert say("data", "rebuild", "small").exit_code == 0
    assert (periods(), raw(), len(rows_of())) == (("2013-03", "2013-04"), {"2013-03", "2013-04"}, 1)
    edit_config(limited, retention={"collected": None, "rows": None})
    assert say("data", "rebuild", "small").exit_code == 3, "the YAML changed"
    longer = open_project("small", accept_changes=True)
    assert longer.dropped("rows") == {}
    ingest("small", "2013-01", again=True)
    assert periods() == ("2013-01", "2013-03", "2013-04"), "a longer time takes it in again"


def test_files_of_rows_go_when_nobody_needs_them(limited: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = versions.history(opened().stores, opened().config)
    retain("small")
    correct(limited, "2013-04")
    assert ingest("small", "2013-04").decision
    monkeypatch.setattr(retention, "needed", lambda _: {})
    found = retain("small")
    assert found is not None
    assert sorted(path[-15:-8] for path in found.plan.objects.values()) == ["2013-01"] * 2 + ["2013-02"] * 2
    row = rows_of()[-1]
    assert (row.seq, row.facts["rows"], row.facts["held"]) == (found.row, [], [])
    why = f"dropped by retention on ledger row {row.seq}"
    old = before[2].id[:12]
    for command in (("checkout", "small", old), ("checkout", "small", old, "--verify"), ("audit", "small", old)):
        said = say("data", *command)
        assert (said.exit_code, said.out) == (2, ""), command
        assert why in said.err
        assert len(said.err.splitlines()) == 1
    shown = json.loads(say("data", "show", "small", old, "--json").out)
    assert shown["dropped"]["small/rows/2013-01.parquet"] == why
    differs = json.loads(say("data", "diff", "small", before[0].id, "newest", "--json").out)["changes"]
    assert {(c["kind"], c["period"], c["how"]) for c in differs} >= {("rows", "2013-01", "removed"), ("rows", "2013-04", "changed")}
    assert say("data", "show", "small", "--all").exit_code == 0
    assert say("data", "audit", "small").exit_code in (0, 1)
    assert say("status", "small").exit_code in (0, 1)


@pytest.mark.parametrize("place", ["record", "delete"])
def test_stopped_in_between_the_same_call_again_ends_the_same(limited: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    class Stopped(Exception):
        pass

    def stop(*_: Any) -> None:
        raise Stopped

    monkeypatch.setattr(retention, place, stop)
    with pytest.raises(Stopped):
        retain("small")
    monkeypatch.undo()
    enter(limited, monkeypatch)
    assert (periods(), len(raw())) == (("2013-03", "2013-04"), 4)
    assert retain("small") is not None
    (row,) = rows_of()
    assert (row.facts["rows"], len(raw())) == (["2013-01", "2013-02"], 2)


def test_what_was_set_aside_and_deleted_is_told_no_more(limited: Path) -> None:
    aside = {one["period"] for one in json.loads(say("data", "quarantine", "list", "small", "--json").out)}
    retain("small")
    left = say("data", "quarantine", "list", "small", "--json")
    assert left.exit_code == 0, left.err
    assert {one["period"] for one in json.loads(left.out)} == aside - {"2013-01", "2013-02"}


def test_a_project_without_limits_keeps_all(replayed: Path) -> None:
    assert retain("small") is None
    assert say("data", "retain", "small").out == "no retention: all is kept\n"
    assert rows_of() == []
    with pytest.raises(UnknownName):
        retain("nowhere")
