"""What answers when a policy does not load: the champion alone, an earlier champion, the declared constant, nobody. Each says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.serving_commands import constant
from pillars.answers import predicted
from pillars.config import Project
from pillars.deployment import requests
from pillars.deployment.logged import Logged
from pillars.deployment.server import answering, decoding, watcher
from pillars.stores import Stores
from pillars.vocabulary import Release
from tests.factories import binary_project
from tests.pillars.deployment.server.world import ROW, SCHEMA, InProcess, logged, settings, write_policy, write_release
from tests.waiting import wait_until

BODY = {"dataframe_records": [ROW, ROW | {"passenger": "ada"}]}
NAMES = {"numeric": ("distance", "seats", "booked"), "categorical": ("carrier",)}
CONSTANT = NAMES | {"constant": {"score": 0.25, "decision": False}}


def broken(var: Path, release: Release) -> Release:
    """The release, its booster damaged."""
    (var / release.path / "booster-0.ubj").write_bytes(b"nothing")
    return release


def policy(var: Path, champion: Release, *previous: Release, generation: int = 5, **more: Any) -> None:
    write_policy(var, generation, champion, previous=[asdict(one) for one in previous], **more)


def answering_by(app: InProcess, fallback: str | None) -> InProcess:
    wait_until(lambda: (s := app.app.watcher.snapshot) and s.fallback == (fallback or ""), 20, 0.01, f"fallback {fallback}")
    return app


def test_the_newest_earlier_champion_that_loads_answers_and_says_so(var: Path) -> None:
    one, two = write_release(var, 1), broken(var, write_release(var, 2, seed=2))
    policy(var, broken(var, write_release(var, 3, seed=3)), two, one)
    with InProcess(settings(var, **CONSTANT)) as app:
        status, said = answering_by(app, "previous release").ask("POST", "/invocations", BODY)
        assert (status, said["model_version"], said["fallback"], said["generation"]) == (200, "1", "previous release", 5)
        told = app.ask("GET", "/version")[1]
        assert (told["fallback"], [arm["version"] for arm in told["arms"]], "v3" in told["refused"]) == ("previous release", [1], True)
        assert app.ask("GET", "/ready") == (200, {"ready": True, "fallback": "previous release"})
        assert b'pillars_fallback{kind="previous release"} 1.0' in app.ask("GET", "/metrics")[1]
    assert {row["fallback"] for row in logged(var)} == {"previous release"}


def test_the_declared_constant_answers_when_nothing_loads(var: Path) -> None:
    policy(var, broken(var, write_release(var, 2)), broken(var, write_release(var, 1, seed=2)))
    with InProcess(settings(var, **CONSTANT)) as app:
        status, said = answering_by(app, "constant").ask("POST", "/invocations", BODY)
        assert (status, said["predictions"]) == (200, [{"score": 0.25, "decision": False}] * 2)
        assert (said["model_version"], said["fallback"]) == ("0", "constant")
        tensors = [{"name": "distance", "shape": [1], "datatype": "FP64", "data": [5.0]}]
        assert app.ask("POST", "/v2/models/small/infer", {"inputs": tensors})[1]["outputs"][0]["data"] == [0.25]
        assert app.ask("POST", "/invocations", {"dataframe_records": [{"seats": 3}]})[0] == 422, "rows are held to the YAML all the same"
        assert "paths" in app.ask("GET", "/openapi.json")[1]
        assert b"/invocations" in app.ask("GET", "/docs")[1]


def test_without_a_constant_nobody_answers(var: Path) -> None:
    policy(var, broken(var, write_release(var, 1)))
    with InProcess(settings(var, **NAMES)) as app:
        wait_until(lambda: app.app.watcher.refused, 20, 0.01, "the refusal")
        assert [app.ask("GET", "/ready")[0], app.ask("POST", "/invocations", BODY)[0]] == [503, 503]


def test_where_others_answer_meanwhile_nothing_else_than_the_release_does(var: Path) -> None:
    """A pod that fell back would be ready, and an update that ought to stop would go on."""
    one = write_release(var, 1)
    policy(var, one, one, shadow=asdict(broken(var, write_release(var, 2, seed=2))) | {"weight_bp": 9_999})
    with InProcess(settings(var, **CONSTANT, falls_back=False)) as app:
        wait_until(lambda: app.app.watcher.refused, 20, 0.01, "the refusal")
        assert [app.ask("GET", "/ready")[0], app.ask("POST", "/invocations", BODY)[0]] == [503, 503]


@pytest.mark.parametrize("beside", ["challenger", "shadow"])
def test_a_champion_answers_alone_where_what_stands_beside_it_does_not_load(var: Path, beside: str) -> None:
    more = {beside: asdict(broken(var, write_release(var, 2, seed=2))) | {"weight_bp": 9_999}}
    policy(var, write_release(var, 1), **more)
    with InProcess(settings(var, **CONSTANT)) as app:
        said = answering_by(app, "champion alone").ask("POST", "/invocations", BODY)[1]
        assert (said["model_version"], said["fallback"]) == ("1", "champion alone")


def test_the_champion_takes_over_once_it_loads(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "AGAIN_S", 0.0)
    one, two = write_release(var, 1), broken(var, write_release(var, 2, seed=2))
    policy(var, two, one)
    with InProcess(settings(var, **CONSTANT)) as app:
        answering_by(app, "previous release")
        shutil.rmtree(var / two.path)
        write_release(var, 2, seed=2)
        said = answering_by(app, None).ask("POST", "/invocations", BODY)[1]
        assert (said["model_version"], "fallback" in said) == ("2", False)
        wait_until(lambda: b'pillars_fallback{kind="previous release"} 0.0' in app.ask("GET", "/metrics")[1], 10, 0.01, "the gauge")
        assert app.ask("GET", "/version")[1]["refused"] == ""


def test_a_fallback_is_held_and_not_made_anew_at_every_look(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "AGAIN_S", 0.0)
    policy(var, broken(var, write_release(var, 2, seed=2)), write_release(var, 1))
    taken: list[Any] = []
    found = watcher.Watcher(settings(var, **CONSTANT), taken.append, lambda: None)
    for _ in range(4):
        found.look()
    assert [one.fallback for one in taken] == ["previous release"]


def test_a_good_snapshot_stays_whatever_the_next_policy_names(var: Path) -> None:
    one = write_release(var, 1)
    policy(var, one)
    found = watcher.Watcher(settings(var, **CONSTANT), lambda _: None, lambda: None)
    found.look()
    policy(var, broken(var, write_release(var, 2, seed=2)), write_release(var, 3, seed=3), generation=6)
    found.look()
    assert found.snapshot
    assert (found.snapshot.champion.release, found.snapshot.fallback, bool(found.refused)) == (one, "", True)


@pytest.mark.parametrize("content", [b"", b'{"format": 1, "champ'])
def test_a_policy_that_cannot_be_read_leaves_the_constant(var: Path, content: bytes) -> None:
    """A folder of releases does not say which were taken back for harm."""
    policy(var, write_release(var, 1))
    settings(var).policy.write_bytes(content)
    with InProcess(settings(var, **CONSTANT)) as app:
        assert answering_by(app, "constant").ask("POST", "/invocations", BODY)[1]["generation"] == 0
        policy(var, write_release(var, 1))
        answering_by(app, None)


def test_a_withdrawn_project_has_no_fallback(var: Path) -> None:
    found = watcher.Watcher(settings(var, **CONSTANT), lambda _: None, lambda: None)
    policy(var, broken(var, write_release(var, 1)))
    found.look()
    assert found.snapshot
    write_policy(var, 6, None)
    found.look()
    assert found.snapshot is None


def test_an_earlier_release_takes_the_rows_of_the_champion(var: Path) -> None:
    """It was fitted before a column was there: that column is not refused, and not seen."""
    inputs = [one for one in SCHEMA["inputs"] if one["name"] != "seats"]  # type: ignore[attr-defined]
    narrow = write_narrow(var, inputs)
    policy(var, broken(var, write_release(var, 2, seed=2)), narrow)
    with InProcess(settings(var, **CONSTANT)) as app:
        status, said = answering_by(app, "previous release").ask("POST", "/invocations", BODY)
        assert (status, said["model_version"]) == (200, "1")


def write_narrow(var: Path, inputs: list[Any]) -> Release:
    """A release without `seats`."""
    import xgboost

    from pillars.bundle.bundle import Bundle, write_bundle
    from pillars.bundle.encoder import Encoder
    from tests.pillars.deployment.server.world import columns

    known = {name: values for name, values in columns().items() if name != "seats"}
    encoder = Encoder.fit(known, ["distance", "booked"], ["carrier"])
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(encoder.encode(known), known["distance"] > 900), num_boost_round=2)
    golden = {name: values[:5] for name, values in known.items()}
    raw, path = bytes(booster.save_raw("ubj")), "releases/small/v1-narrow"
    sha256 = write_bundle(
        var / path, "small", [raw], encoder, {"kind": "none"}, {"threshold": 0.4}, {**SCHEMA, "inputs": inputs}, golden, {}
    )
    return Release("small", 1, sha256, path, Bundle.load(var / path).digest)


def test_what_a_fallback_answered_is_no_evidence_and_stays_explicable(var: Path) -> None:
    policy(var, broken(var, write_release(var, 1)))
    with InProcess(settings(var, **CONSTANT)) as app:
        said = answering_by(app, "constant").ask("POST", "/invocations", BODY)[1]
    stores = Stores(var=var)
    log = Logged(stores, "small")
    assert list(log.events(0)) == []
    requests.compact(stores, "small")
    assert list(log.events(0)) == []
    assert log.unreadable == 0
    file = next(var.rglob("*.parquet"))
    assert pq.read_table(file)["fallback"].to_pylist() == ["constant"] * 2
    assert "declared constant answered" in predicted.why(stores, "small", f"{said['request_id']}-0", recompute=True).note


def test_a_request_that_fails_in_the_server_is_evidence(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy(var, write_release(var, 1), challenger=asdict(write_release(var, 2, seed=2)) | {"weight_bp": 5_000})
    rows = [ROW | {"passenger": f"p{n}"} for n in range(30)]

    def fail(*_: object, **__: object) -> Any:
        raise ZeroDivisionError

    with InProcess(settings(var)) as app:
        app.ready(5)
        with monkeypatch.context() as patched:
            patched.setattr(answering, "about", fail)  # after the models answered
            assert app.ask("POST", "/invocations", {"dataframe_records": rows})[0] == 500
        with monkeypatch.context() as patched:
            patched.setattr(decoding.Decoders, "records", fail)  # before the rows were known
            assert app.ask("POST", "/invocations", {"dataframe_records": rows})[0] == 500
    found = logged(var)
    assert len(found) == 31
    assert all(row["error"] and row["outputs"] == {} for row in found)
    assert {row["arm"] for row in found[:30]} == {"champion", "challenger"}
    assert all((row["bucket"] < 5_000) == (row["arm"] == "challenger") for row in found[:30])
    assert len(list(Logged(Stores(var=var), "small").events(5))) == 31


def test_a_shadow_that_fails_is_evidence_and_is_paired(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy(var, write_release(var, 1), shadow=asdict(write_release(var, 2, seed=2)))
    with InProcess(settings(var)) as app:
        app.ready(5)
        app.ask("POST", "/invocations", BODY)
        wait_until(lambda: len(logged(var)) == 4, 10, 0.02, "the shadow")
        snapshot = app.app.watcher.snapshot
        assert snapshot
        monkeypatch.setattr(snapshot.shadows[0].bundle.encoder.__class__, "encode_rows", fail_from(snapshot.shadows[0]))
        assert app.ask("POST", "/invocations", BODY)[0] == 200
        wait_until(lambda: len(logged(var)) == 8, 10, 0.02, "the shadow")
    events = list(Logged(Stores(var=var), "small").events(5))
    pairs = {(event.entity, event.at) for event in events}
    assert len(pairs) == 4, "each of a shadow's rows has entity and time of the row that it was shown"
    assert [event.error for event in events if event.arm == "shadow"] == [False, False, True, True]
    assert not [event for event in events if event.arm == "champion" and event.error]


def fail_from(arm: Any) -> Callable[..., Any]:
    real = type(arm.bundle.encoder).encode_rows

    def encode_rows(self: Any, *given: Any) -> Any:
        if self is arm.bundle.encoder:
            raise ZeroDivisionError
        return real(self, *given)

    return encode_rows


def of_task(task: str, fallback: Any, **more: Any) -> Project:
    columns = {
        "at": {"type": "timestamp", "role": ["key", "time"]},
        "load": {"type": "float"},
        "late": {"type": {"binary": "bool", "multiclass": "category", "regression": "float"}[task], "role": ["outcome"]},
    }
    if task == "multiclass":
        more["classes"] = ["a", "b", "c"]
    if task == "regression":
        more["gate"] = {"loss": "squared_error"}
    features = {"numeric": ["load"], "categorical": []}
    return binary_project(task=task, columns=columns, features=features, rollout={"fallback": fallback}, **more)


@pytest.mark.parametrize(
    ("project", "said"),
    [
        pytest.param(lambda: of_task("binary", None), {}, id="none"),
        pytest.param(lambda: of_task("binary", 0.2), {"score": 0.2, "decision": False}, id="binary"),
        pytest.param(
            lambda: of_task("binary", 0.2, cost={"false_negative": 9.0}), {"score": 0.2, "decision": True}, id="binary, decided by costs"
        ),
        pytest.param(
            lambda: of_task("multiclass", {"b": 0.7, "a": 0.3, "c": 0}),
            {"score": 0.7, "decision": "b", "p_a": 0.3, "p_b": 0.7, "p_c": 0.0},
            id="multiclass",
        ),
        pytest.param(lambda: of_task("regression", -4), {"score": -4.0}, id="regression"),
    ],
)
def test_the_constant_is_what_the_yaml_declares(project: Callable[[], Project], said: dict[str, Any]) -> None:
    assert constant(project()) == said


def test_the_constant_of_several_classes_and_of_numbers_is_answered(var: Path) -> None:
    for said in (
        {"score": 0.7, "decision": "b", "p_a": 0.3, "p_b": 0.7},
        {"score": -4.0, "low": None, "high": None},
    ):
        policy(var, broken(var, write_release(var, 1)))
        with InProcess(settings(var, **NAMES, constant=said)) as app:
            status, content = answering_by(app, "constant").ask("POST", "/invocations", BODY)
            assert (status, content["predictions"]) == (200, [said] * 2)
    assert json.loads(json.dumps(logged(var)[-1]["outputs"])) == said
