"""Old versions are looked at again: their bytes in both copies, their rows by today's rules, and what rests on rows that were replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pillars.data import objects
from pillars.stores import Stores
from tests.bad_input.door import say
from tests.bad_input.parcels import ROWS, outcomes, rows, write_config, write_month
from tests.bad_input.test_quarantine import allow
from tests.pillars.data.batches import changed

pytestmark = pytest.mark.flow


@pytest.fixture
def months(root: Path) -> Path:
    """Two months in the data set."""
    write_config(root, "parcels")
    for period in ("2013-01", "2013-02"):
        write_month(root, period, rows(period), outcomes(rows(period)))
        assert say("ingest", "parcels", period).exit_code == 0
    return root


def told(*arguments: str, exit_code: int = 0) -> Any:
    said = say("data", *arguments, "--json")
    assert said.exit_code == exit_code, said.err
    return json.loads(said.out)


def copies(name: str) -> tuple[str, Path, Path]:
    """md5 of a file of the newest version, and where cache and remote have it."""
    stores = Stores()
    files = told("checkout", "parcels", "--to", str(stores.var / "look"))["files"]
    md5 = objects.md5_of(next(Path(f) for f in files if name in f))
    places = stores.dvc_cache, Path(objects.remote_url(stores))
    cache, remote = (place / "files" / "md5" / md5[:2] / md5[2:] for place in places)
    return md5, cache, remote


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def test_a_version_is_written_where_it_is_asked_for(months: Path, tmp_path: Path) -> None:
    said = say("data", "checkout", "parcels", "--to", str(tmp_path / "here"), "--verify")
    assert said.exit_code == 0
    assert "4 files" in said.out
    assert said.out.strip().endswith("10 copies hashed, 0 bad")
    assert pq.read_table(tmp_path / "here/parcels/rows/2013-02.parquet").num_rows == ROWS
    first = told("show", "parcels")["parent"]
    old = told("checkout", "parcels", first[:12])
    assert sorted(Path(f).name for f in old["files"]) == ["2013-01.parquet"] * 2
    assert all(str(Stores().var / "checkouts") in f for f in old["files"])
    (tmp_path / "here/parcels/rows/2013-02.parquet").write_text("mine")
    refused = say("data", "checkout", "parcels", "--to", str(tmp_path / "here"))
    assert refused.exit_code == 6
    assert "is there already, with other bytes" in refused.err
    assert (tmp_path / "here/parcels/rows/2013-02.parquet").read_text() == "mine"


@pytest.mark.parametrize("place", ["cache", "remote"])
def test_a_flipped_byte_is_named_and_mended_from_the_other_copy(months: Path, place: str) -> None:
    md5, cache, remote = copies("rows/2013-01")
    flip(cache if place == "cache" else remote)
    found = told("audit", "parcels")
    (damage,) = found["damage"]
    assert (damage["name"], damage["place"], damage["mended"]) == ("parcels/rows/2013-01.parquet", place, True)
    assert objects.md5_of(cache) == objects.md5_of(remote) == md5
    assert told("audit", "parcels")["damage"] == []


def test_what_the_remote_lost_is_sent_again_and_what_the_cache_lacks_is_fetched(months: Path) -> None:
    md5, cache, remote = copies("outcomes/2013-02")
    remote.unlink()
    said = say("data", "checkout", "parcels", "--verify")
    assert said.exit_code == 0
    assert "parcels/outcomes/2013-02.parquet on the remote was not there; mended from the cache" in said.out
    cache.unlink()
    assert told("checkout", "parcels", "--verify")["damage"] == [], "an empty cache is no damage"
    assert objects.md5_of(cache) == objects.md5_of(remote) == md5


def test_a_file_that_is_bad_in_both_copies_is_named(months: Path) -> None:
    _, cache, remote = copies("rows/2013-01")
    content = cache.read_bytes()
    flip(cache)
    remote.chmod(0o644)
    remote.write_bytes(b"other")
    for command in (("checkout", "parcels", "--verify"), ("audit", "parcels")):
        said = say("data", *command)
        assert said.exit_code == 5
        assert "parcels/rows/2013-01.parquet" in said.err
        assert "Traceback" not in said.err
    remote.write_bytes(content)
    assert [damage["mended"] for damage in told("audit", "parcels")["damage"]] == [True], "one good copy is enough again"


def test_rows_that_break_a_rule_of_today_are_told_by_period(months: Path) -> None:
    assert [each["decision"]["outcome"] for each in told("audit", "parcels")["periods"]] == ["accept", "accept"]
    heaviest = max(v or 0 for v in rows("2013-01")["weight_kg"].to_pylist())
    allow(months, heaviest - 0.001)
    found = told("audit", "parcels", exit_code=1)
    by_period = {each["period"]: each for each in found["periods"]}
    assert by_period["2013-01"]["quarantined"] >= 1
    said = say("data", "audit", "parcels")
    assert said.exit_code == 1
    assert "BROKEN  2013-01" in said.out
    assert "Rows of it would be set aside today." in (Stores().var / "reports/parcels/2013-01/audit.html").read_text()


def last_run() -> tuple[str, str]:
    """State and message of the audit that ended last, as the Prefect UI shows them; other tests' schedules lie ahead."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    of_audit = filters.FlowFilter(name=filters.FlowFilterName(any_=["audit"]))
    final = filters.FlowRunFilterStateType(any_=[StateType.COMPLETED, StateType.FAILED, StateType.CRASHED])
    ended = filters.FlowRunFilter(state=filters.FlowRunFilterState(type=final))
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(flow_filter=of_audit, flow_run_filter=ended, sort=FlowRunSort.END_TIME_DESC, limit=1)
    assert run.state
    return run.state.name, run.state.message or ""


