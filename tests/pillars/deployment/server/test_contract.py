"""A release says itself what its rows hold: a new one is followed without a restart, an old one is read by the YAML as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pillars.deployment.server import snapshot as snapshots
from pillars.deployment.server.contract import Column
from pillars.deployment.server.policy import Policy, Role, Seat
from pillars.deployment.server.routing import key
from pillars.deployment.server.settings import Column as Told
from pillars.deployment.server.settings import Settings
from pillars.errors import BundleRefused
from tests.pillars.deployment.server.world import COLUMNS, ROW, SCHEMA, InProcess, logged, settings, write_policy, write_release

TYPES = {"distance": "float", "seats": "int", "booked": "bool", "carrier": "category", "flight": "text", "passenger": "text"}


def schema(nullable: set[str], kept: set[str] | None = None, **changes: Any) -> dict[str, Any]:
    """What `small` says of its rows; all is kept but the passenger's name."""
    told = [
        {"name": name, "type": kind, "nullable": name in nullable, "kept": name in ({*TYPES} - {"passenger"} if kept is None else kept)}
        for name, kind in TYPES.items()
    ]
    return {**SCHEMA, "entity": ["passenger"], "columns": told, **changes}


def taken(var: Path, schemas: list[dict[str, Any]], roles: tuple[Role, ...] = ("champion", "challenger"), **told: Any) -> dict[str, Column]:
    seats = tuple(
        Seat(role, write_release(var, n, seed=n, schema=one)) for n, (role, one) in enumerate(zip(roles, schemas, strict=False), 1)
    )
    found = snapshots.take(Policy(1, seats, key("s")), settings(var, **told), None)
    assert found
    return {column.name: column for column in found.contract.columns}


def test_a_new_release_changes_what_is_required_and_known_without_a_restart(var: Path) -> None:
    """The server was told of no column at all, and never again."""
    told = Settings("small", str(var), poll_s=0.05)
    row = {"distance": None, "seats": 150, "booked": True, "carrier": "UA", "passenger": "Zaphod", "flight": "UA1"}
    write_policy(var, 1, write_release(var, 1, schema=schema({*TYPES})))
    with InProcess(told) as app:
        assert app.ready().ask("POST", "/invocations", {"dataframe_records": [row]})[0] == 200
        assert app.ask("POST", "/invocations", {"dataframe_records": [row | {"gate": 7}]})[0] == 422
        strict = schema({*TYPES} - {"distance"}, entity=["gate"], key=["gate"])
        strict["columns"] = [*strict["columns"][:4], {"name": "gate", "type": "int", "nullable": False, "kept": True}]
        write_policy(var, 2, write_release(var, 2, seed=2, schema=strict))
        app.ready(2)
        status, said = app.ask("POST", "/invocations", {"dataframe_records": [{k: v for k, v in row.items() if k in SEEN}]})
        assert (status, said["column"]) == (422, "distance")
        assert app.ask("POST", "/invocations", {"dataframe_records": [ROW | {"gate": 7}]})[0] == 200
        assert app.ask("POST", "/invocations", {"dataframe_records": [ROW | {"flight": "UA1"}]})[0] == 422
        assert app.ask("GET", "/openapi.json")[1]["components"]["schemas"]["Row"]["required"] == ["distance"]
    first, last = logged(var)
    assert ("passenger" in first["inputs"], first["inputs"]["flight"], last["inputs"]["gate"]) == (False, "UA1", 7)
    assert None not in (first["bucket"], last["bucket"])


SEEN = ("distance", "seats", "booked", "carrier")


def test_a_release_of_before_is_read_by_what_the_server_was_told(var: Path) -> None:
    found = taken(var, [SCHEMA], columns=COLUMNS)
    assert {name for name, column in found.items() if column.required} == {"distance"}
    assert found["booked"].kind == "flag"
    assert not found["passenger"].kept
    write_policy(var, 1, write_release(var, 1, schema=SCHEMA))


def test_what_a_release_says_counts_and_not_the_yaml_of_the_start(var: Path) -> None:
    found = taken(var, [schema({"distance"})], columns=COLUMNS | {"booked": Told("float", required=False)})
    assert {name for name, column in found.items() if column.required} == {"seats", "booked", "carrier"}
    assert found["booked"].kind == "flag"


@pytest.mark.parametrize(
    ("roles", "required"),
    [
        pytest.param(("champion", "challenger"), set[str](), id="a challenger asks nothing more of the champion's requests"),
        pytest.param(("challenger", "champion"), set[str](), id="nor does the champion of the challenger's"),
        pytest.param(("champion", "shadow"), {"distance"}, id="a shadow has no say"),
    ],
)
def test_a_column_is_required_where_everybody_who_answers_requires_it(var: Path, roles: tuple[Role, ...], required: set[str]) -> None:
    found = taken(var, [schema({*TYPES} - {"distance"}), schema({*TYPES})], roles)
    assert {name for name, column in found.items() if column.required} == required


@pytest.mark.parametrize(
    ("released", "told", "kept"),
    [
        pytest.param(True, True, True, id="nobody objects"),
        pytest.param(False, True, False, id="the release"),
        pytest.param(True, False, False, id="the YAML, later"),
    ],
)
def test_a_column_is_logged_where_neither_release_nor_yaml_objects(var: Path, released: bool, told: bool, kept: bool) -> None:
    found = taken(var, [schema({*TYPES}, {"carrier"} if released else set())], columns=COLUMNS | {"carrier": Told("category", kept=told)})
    assert found["carrier"].kept is kept


def test_a_flag_takes_what_a_number_does_and_text_is_another_thing(var: Path) -> None:
    number = schema({*TYPES})
    number["columns"] = [one | {"type": "int"} if one["name"] == "booked" else one for one in number["columns"]]
    assert taken(var, [number, schema({*TYPES})])["booked"].kind == "flag"


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"columns": 7}, id="no list"),
        pytest.param({"columns": [{"name": "distance"}]}, id="half a column"),
        pytest.param({"columns": schema(set())["columns"][1:]}, id="without one that it takes"),
        pytest.param({"entity": ["gate"]}, id="an entity that is no column"),
        pytest.param({"entity": None}, id="no entity"),
        pytest.param({"columns": [{"name": "distance", "type": "blob", "nullable": True, "kept": True}]}, id="an unknown type"),
    ],
)
def test_a_schema_that_does_not_say_it_is_refused(var: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(BundleRefused, match="does not say what a row holds"):
        taken(var, [schema(set()) | wrong])
