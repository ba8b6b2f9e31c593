"""What the request log holds of people: nothing that the data set does not, so that nothing has to be forgotten; sealed, nothing at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.serving_commands import told
from pillars.answers.predicted import why
from pillars.answers.served import log_of, seal_of
from pillars.answers.trials import Everything
from pillars.config import Project
from pillars.data import keyring, sealing, subjects
from pillars.deployment import requests
from pillars.deployment.segments import Lines, segments
from pillars.errors import DataCorrupt, StoreUnavailable
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from tests.pillars.deployment.server.world import SCHEMA, InProcess, write_policy, write_release

NAME, SEATS, DISTANCE, CITY = "Slartibartfast", 424242.0, 98765.25, "Magrathea"
COLUMNS = {
    "flight": {"type": "text", "role": ["key"], "nullable": False},
    "at": {"type": "timestamp", "role": ["time"]},
    "distance": {"type": "float", "role": ["feature"]},
    "seats": {"type": "int", "role": ["feature"], "class": "sensitive"},
    "booked": {"type": "bool", "role": ["feature"]},
    "carrier": {"type": "category", "role": ["feature"]},
    "passenger": {"type": "text", "role": ["entity"], "class": "personal"},
    "late": {"type": "bool", "role": ["outcome"]},
}
PRIVACY: dict[str, Any] = {"subject": "passenger", "k": 2, "quasi": {"distance": [500]}}
ROW = {"flight": "UA1", "distance": DISTANCE, "seats": SEATS, "booked": True, "carrier": CITY, "passenger": NAME}


HARMLESS = COLUMNS | {"seats": {"type": "int", "role": ["feature"]}}


def project(columns: dict[str, Any] = COLUMNS, **privacy: Any) -> Project:
    return Project.model_validate(
        {
            "project": "small",
            "target": "late",
            "source": {"python": "projects.small"},
            "columns": columns,
            "features": {"numeric": ["distance", "seats", "booked"], "categorical": ["carrier"]},
            "privacy": privacy,
        }
    )


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(root=tmp_path, var=tmp_path / "var")


def served(stores: Stores, config: Project, releases_say: bool = True) -> list[str]:
    """Answered, refused and shadowed requests of a person; the ids of what was answered, and what the server says of itself."""
    schema = {**SCHEMA, "entity": list(config.entity), "columns": config.asked} if releases_say else SCHEMA
    one, two = (write_release(stores.var, n, seed=n, schema=schema) for n in (1, 2))
    write_policy(stores.var, 1, one, shadow=vars(two))
    settings = told(stores, config, "127.0.0.1", 1, 1)
    assert NAME not in repr(settings)
    with InProcess(settings) as app:
        app.ready()
        ids = []
        for headers in ({}, {"x-entity-key": NAME}):
            status, said = app.ask("POST", "/invocations", {"dataframe_records": [ROW, ROW | {"passenger": None}]}, headers)
            assert status == 200, said
            ids += [f"{said['request_id']}-{row}" for row in (0, 1)]
        assert app.ask("POST", "/invocations", {"dataframe_records": [ROW | {"passenger": [NAME]}]})[0] == 422
        assert NAME not in str(app.ask("GET", "/metrics")[1])
    return ids


def on_disk(stores: Stores) -> bytes:
    found = [path.read_bytes() for path in (stores.var / "served").rglob("*") if path.is_file()]
    assert found
    return b"".join(found)


def lines(stores: Stores, config: Project) -> list[dict[str, Any]]:
    found = [line for path in segments(stores.var / "served" / "small" / "log") for line in Lines(path, log_of(stores, config))]
    assert None not in found
    return [one for one in (json.loads(line or b"") for line in found) if one.get("kind") != "model"]


@pytest.mark.parametrize("releases_say", [pytest.param(True, id="the release says it"), pytest.param(False, id="the YAML says it")])
@pytest.mark.parametrize("encrypt", [False, True])
def test_no_line_holds_who_it_was_nor_what_is_never_shown(stores: Stores, encrypt: bool, releases_say: bool) -> None:
    config = project(encrypt=encrypt, **PRIVACY)
    served(stores, config, releases_say)
    rows = lines(stores, config)
    assert len(rows) == 8, "four answers, and what the shadow would have said"
    for row in rows:
        assert row["inputs"] == {"booked": True, "carrier": CITY, "flight": "UA1"}
    told_open = [NAME, str(SEATS), str(DISTANCE)]
    assert not [word for word in told_open if word in json.dumps(rows) or word.encode() in on_disk(stores)]
    assert (CITY.encode() in on_disk(stores)) is not encrypt


def test_a_persons_key_has_nothing_to_open_here_before_or_after_it_was_destroyed(stores: Stores) -> None:
    """Lines hold no pseudonym either: the server has no key of anybody, so no destroyed one is missed and none is made."""
    config = project(encrypt=True, **PRIVACY)
    keys = subjects.keys_of(stores, "small", [NAME])
    ids = served(stores, config)
    before = lines(stores, config)
    assert subjects.destroy(stores, "small", NAME)
    assert lines(stores, config) == before
    requests.compact(stores, "small", log_of(stores, config))
    found = why(stores, "small", ids[0], recompute=True, kept=log_of(stores, config))
    assert (found.equal, "seats" in found.note) == (None, True)
    assert not [word for word in (NAME, keys[NAME].hex()) if word in repr(found) or word.encode() in on_disk(stores)]
    assert not subjects.destroy(stores, "small", NAME), "answering and looking made no new key"


def test_a_sealed_log_is_read_by_all_who_read_the_open_one_after_a_rotation_too(stores: Stores) -> None:
    config, plain = project(HARMLESS, encrypt=True), project(HARMLESS)
    ids = served(stores, config)
    sealing.write(stores, "raw/small/x", b"of a file key", seal=True)
    assert sealing.rotate(stores).dropped
    log = log_of(stores, config)
    events = [sorted(map(repr, Everything(stores, config, Ledger(stores)).events(1)))]
    assert len(events[0]) == 8
    assert {why(stores, "small", id, recompute=True, kept=log).equal for id in ids} == {True}
    done = requests.compact(stores, "small", log)
    assert (done.rows, done.cut) == (8, 0)
    assert sealing.rotate(stores).dropped
    events.append(sorted(map(repr, Everything(stores, config, Ledger(stores)).events(1))))
    assert events[0] == events[1]
    assert {why(stores, "small", id, recompute=True, kept=log).equal for id in ids} == {True}
    (file,) = done.files
    assert (stores.var / file).stat().st_mode & 0o777 == 0o600
    with sealing.open_file(stores, file) as content:
        assert pq.read_table(content)["in_carrier"].to_pylist() == [CITY] * 8
    assert CITY.encode() not in (stores.var / file).read_bytes()
    later = why(stores, "small", ids[0], kept=log_of(stores, plain))
    assert later.inputs["carrier"] == CITY, "switched off, what was sealed before is opened all the same"


def test_without_its_key_a_sealed_log_is_noise_and_that_is_said(stores: Stores) -> None:
    config = project(encrypt=True)
    ids = served(stores, config)
    (segment,) = segments(stores.var / "served" / "small" / "log")
    content = bytearray(segment.read_bytes())
    content[-5] ^= 1
    segment.write_bytes(content)
    with pytest.raises(DataCorrupt, match="that its seal says"):
        requests.compact(stores, "small", log_of(stores, config))
    assert segment.exists()
    log = Everything(stores, config, Ledger(stores))
    assert len(list(log.events(1))) < 8
    assert log.unreadable == 1
    (stores.var / keyring.FILE).unlink()
    with pytest.raises(StoreUnavailable, match="not on the ring"):
        why(stores, "small", ids[0], kept=log_of(stores, config))
    assert seal_of(stores, project()) is None
