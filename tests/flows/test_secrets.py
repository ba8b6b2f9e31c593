"""A source whose address lies in a Secret block of a real Prefect server; and what is left of it when its driver quotes the password."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from prefect.logging.handlers import APILogHandler

from deployments.supervisor import end
from pillars.errors import StoreUnavailable
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from tasks.secrets import reveal
from tests.bad_days.peers import SERVERS, postgresql_server
from tests.bad_input.door import say
from tests.bad_input.parcels import CONFIG, outcomes, rows, write_config, write_parcels
from tests.clone import make_clone
from tests.small import enter
from tests.waiting import wait_until

pytestmark = [pytest.mark.flow]

PREFECT = (sys.executable, "-m", "prefect", "--no-prompt")
PERSON = "Zaphod Beeblebrox"
PASSWORD = "geheim/4711@depot"  # with what an address has to escape
ESCAPED = "geheim%2F4711%40depot"
QUERIES = {"rows": "SELECT p.*, o.late, o.delay_min FROM parcels p JOIN results o USING (at, parcel) ORDER BY at"}
TALKING = '''"""A source whose driver quotes its whole address."""
import logging
import os

class Depot:
    def periods(self):
        return ["2013-01"]

    def rows(self, period):
        url = os.environ["DEPOT_DB"]
        logging.getLogger("depot.driver").error("cannot connect to %s, tried\\n%s", url, {"url": url})
        try:
            raise RuntimeError(f"no pg_hba entry\\nfor {url}")
        except RuntimeError as err:
            raise ValueError("connection refused: " + url.split(":")[2].split("@")[0]) from err

    outcomes = rows

def source():
    return Depot()
'''


@pytest.fixture
def root(tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = write_parcels(make_clone(tmp_path / "project"))
    enter(made, monkeypatch)
    return made


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a PostgreSQL that holds the parcels, and whose user needs our password."""
    psycopg = pytest.importorskip("psycopg")
    with postgresql_server(tmp_path_factory.mktemp("postgresql")) as port:
        address = f"postgresql://pillars:{SERVERS}@127.0.0.1:{port}/postgres"

        def answers() -> bool:
            try:
                return bool(psycopg.connect(address).close() is None)
            except psycopg.OperationalError:  # it is still starting
                return False

        wait_until(answers, what="PostgreSQL")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
            fill(lambda statement, values=None: connection.execute(statement.replace("?", "%s"), values))
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        yield port


def fill(execute: object) -> None:
    """Two months of parcels and their outcomes."""
    run = execute  # type: ignore[assignment]
    kinds = "at timestamp, parcel int, weight_kg float, carrier text, stops int, express boolean, note text"
    run(f"CREATE TABLE parcels ({kinds})")  # type: ignore[operator]
    run("CREATE TABLE results (at timestamp, parcel int, late boolean, delay_min float)")  # type: ignore[operator]
    for period in ("2013-01", "2013-02"):
        table = rows(period)
        for name, part in (("parcels", table), ("results", outcomes(table))):
            for row in part.to_pylist():
                run(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", tuple(row.values()))  # type: ignore[operator]


def save(name: str, value: str) -> None:
    from prefect.blocks.system import Secret

    Secret(value=value).save(name, overwrite=True)


def everywhere(root: Path) -> Iterator[tuple[str, bytes]]:
    """All that was written: the clone, and the server's home with its database."""
    APILogHandler().flush()
    for folder in (root, Path(os.environ["PREFECT_HOME"])):
        for file in folder.rglob("*"):
            if file.is_file() and not file.is_symlink():
                yield str(file), file.read_bytes()


def nowhere(root: Path, *values: str) -> None:
    found = [(path, value) for path, content in everywhere(root) for value in values if value.encode() in content]
    assert not found


def server_says(asked: str) -> list[str]:
    with sqlite3.connect(f"file:{os.environ['PREFECT_HOME']}/prefect.db?mode=ro", uri=True) as connection:
        return [str(row[0]) for row in connection.execute(asked)]


def test_a_source_behind_a_block_is_ingested_and_its_password_lies_nowhere(root: Path, postgresql: int) -> None:
    save("depot-db", f"postgresql+psycopg://reader:{ESCAPED}@127.0.0.1:{postgresql}/postgres")
    write_config(root, "depot", source={"sql": {"url_from": "block:depot-db", **QUERIES}})
    said = say("ingest", "depot", "2013-02")
    assert said.exit_code == 0, said.err
    assert say("data", "source", "depot").exit_code == 0
    batch = Ledger(Stores()).entries("depot", "ingest")[-1]
    assert (batch.outcome, batch.facts["rows"]) == ("accept", 40)
    nowhere(root, PASSWORD, ESCAPED)


def test_a_wrong_password_in_a_block_is_said_and_quoted_nowhere(root: Path, postgresql: int) -> None:
    save("depot-db", f"postgresql+psycopg://reader:wrong-4712@127.0.0.1:{postgresql}/postgres")
    write_config(root, "depot", source={"sql": {"url_from": "block:depot-db", **QUERIES}})
    said = say("ingest", "depot", "2013-02")
    assert said.exit_code == 6
    assert "the database does not answer" in said.err
    assert "block:depot-db" in said.err
    assert "wrong-4712" not in said.err
    nowhere(root, "wrong-4712")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param(None, "there is no Prefect Secret block nobody-db on this server", id="none"),
        pytest.param({"password": "geheim-4713"}, "block:nobody-db holds a dict, not a text", id="no text"),
        pytest.param("nonsense geheim-4713", "block:nobody-db is no SQLAlchemy URL", id="no address"),
    ],
)
def test_a_block_that_cannot_be_used_is_named_without_its_value(root: Path, value: object, message: str) -> None:
    if value is not None:
        save("nobody-db", value)  # type: ignore[arg-type]
    write_config(root, "depot", source={"sql": {"url_from": "block:nobody-db", **QUERIES}})
    for command in (("ingest", "depot", "2013-02"), ("data", "source", "depot"), ("run", "depot")):
        said = say(*command)
        assert said.exit_code == (1 if command[0] == "data" else 2), said.err
        assert message in said.err + said.out
        assert "geheim" not in said.err + said.out
    nowhere(root, "geheim-4713")


