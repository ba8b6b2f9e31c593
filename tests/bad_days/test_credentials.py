"""Wrong credentials: one sentence that names the setting and never quotes it; nothing is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bad_days.world import fingerprint, perform, pillars, record, refuses
from tests.proofs.stage import Stage

pytestmark = [pytest.mark.flow]

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        pytest.param("zz" * 32, 2, ["PILLARS_KEY must be 64 hex digits"], id="no hex"),
        pytest.param("ab" * 31, 2, ["PILLARS_KEY must be 64 hex digits"], id="too short"),
        pytest.param("", 2, ["PILLARS_KEY must be 64 hex digits"], id="empty"),
        pytest.param("ab" * 32, 5, ["another key than PILLARS_KEY", "Nothing was written"], id="of another installation"),
    ],
)
def test_a_wrong_key_is_said_to_be_the_key(clone: Path, given: str, code: int, words: list[str]):
    before = fingerprint(clone / "var")
    for arguments in (["status", "small"], ["rollback", "small"]):
        said = pillars(clone, *arguments, PILLARS_KEY=given)
        said.refuses(code, *words)
        assert not given or given not in said.out + said.err
    assert fingerprint(clone / "var") == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("", ["does not hold 64 hex digits", "from a backup"], id="empty"),
        pytest.param("ab" * 16, ["does not hold 64 hex digits"], id="half"),
        pytest.param("ö" * 64, ["does not hold 64 hex digits"], id="no hex"),
        pytest.param(None, ["is gone, and the ledger is sealed with it", "from a backup"], id="lost"),
    ],
)
def test_a_damaged_or_lost_key_file_is_never_replaced(clone: Path, content: str | None, words: list[str]):
    file = clone / "var" / "keys" / "secret"
    file.unlink()
    if content is not None:
        file.write_text(content)
    pillars(clone, "status", "small").refuses(6, "var/keys/secret", *words)
    assert (file.read_text() if file.exists() else None) == content


def test_a_key_file_with_a_line_end_is_that_key(clone: Path):
    file = clone / "var" / "keys" / "secret"
    file.write_text(file.read_text().upper() + "\n")
    assert pillars(clone, "status", "small").code == 0
    assert record(clone)


def test_mlflow_that_refuses_the_credentials(stage: Stage, refusing: str):
    before = record(stage.root)
    url = refusing.replace("http://", f"http://user:{SECRET}@")
    ended = perform(stage, "deploy", "small", before=lambda: os.environ.update(PILLARS_MLFLOW_URI=url))
    refuses(ended, 6, "MLflow", "refuses these credentials (HTTP 401)", "MLFLOW_TRACKING_USERNAME")
    assert SECRET not in ended.said
    assert record(stage.root) == before


def test_prefect_that_refuses_the_credentials(clone: Path, refusing: str):
    before = record(clone)
    said = pillars(clone, "cycle", "small", PREFECT_API_URL=f"{refusing}/api", PREFECT_API_AUTH_STRING=f"user:{SECRET}")
    said.refuses(6, "Prefect", "HTTP 401", "PREFECT_API_AUTH_STRING")
    assert SECRET not in said.err
    assert record(clone) == before


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param(f"nonsense-{SECRET}", ["PILLARS_LEDGER_URI is no SQLAlchemy URL"], id="no URL"),
        pytest.param(f"postgresql+nosuch://u:{SECRET}@127.0.0.1/x", ["PILLARS_LEDGER_URI is no SQLAlchemy URL"], id="no such driver"),
        pytest.param(f"oracle://u:{SECRET}@127.0.0.1/x", ["PILLARS_LEDGER_URI names another database"], id="another database"),
        pytest.param(f"postgresql+pg8000://u:{SECRET}@127.0.0.1/x", ["PILLARS_LEDGER_URI needs a driver that is not"], id="not installed"),
    ],
)
def test_a_ledger_url_that_is_none_is_not_quoted(clone: Path, url: str, words: list[str]):
    said = pillars(clone, "status", "small", PILLARS_LEDGER_URI=url)
    said.refuses(2, *words)
    assert SECRET not in said.err


def test_a_wrong_password_for_postgresql(clone: Path, postgresql: int):
    pytest.importorskip("psycopg")
    url = f"postgresql+psycopg://pillars:{SECRET}@127.0.0.1:{postgresql}/postgres"
    said = pillars(clone, "status", "small", PILLARS_LEDGER_URI=url)
    said.refuses(6, "the ledger", "password authentication failed", "user and password in PILLARS_LEDGER_URI")
    assert SECRET not in said.err


@pytest.mark.parametrize(
    ("verb", "name", "given", "problem"),
    [
        pytest.param(["status", "small"], "PILLARS_THREADS", "0", "greater than or equal to 1", id="threads"),
        pytest.param(["up"], "PILLARS_PORT_MLFLOW", "http", "valid integer", id="port"),
    ],
)
def test_other_settings_name_the_variable(clone: Path, verb: list[str], name: str, given: str, problem: str):
    pillars(clone, *verb, **{name: given}).refuses(2, name, problem)
