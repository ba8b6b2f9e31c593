"""What is answered: the scores of training, by the arm of the row's entity, on record before it is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pillars.bundle.bundle import Bundle
from pillars.deployment.server.contract import LARGEST
from pillars.deployment.server.settings import Limits
from tests.pillars.deployment.server.world import ROW, InProcess, columns, logged, settings, write_policy, write_release
from tests.waiting import wait_until

TOKEN = {"authorization": "Bearer s3cret-token"}
NUMBER = st.none() | st.floats(-LARGEST, LARGEST, allow_nan=False) | st.integers(-(10**12), 10**12) | st.sampled_from([0.0, -0.0, 5e-324])
ROWS = st.lists(
    st.fixed_dictionaries(
        {"distance": st.floats(-LARGEST, LARGEST, allow_nan=False) | st.integers(-(10**20), 10**20)},
        optional={"seats": NUMBER, "booked": st.booleans() | NUMBER, "carrier": st.none() | st.sampled_from(["UA", "AA", "ZZ", "", "ü"])},
    ),
    min_size=1,
    max_size=8,
)


def trained(bundle: Bundle, rows: list[dict[str, Any]]) -> list[float]:
    """What `Bundle.predict` says, as batch scoring and training call it."""
    numbers = {n: np.array([row.get(n) for row in rows], dtype=np.float64) for n in bundle.encoder.numeric}
    words = {n: np.array([row.get(n) for row in rows], dtype=object) for n in bundle.encoder.categorical}
    return bundle.predict(numbers | words).score.tolist()


@given(rows=ROWS)
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_online_and_batch_and_training_say_the_same_bits(asked_only: InProcess, rows: list[dict[str, Any]]) -> None:
    assert asked_only.app.watcher.snapshot
    wanted = trained(asked_only.app.watcher.snapshot.champion.bundle, rows)

    def scores(path: str, body: Any) -> list[float]:
        status, content = asked_only.ask("POST", path, body, TOKEN)
        assert status == 200, content
        return [one["score"] for one in content["predictions"]] if "predictions" in content else content["outputs"][0]["data"]

    names = ["carrier", "booked", "distance", "seats"]
    frame = {"columns": names, "data": [[row.get(name) for name in names] for row in rows]}
    kinds = {"carrier": "BYTES"}
    inputs = [{"name": n, "shape": [len(rows)], "datatype": kinds.get(n, "FP64"), "data": [row.get(n) for row in rows]} for n in names]
    assert scores("/invocations", {"dataframe_records": rows}) == wanted
    assert [scores("/invocations", {"dataframe_records": [row]})[0] for row in rows] == wanted
    assert scores("/invocations", {"dataframe_split": frame}) == wanted
    assert scores("/v2/models/small/infer", {"inputs": inputs}) == wanted


def test_many_at_once_get_each_their_own(var: Path) -> None:
    write_policy(var, 1, write_release(var, 1))
    known = columns(60, seed=5)
    rows = [{name: None if values[i] != values[i] else values[i] for name, values in known.items()} for i in range(60)]
    with InProcess(settings(var)) as app:
        app.ready()
        found = app.ask_all([{"dataframe_records": [row]} for row in rows])
        assert app.app.watcher.snapshot
        wanted = trained(app.app.watcher.snapshot.champion.bundle, rows)
        assert [content["predictions"][0]["score"] for _, content in found] == wanted
        assert app.app.batcher.flushes < 10  # together, not one by one
        mixed = app.ask_all([{"dataframe_records": rows * 10}, *[{"dataframe_records": rows}] * 5, {"dataframe_records": rows * 20}])
        assert [len(content["predictions"]) for _, content in mixed] == [600, *[60] * 5, 1200]  # the large ones on a thread
        assert all([one["score"] for one in c["predictions"]] == wanted * (len(c["predictions"]) // 60) for _, c in mixed)


def test_an_answer_is_on_record_when_it_is_said(var: Path) -> None:
    write_policy(var, 7, write_release(var, 3))
    with InProcess(settings(var)) as app:
        trace = "0af7651916cd43dd8448eb211c80319c"
        _, content = app.ready(7).ask(
            "POST",
            "/invocations",
            {"dataframe_records": [ROW, ROW | {"flight": "UA1"}]},
            {"traceparent": f"00-{trace}-b7ad6b7169203331-01"},
        )
        one, other = logged(var)
    assert [one["id"], other["id"]] == [f"{content['request_id']}-0", f"{content['request_id']}-1"]
    assert (one["version"], one["generation"], one["arm"], one["trace"]) == (3, 7, "champion", trace)
    assert one["outputs"] == content["predictions"][0]
    assert other["inputs"] == ROW | {"seats": 150.0, "flight": "UA1"}
    assert one["took_us"] > 0


def test_a_full_disk_answers_nobody(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_policy(var, 1, write_release(var, 1))
    with InProcess(settings(var)) as app:
        app.ready()

        def refuse(lines: bytes, heads: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(app.app.log, "write", refuse)
            assert app.ask("POST", "/invocations", {"dataframe_records": [ROW]})[0] == 503
        assert app.ask("POST", "/invocations", {"dataframe_records": [ROW]})[0] == 200


def test_a_full_disk_under_the_servers_own_messages_too_is_still_said(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where `pillars up` keeps them: beside the log."""
    write_policy(var, 1, write_release(var, 1))

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with InProcess(settings(var)) as app:
        app.ready()
        with monkeypatch.context() as patch:
            patch.setattr(app.app.log, "write", refuse)
            patch.setattr("sys.stderr.write", refuse)
            status, said = app.ask("POST", "/invocations", {"dataframe_records": [ROW]})
    assert (status, said["error_code"]) == (503, "LOG")