def test_a_server_that_is_not_there_is_a_store_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}), pytest.raises(StoreUnavailable, match="cannot be looked up"):
        reveal("block:depot-db")


def test_a_driver_that_quotes_its_address_leaves_it_in_no_log_and_no_state(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the text, in arguments, over several lines, in what it was raised from, and the password alone."""
    monkeypatch.setenv("DEPOT_DB", "postgresql://reader:schwatzhaft-4714@127.0.0.1/depot")
    monkeypatch.setenv("PREFECT_LOGGING_EXTRA_LOGGERS", "depot")
    (root / "talking.py").write_text(TALKING)
    write_config(root, "talking", source={"python": "talking"})
    said = say("ingest", "talking", "2013-01")
    assert said.exit_code == 4
    assert "connection refused: ***" in said.err
    nowhere(root, "schwatzhaft")
    messages = server_says("SELECT message FROM log") + server_says("SELECT message FROM flow_run_state WHERE type = 'FAILED'")
    assert any("connection refused: ***" in message for message in messages), "the search looks where it would be"


@pytest.mark.parametrize(
    ("columns", "told"),
    [({}, "no row for Zaphod Beeblebrox"), ({"note": {"type": "text", "class": "sensitive"}}, "left out")],
    ids=["open", "confidential"],
)
def test_what_a_library_says_of_a_row_is_left_out_where_columns_are_confidential(
    root: Path, monkeypatch: pytest.MonkeyPatch, columns: dict[str, object], told: str
) -> None:
    """A flow and a step as ours are, on the real server; the same of a project without such columns shows where it would be."""
    from prefect import flow

    from tasks.opened import open_project
    from tasks.policy import discreet, step

    write_config(root, "people", columns=CONFIG["columns"] | columns)

    @step("look for a row")
    def looking(opened: object, name: str) -> None:
        raise LookupError(f"no row for {name}")

    @flow(name="looking")
    @discreet
    def seeking(project: str) -> None:
        looking(open_project(project), PERSON)  # not by name: a traceback shows this line

    with pytest.raises(Exception, match=told):
        seeking("people")
    APILogHandler().flush()
    newest = "(SELECT id FROM flow_run ORDER BY created DESC LIMIT 1)"
    messages = server_says(f"SELECT message FROM log WHERE flow_run_id = {newest}")
    messages += server_says(f"SELECT message FROM flow_run_state WHERE flow_run_id = {newest}")
    assert any(told in message for message in messages)
    assert any("Zaphod" in message for message in messages) == (not columns)


@pytest.mark.slow
@pytest.mark.e2e
def test_a_run_of_a_deployment_looks_its_block_up(root: Path, postgresql: int, monkeypatch: pytest.MonkeyPatch) -> None:
    save("depot-db", f"postgresql+psycopg://reader:{ESCAPED}@127.0.0.1:{postgresql}/postgres")
    save("talking-db", f"postgresql+psycopg://reader:schwatzhaft-4715@127.0.0.1:{postgresql}/postgres")
    (root / "configs" / "flights.yaml").unlink()
    write_config(root, "depot", source={"sql": {"url_from": "block:depot-db", **QUERIES}})
    write_config(root, "talking", source={"sql": {"url_from": "block:talking-db", **QUERIES}})
    monkeypatch.setenv("PYTHONPATH", str(root))
    subprocess.run([sys.executable, "-m", "deployments.render"], check=True, capture_output=True)
    subprocess.run([*PREFECT, "work-pool", "create", "pillars", "--type", "process", "--overwrite"], check=True, capture_output=True)
    subprocess.run([*PREFECT, "deploy", "-n", "ingest", "--prefect-file", "deployments/prefect.yaml"], check=True, capture_output=True)
    log = (root.parent / "worker.log").open("wb")
    worker = subprocess.Popen([*PREFECT, "worker", "start", "--pool", "pillars", "--type", "process"], stdout=log, stderr=log)
    try:
        for name, code in (("depot", 0), ("talking", 1)):
            asked = ["ingest/ingest", "--param", f"project={name}", "--param", "period=2013-02", "--watch", "--watch-timeout", "200"]
            done = subprocess.run([*PREFECT, "deployment", "run", *asked], capture_output=True, text=True)
            assert done.returncode == code, done.stdout + done.stderr
            assert "4711" not in done.stdout + done.stderr
    finally:
        parent = psutil.Process(worker.pid)
        end([parent, *parent.children(recursive=True)], patience_s=10)
        log.close()
    assert [e.outcome for e in Ledger(Stores()).entries("depot", "ingest")] == ["accept"]
    assert any("password authentication failed" in message for message in server_says("SELECT message FROM flow_run_state"))
    nowhere(root.parent, PASSWORD, ESCAPED, "schwatzhaft-4715")