def test_the_run_of_an_audit_is_red_when_something_does_not_hold_and_says_what(months: Path) -> None:
    newest = told("show", "parcels")["id"]
    assert say("data", "audit", "parcels").exit_code == 0
    assert last_run() == ("Completed", f"{newest[:12]}: all 2 periods hold, and so do both copies")
    _, cache, remote = copies("rows/2013-01")
    flip(remote)
    assert say("data", "audit", "parcels").exit_code == 0
    assert last_run() == ("Completed", f"{newest[:12]}: mended from the other copy: parcels/rows/2013-01.parquet on the remote")
    allow(months, max(v or 0 for v in rows("2013-02")["weight_kg"].to_pylist()) - 0.001)
    assert say("data", "audit", "parcels").exit_code == 1
    state, message = last_run()
    assert state == "Failed"
    assert message.startswith(f"{newest[:12]}: ")
    assert " of 2 periods break the rules of today (" in message
    content = cache.read_bytes()
    flip(cache)
    flip(remote)
    assert say("data", "audit", "parcels").exit_code == 5
    assert last_run()[0] == "Failed"
    assert "parcels/rows/2013-01.parquet" in last_run()[1]
    for place in (cache, remote):
        place.write_bytes(content)


def test_a_listing_that_is_lost_in_both_copies_is_no_sound_version(months: Path) -> None:
    stores, newest = Stores(), told("show", "parcels")["id"]
    places = [place / "files" / "md5" / newest[:2] / newest[2:] for place in (stores.dvc_cache, Path(objects.remote_url(stores)))]
    content = places[0].read_bytes()
    for place in places:
        flip(place)
    said = say("data", "audit", "parcels")
    assert said.exit_code == 1
    assert "listing on the cache had other bytes; lost in both copies" in said.out
    assert last_run() == ("Failed", f"{newest[:12]}: lost in both copies: listing")
    for place in places:
        place.write_bytes(content)


def test_before_the_first_version_there_is_nothing_to_look_at(root: Path) -> None:
    write_config(root, "fresh")
    said = say("data", "audit", "fresh")
    assert (said.exit_code, said.out) == (2, "")
    assert "no data version named 'newest'" in said.err
    assert last_run() == ("Completed", "nothing to look at: fresh has no data version yet"), "a schedule may fire early"
    (root / "configs" / "fresh.yaml").unlink()


def test_a_corrected_month_names_what_rests_on_its_former_rows(months: Path) -> None:
    assert told("revisions", "parcels") == []
    assert say("data", "revisions", "parcels").out == "no period came again with other rows\n"
    write_month(months, "2013-01", changed(rows("2013-01"), "weight_kg", 3, 7.0), outcomes(rows("2013-01")))
    assert say("ingest", "parcels", "2013-01").exit_code == 0
    (revision,) = told("revisions", "parcels")
    assert (revision["period"], revision["rows_before"], revision["rows"]) == ("2013-01", ROWS, ROWS)
    assert (revision["models"], revision["predictions"]) == ([], [])
    assert revision["new"] == told("show", "parcels")["id"]
    said = say("data", "revisions", "parcels").out
    assert "fitted on the former rows: no model" in said
    unknown = say("data", "audit", "parcels", "nonsense")
    assert unknown.exit_code == 2
    assert "data version" in unknown.err
