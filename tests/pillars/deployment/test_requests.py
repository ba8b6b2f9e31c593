"""The request log read back: whole, once, and to the bit."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pillars.answers.predicted import BASE, why
from pillars.deployment import requests
from pillars.deployment.logged import Logged
from pillars.deployment.server.snapshot import Arm
from pillars.errors import DataCorrupt, UnknownName
from pillars.stores import Stores
from tests.pillars.deployment.server.world import COLUMNS, ROW, InProcess, columns, settings, write_policy, write_release

ROWS = [
    {name: None if value != value else value for name, value in zip(known, row, strict=True)}
    for known in [columns(30, seed=9)]
    for row in zip(*(values.tolist() for values in known.values()), strict=True)
]
ODD = [{"distance": 0.1 + 0.2}, {"distance": 5e-324, "booked": True}, {"distance": 1 / 3, "carrier": "ZZ", "seats": 10**12}]


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(root=tmp_path, var=tmp_path / "var")


def answered(stores: Stores, rows: list[dict[str, Any]], **policy: Any) -> list[str]:
    """Ids of rows that were answered by two models, in a server that has ended."""
    champion, challenger = write_release(stores.var, 1), write_release(stores.var, 2, seed=2)
    write_policy(stores.var, 3, champion, challenger=vars(challenger) | {"weight_bp": 5_000}, **policy)
    with InProcess(settings(stores.var)) as app:
        app.ready(3)
        _, content = app.ask("POST", "/invocations", {"dataframe_records": rows})
        ids = [f"{content['request_id']}-{row}" for row in range(len(rows))]
        for row in rows[:10]:
            ids.append(app.ask("POST", "/invocations", {"dataframe_records": [row]})[1]["request_id"] + "-0")
    return ids


def entities(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"passenger": f"p{n}", "flight": f"UA{n}"} for n, row in enumerate(rows)]


def compacted(stores: Stores, done: Any) -> pa.Table:
    return pa.concat_tables([pq.read_table(stores.var / file) for file in done.files])


def test_segments_become_parquet_once(stores: Stores) -> None:
    ids = answered(stores, entities(ROWS))
    first = requests.compact(stores, "small")
    assert (first.rows, first.cut, first.waiting, len(first.files)) == (len(ids), 0, 0, 1)
    assert requests.compact(stores, "small").files == ()
    table = compacted(stores, first)
    assert table["id"].to_pylist() == ids
    assert set(table["version"].to_pylist()) == {1, 2}
    assert table.schema.field("in_distance").type == pa.float64()
    assert table.schema.field("in_carrier").type == pa.string()
    assert table.schema.field("out_decision").type == pa.bool_()
    assert "in_passenger" not in table.column_names
    assert table["in_flight"].to_pylist()[:2] == ["UA0", "UA1"]
    assert not list((stores.var / "served" / "small" / "log").iterdir())


def test_lines_of_two_contracts_of_one_model_mix_in_a_segment(stores: Stores) -> None:
    """A long request of before a switch ends after a short one of after it, and a head is said once in a segment."""
    answered(stores, entities(ROWS[:3]))
    (segment,) = requests.segments(stores.var / "served" / "small" / "log")
    lines = segment.read_bytes().splitlines(keepends=True)
    heads = [json.loads(line) for line in lines if b'"kind"' in line]
    fewer = [json.dumps({**one, "inputs": {name: kind for name, kind in one["inputs"].items() if name != "distance"}}) for one in heads]
    segment.write_bytes(b"".join([*lines[:-1], *(one.encode() + b"\n" for one in fewer), lines[-1]]))
    done = requests.compact(stores, "small")
    table = compacted(stores, done)
    assert table.num_rows == sum(b'"kind"' not in line for line in lines)
    assert table["in_distance"].null_count == 0


def test_a_model_that_fails_is_evidence_before_and_after_compaction(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    champion, challenger = write_release(stores.var, 1), write_release(stores.var, 2, seed=2)
    write_policy(stores.var, 3, champion, challenger=vars(challenger) | {"weight_bp": 5_000})
    say = Arm.say

    def failing(arm: Arm, encoded: Any, groups: Any) -> Any:
        if arm.release.version == 2:
            raise MemoryError("a planted one")
        return say(arm, encoded, groups)

    monkeypatch.setattr(Arm, "say", failing)
    with InProcess(settings(stores.var)) as app:
        app.ready(3)
        told = [app.ask("POST", "/invocations", {"dataframe_records": [row]})[0] for row in entities(ROWS)]
        whole = app.ask("POST", "/invocations", {"dataframe_records": entities(ROWS)})[0]
    assert set(told) == {200, 500}
    assert whole == 500
    lost = told.count(500)
    log = Logged(stores, "small", ("flight",))
    before = list(log.events(3))
    assert sum(one.error for one in before) == 2 * lost  # alone, and together with rows of the champion, which did not fail
    assert {one.arm for one in before if one.error} == {"challenger"}
    assert [one.score is None for one in before] == [one.error for one in before]
    assert requests.compact(stores, "small").rows == len(before)
    assert sorted(map(repr, log.events(3))) == sorted(map(repr, before))
    assert list(log.events(4)) == []
    (failed, *_) = [row["id"] for row in compacted(stores, SimpleNamespace(files=_parquet(stores))).to_pylist() if row["error"]]
    found = why(stores, "small", failed, recompute=True)
    assert (found.equal, found.note) == (None, "the model failed, and nobody was answered")


def _parquet(stores: Stores) -> list[Path]:
    return sorted((stores.var / "served" / "small" / "rows").glob("*/*.parquet"))


@pytest.mark.parametrize("first", [pytest.param(False, id="from a segment"), pytest.param(True, id="from Parquet")])
def test_every_logged_prediction_comes_out_equal_to_the_bit(stores: Stores, first: bool) -> None:
    ids = answered(stores, entities(ROWS + ODD))
    if first:
        requests.compact(stores, "small")
    arms = set()
    for id in ids:
        found = why(stores, "small", id, recompute=True)
        assert found.equal, found
        arms.add(found.arm)
    assert arms == {"champion", "challenger"}


def test_columns_have_the_same_type_in_every_file(stores: Stores) -> None:
    first = {"distance": 1.0, "flight": 7}
    answered(stores, [first, ROW])
    one = requests.compact(stores, "small")
    answered(stores, [first | {"carrier": "UA", "flight": "UA7", "booked": True, "seats": 5}])
    other = requests.compact(stores, "small")
    table = pa.concat_tables([pq.read_table(stores.var / file) for file in (*one.files, *other.files)])  # refuses unlike ones
    assert {"7", "UA7"} <= set(table["in_flight"].to_pylist())
    assert {None, 1.0} == set(table["in_booked"].to_pylist())


def test_contributions_add_up_to_the_margin(stores: Stores) -> None:
    import math

    answered(stores, [ROW])
    found = why(stores, "small", requests.newest(stores, "small")[0], recompute=True)
    assert found.contributions
    assert found.features
    assert set(found.contributions) == {*found.features, BASE}
    raw = 1 / (1 + math.exp(-sum(found.contributions.values())))
    logit = math.log(raw / (1 - raw))
    assert found.outputs["score"] == pytest.approx(1 / (1 + math.exp(-(1.1 * logit + 0.2))), abs=1e-5)  # its calibration
    assert found.features["booked"] == 1.0


def test_what_was_answered_before_a_kill_is_kept_and_a_cut_line_is_not(stores: Stores) -> None:
    ids = answered(stores, ROWS)
    segment = next((stores.var / "served" / "small" / "log").glob("*.jsonl"))
    with segment.open("ab") as handle:
        handle.write(
            b'{"id":"0123',
        )
    done = requests.compact(stores, "small")
    assert (done.rows, done.cut) == (len(ids), 11)


def test_a_segment_that_is_written_stays(stores: Stores) -> None:
    write_policy(stores.var, 1, write_release(stores.var, 1))
    with InProcess(settings(stores.var)) as app:
        app.ready().ask("POST", "/invocations", {"dataframe_records": [ROW]})
        assert requests.compact(stores, "small").waiting == 1
        id = requests.newest(stores, "small")[0]
        assert why(stores, "small", id, recompute=True).equal
    assert requests.compact(stores, "small").rows == 1


def test_a_kill_between_the_two_steps_is_made_good(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = answered(stores, ROWS)

    class Killed(BaseException):
        pass

    def die(segment: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(requests, "_remove", die)
        with pytest.raises(Killed):
            requests.compact(stores, "small")
    before = {path: path.read_bytes() for path in (stores.var / "served" / "small" / "rows").rglob("*.parquet")}
    done = requests.compact(stores, "small")
    assert done.rows == len(ids)
    assert {path: path.read_bytes() for path in (stores.var / "served" / "small" / "rows").rglob("*.parquet")} == before


def test_a_garbled_line_is_named_and_nothing_is_removed(stores: Stores) -> None:
    answered(stores, ROWS)
    segment = next((stores.var / "served" / "small" / "log").glob("*.jsonl"))
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines[:5], b'{"id": 5}\n', *lines[5:]]))
    with pytest.raises(DataCorrupt, match="line 6"):
        requests.compact(stores, "small")
    assert segment.exists()


@pytest.mark.parametrize("id", ["", "x", "0" * 32, "0" * 32 + "-0", "../../secret", "0" * 32 + "-0s1"])
def test_an_unknown_prediction_is_named(stores: Stores, id: str) -> None:
    with pytest.raises(UnknownName, match="prediction"):
        why(stores, "small", id)


def test_another_model_in_its_place_is_not_taken_for_it(stores: Stores) -> None:
    ids = answered(stores, [ROW])
    record = requests.find(stores, "small", ids[0])
    folder = stores.var / record.release
    other = stores.var / "releases" / "small" / ("v2-00000002" if record.version == 1 else "v1-00000000")
    for file in other.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    with pytest.raises(Exception, match="small"):  # the registry has none either
        why(stores, "small", ids[0], recompute=True)


def test_confidential_inputs_cannot_be_answered_again_and_that_is_said(stores: Stores) -> None:
    from pillars.deployment.server.settings import Column

    write_policy(stores.var, 1, write_release(stores.var, 1))
    with InProcess(settings(stores.var, columns=COLUMNS | {"seats": Column(kept=False)})) as app:
        app.ready().ask("POST", "/invocations", {"dataframe_records": [{"distance": 5.0, "seats": 77777.0}]})
    found = why(stores, "small", requests.newest(stores, "small")[0], recompute=True)
    assert found.equal is None
    assert "seats: confidential" in found.note
    assert "77777" not in json.dumps(vars(found))


def test_the_day_is_that_of_the_first_row(stores: Stores) -> None:
    answered(stores, [ROW])
    day = requests.compact(stores, "small").files[0].split("/")[-2]
    assert abs((datetime.now(UTC) - datetime.fromisoformat(f"{day}T00:00+00:00")).days) <= 1


def test_a_lock_says_who_still_writes(tmp_path: Path) -> None:
    import fcntl

    path = tmp_path / "a.jsonl"
    path.write_bytes(b"")
    assert requests.is_finished(path)
    fd = os.open(path, os.O_WRONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert not requests.is_finished(path)
    os.close(fd)
    assert requests.is_finished(path)