def test_confidential_columns_are_in_no_file(var: Path) -> None:
    planted = "Ada Planted-Lovelace"
    write_policy(var, 1, write_release(var, 1))
    with InProcess(settings(var)) as app:
        _, content = app.ready().ask("POST", "/invocations", {"dataframe_records": [ROW | {"passenger": planted, "flight": "UA1"}]})
        assert planted not in json.dumps(content)
        assert planted not in app.ask("GET", "/metrics")[1].decode()
    row = logged(var)[0]
    assert row["bucket"] is not None
    assert "passenger" not in row["inputs"]
    assert not [p for p in var.rglob("*") if p.is_file() and planted.encode() in p.read_bytes()]


def test_a_column_that_the_server_was_not_told_of_is_not_logged(var: Path) -> None:
    from tests.pillars.deployment.server.world import COLUMNS

    write_policy(var, 1, write_release(var, 1))
    told = {name: column for name, column in COLUMNS.items() if name != "seats"}  # the YAML of before
    with InProcess(settings(var, columns=told)) as app:
        assert app.ready().ask("POST", "/invocations", {"dataframe_records": [ROW | {"seats": 77_777}]})[0] == 200
        assert "seats" not in app.ask("GET", "/docs")[1].decode().partition("</pre>")[0]
    assert "seats" not in logged(var)[0]["inputs"]


def test_an_unknown_category_is_answered_with_a_warning(asked_only: InProcess) -> None:
    rows = [ROW, ROW | {"carrier": "ZZ"}, ROW | {"carrier": None}]
    status, content = asked_only.ask("POST", "/invocations", {"dataframe_records": rows}, TOKEN)
    assert (status, content["warnings"]) == (200, {"unknown_category": {"carrier": [1]}})
    assert "ZZ" not in json.dumps(content)


@pytest.mark.parametrize("weight", [0, 2_000, 10_000])
def test_rows_of_one_request_go_each_to_its_own_arm(var: Path, weight: int) -> None:
    champion, challenger = write_release(var, 1), write_release(var, 2, seed=2)
    write_policy(var, 1, champion, challenger=vars(challenger) | {"weight_bp": weight})
    rows = [ROW | {"distance": 50.0 * n, "passenger": f"p{n}"} for n in range(40)]
    with InProcess(settings(var)) as app:
        _, content = app.ready().ask("POST", "/invocations", {"dataframe_records": rows})
        snapshot = app.app.watcher.snapshot
        assert snapshot
        said = {arm.release.version: trained(arm.bundle, rows) for arm in snapshot.arms}
        again = app.ask("POST", "/invocations", {"dataframe_records": rows})[1]
    record = logged(var)
    assert [r["outputs"] for r in record[:40]] == content["predictions"]
    assert [said[r["version"]][n] for n, r in enumerate(record[:40])] == [one["score"] for one in content["predictions"]]
    assert all((r["bucket"] < weight) == (r["arm"] == "challenger") for r in record)
    assert again["predictions"] == content["predictions"]  # the same entity, the same model
    assert len({r["version"] for r in record}) == (2 if weight == 2_000 else 1)


