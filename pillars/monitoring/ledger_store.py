"""The ledger's table: SQLite in WAL mode on one machine, PostgreSQL for several. One writer at a time, readers never wait for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pillars.errors import Busy, LedgerBroken, PillarsError, SettingInvalid, StoreUnavailable
from pillars.monitoring.chain import Entry, canonical, inputs_sha256
from pillars.stores import without_password

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine, Table

CONNECT_S = 10  # a server that accepts and never answers; libpq itself waits for ever
LIBPQ = ("postgresql", "postgresql+psycopg", "postgresql+psycopg2")
_APPEND_ONLY = "the ledger is append-only"
_DISK = ("disk is full", "disk I/O error", "readonly database")
_CREATION_LOCK = 5_133_701  # any number of our own: PostgreSQL's advisory lock while the table is made


@lru_cache(maxsize=1)
def table() -> Table:
    """Columns as in `chain.Entry`, JSON as canonical text, and one row at most per (project, epoch, decision, inputs)."""
    from sqlalchemy import Column, Integer, MetaData, String, Table, Text, UniqueConstraint

    texts = [Column(name, Text, nullable=False) for name in ("inputs", "outcome", "reason", "facts", "at", "actor")]
    return Table(
        "ledger",
        MetaData(),
        Column("seq", Integer, primary_key=True, autoincrement=False),
        Column("epoch", Integer, nullable=False),
        Column("project", String(200), nullable=False),
        Column("decision", String(200), nullable=False),
        Column("inputs_sha256", String(64), nullable=False),
        *texts,
        Column("prev", String(64), nullable=False),
        Column("mac", String(64), nullable=False),
        UniqueConstraint("project", "epoch", "decision", "inputs_sha256", name="one_outcome_per_inputs"),
    )


def open_engine(url: str, wait_s: float) -> Engine:
    """An engine without a pool (a connection costs under 1 ms here, and none is shared among threads or forks).

    Raises:
        SettingInvalid: the URL is none, of a database that the ledger cannot be kept in, or its driver is not installed.
    """
    from sqlalchemy import NullPool, create_engine, event
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in _TRIGGERS:
            raise SettingInvalid([f"PILLARS_LEDGER_URI names another database than {' or '.join(_TRIGGERS)}"])
        engine = create_engine(parsed, poolclass=NullPool, connect_args=_patience(parsed, wait_s))
    except (SQLAlchemyError, ValueError) as err:  # never with the URL: it holds a password
        raise SettingInvalid(["PILLARS_LEDGER_URI is no SQLAlchemy URL of a known database (postgresql+psycopg://...)"]) from err
    except ImportError as err:
        raise SettingInvalid([f"PILLARS_LEDGER_URI needs a driver that is not installed ({err})"]) from err
    if engine.dialect.is_async:
        raise SettingInvalid(["PILLARS_LEDGER_URI names an asynchronous driver; take postgresql+psycopg, or sqlite alone"])
    if engine.dialect.name != "sqlite":
        return engine

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # or pysqlite opens transactions by itself, too late for IMMEDIATE
        connection.execute("PRAGMA synchronous=FULL")  # a commit survives power loss; the anchor must never be ahead

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")

    return engine


def _patience(url: URL, wait_s: float) -> dict[str, float]:
    """How long a driver waits: for another writer of a file, for a server's first answer."""
    if url.get_backend_name() == "sqlite":
        return {"timeout": wait_s}
    return {"connect_timeout": CONNECT_S} if url.drivername in LIBPQ and "connect_timeout" not in url.query else {}


def make_table(engine: Engine, wait_s: float) -> None:
    """Make table and triggers where they are missing; nothing else changes. Call under a lock on SQLite."""
    from sqlalchemy import inspect

    with translated(wait_s):
        if inspect(engine).has_table("ledger"):
            return
        if engine.dialect.name == "sqlite":
            with engine.connect() as connection:
                raw = connection.connection.dbapi_connection
                raw.execute("PRAGMA journal_mode=WAL")  # type: ignore[union-attr]
        with writing(engine, wait_s, lock_table=False) as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_CREATION_LOCK})")
            table().metadata.create_all(connection)
            for statement in _TRIGGERS[engine.dialect.name]:
                connection.exec_driver_sql(statement)


@contextmanager
def reading(engine: Engine, wait_s: float) -> Iterator[Connection]:
    """A snapshot of the ledger."""
    with translated(wait_s), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine, wait_s: float, lock_table: bool = True) -> Iterator[Connection]:
    """The only writer until the end of the block, where it commits; an exception leaves nothing."""
    with translated(wait_s), engine.connect().execution_options(writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(wait_s * 1000)}")
            if lock_table:
                connection.exec_driver_sql("LOCK TABLE ledger IN EXCLUSIVE MODE")
        yield connection


@contextmanager
def translated(wait_s: float) -> Iterator[None]:
    """The database's errors as ours.

    Raises:
        Busy: somebody else wrote for all of `wait_s`.
        StoreUnavailable: the database does not answer.
        LedgerBroken: it answers, and what it holds cannot be read.
    """
    from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

    try:
        yield
    except PillarsError:
        raise
    except DatabaseError as err:
        problem = " ".join(str(err.orig).split()).rstrip(" .?")
        if "locked" in problem or "lock timeout" in problem:
            raise Busy("the ledger", wait_s, "another writer") from err
        if any(word in problem for word in _DISK):
            raise StoreUnavailable("the ledger", problem, "Nothing was written; free or mend the disk and run again.") from err
        if isinstance(err, OperationalError) and "UTF-8" not in problem:
            remedy = "see user and password in PILLARS_LEDGER_URI" if "authentication" in problem else "see PILLARS_LEDGER_URI"
            raise StoreUnavailable("the ledger", without_password(problem), f"Nothing was written; {remedy}, and run again.") from err
        raise LedgerBroken(0, f"the database says: {problem}") from err
    except SQLAlchemyError as err:
        raise StoreUnavailable("the ledger", without_password(str(err)), "Nothing was written; see PILLARS_LEDGER_URI.") from err


def to_row(entry: Entry) -> dict[str, Any]:
    """The entry as a row of the table."""
    texts = {"inputs": canonical(entry.inputs), "facts": canonical(entry.facts), "inputs_sha256": inputs_sha256(entry.inputs)}
    return {**vars(entry), **texts}


def from_row(row: Any) -> Entry:
    """The entry of a row.

    Raises:
        LedgerBroken: its JSON is not what was written, or its inputs are not what they are looked up by.
    """
    values = dict(row._mapping)
    named = values.pop("inputs_sha256")
    try:
        entry = Entry(**{**values, "inputs": json.loads(values["inputs"]), "facts": json.loads(values["facts"])})
        again = to_row(entry)
    except (ValueError, TypeError) as err:
        raise LedgerBroken(values["seq"], f"holds what is not JSON ({err})") from err
    if again != {**values, "inputs_sha256": named}:
        raise LedgerBroken(entry.seq, "is not written as it was sealed")
    return entry


_TRIGGERS = {
    "sqlite": [
        f"CREATE TRIGGER ledger_no_{verb} BEFORE {verb} ON ledger BEGIN SELECT RAISE(ABORT, '{_APPEND_ONLY}'); END"
        for verb in ("update", "delete")
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_APPEND_ONLY}'; END $$",
        "CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()",
    ],
}