def test_a_slow_challenger_does_not_make_the_champion_look_slow(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are asked in the same turn of the loop."""
    import time

    write_policy(var, 1, write_release(var, 1), challenger=vars(write_release(var, 2, seed=2)) | {"weight_bp": 5_000})
    with InProcess(settings(var)) as app:
        snapshot = app.ready().app.watcher.snapshot
        assert snapshot
        say = type(snapshot.champion).say

        def slow(self: Any, *given: Any) -> Any:
            time.sleep(0.3 if self.role == "challenger" else 0.0)
            return say(self, *given)

        monkeypatch.setattr(type(snapshot.champion), "say", slow)
        app.ask_all([{"dataframe_records": [ROW | {"passenger": f"p{n}"}]} for n in range(20)])
    took = {arm: [row["took_us"] / 1e6 for row in logged(var) if row["arm"] == arm] for arm in ("champion", "challenger")}
    assert min(took["challenger"]) > 0.29
    assert len(took["champion"]) > 3
    assert max(took["champion"]) < 0.29


def test_an_entity_of_the_header_counts_for_all_rows(var: Path) -> None:
    write_policy(var, 1, write_release(var, 1), challenger=vars(write_release(var, 2, seed=2)) | {"weight_bp": 5_000})
    with InProcess(settings(var)) as app:
        app.ready()
        for n in range(20):
            app.ask("POST", "/invocations", {"dataframe_records": [ROW, ROW | {"passenger": "other"}]}, {"x-entity-key": f"e{n}"})
    rows = logged(var)
    assert all(one["bucket"] == other["bucket"] for one, other in zip(rows[::2], rows[1::2], strict=True))
    assert {row["version"] for row in rows} == {1, 2}


def test_rows_without_an_entity_meet_challengers_too(var: Path) -> None:
    write_policy(var, 1, write_release(var, 1), challenger=vars(write_release(var, 2, seed=2)) | {"weight_bp": 5_000})
    with InProcess(settings(var)) as app:
        app.ready()
        for _ in range(40):
            app.ask("POST", "/invocations", {"dataframe_records": [ROW]})
    assert {(row["version"], row["bucket"]) for row in logged(var)} == {(1, None), (2, None)}


def test_a_version_that_is_named_answers(var: Path) -> None:
    write_policy(var, 1, write_release(var, 1), shadow=vars(write_release(var, 2, seed=2)))
    tensor = {"name": "distance", "shape": [1], "datatype": "FP64", "data": [5.0]}
    with InProcess(settings(var)) as app:
        _, content = app.ready().ask("POST", "/v2/models/small/versions/2/infer", {"inputs": [tensor]})
    assert content["model_version"] == "2"


def test_shadows_see_everything_and_answer_nobody(var: Path) -> None:
    write_policy(var, 1, write_release(var, 1), shadow=vars(write_release(var, 2, seed=2)))
    with InProcess(settings(var)) as app:
        _, content = app.ready().ask("POST", "/invocations", {"dataframe_records": [ROW, ROW | {"distance": 3}]})
        assert content["model_version"] == "1"
        wait_until(lambda: len(logged(var)) == 4, 10, 0.02, "the shadow")
        snapshot = app.app.watcher.snapshot
        assert snapshot
        wanted = trained(snapshot.shadows[0].bundle, [ROW, ROW | {"distance": 3}])
    shadow = [row for row in logged(var) if row["arm"] == "shadow"]
    assert [row["outputs"]["score"] for row in shadow] == wanted
    assert [row["id"] for row in shadow] == [f"{content['request_id']}-0s2", f"{content['request_id']}-1s2"]


def test_a_switch_between_two_requests_is_seen_by_the_second(var: Path) -> None:
    write_policy(var, 1, write_release(var, 1))
    with InProcess(settings(var)) as app:
        first = app.ready().ask("POST", "/invocations", {"dataframe_records": [ROW]})[1]
        write_policy(var, 2, write_release(var, 2, seed=2))
        second = app.ready(2).ask("POST", "/invocations", {"dataframe_records": [ROW]})[1]
    assert (first["model_version"], second["model_version"]) == ("1", "2")
    assert first["predictions"] != second["predictions"]


def test_nobody_answers_without_a_policy(var: Path) -> None:
    with InProcess(settings(var)) as app:
        assert [app.ask("GET", "/live")[0], app.ask("GET", "/ready")[0]] == [200, 503]
        assert app.ask("POST", "/invocations", {"dataframe_records": [ROW]})[0] == 503
        assert app.ask("GET", "/version")[1]["generation"] is None


def test_too_many_at_once_are_sent_away(var: Path) -> None:
    write_policy(var, 1, write_release(var, 1))
    with InProcess(settings(var, limits=Limits(requests=3))) as app:
        found = app.ready().ask_all([{"dataframe_records": [ROW]}] * 10)
    assert sorted({status for status, _ in found}) == [200, 503]


def test_the_other_kinds_of_target_are_answered(var: Path) -> None:
    write_policy(var, 1, write_release(var, 1, calibration={"kind": "none"}, decision={"task": "regression", "interval": {"width": 0.25}}))
    with InProcess(settings(var)) as app:
        _, content = app.ready().ask("POST", "/invocations", {"dataframe_records": [ROW]})
    said = content["predictions"][0]
    assert said["low"] == said["score"] - 0.25
    assert said["high"] == said["score"] + 0.25


def test_what_the_document_says_is_what_is_there(asked_only: InProcess) -> None:
    _, document = asked_only.ask("GET", "/openapi.json", headers=TOKEN)
    for path, verbs in document["paths"].items():
        for verb in verbs:
            assert asked_only.ask(verb.upper(), path, None, TOKEN)[0] not in (404, 405, 500)
    assert document["components"]["schemas"]["Row"]["required"] == ["distance"]


def test_the_page_shows_a_call_that_works(asked_only: InProcess) -> None:
    import html
    import re

    _, page = asked_only.ask("GET", "/docs", headers=TOKEN)
    call = html.unescape(re.search(r"<pre>(.*)</pre>", page.decode(), re.DOTALL).group(1))  # type: ignore[union-attr]
    body = call.partition(" -d '")[2].removesuffix("'")
    assert asked_only.ask("POST", "/invocations", body.encode(), TOKEN)[0] == 200
    assert "http" not in page.decode().replace(call, "").replace(html.escape(call), "")  # nothing is loaded from elsewhere
