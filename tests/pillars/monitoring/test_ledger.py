"""The ledger is complete, in order, once per decision, and says when somebody touched it."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pillars.errors import Busy, LedgerBroken, SettingInvalid, StoreUnavailable
from pillars.monitoring import ledger as ledger_module
from pillars.monitoring.ledger import Entry, Ledger
from pillars.stores import Stores
from tests.bad_days.peers import SERVERS, postgresql_server

NOW = datetime(2013, 3, 1, 6, tzinfo=UTC)
FORK = multiprocessing.get_context("fork")


def stores_at(folder: Path) -> Stores:
    return Stores(root=folder, var=folder / "var", key="ab" * 32)


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return stores_at(tmp_path)


@pytest.fixture
def ledger(stores: Stores) -> Ledger:
    return Ledger(stores)


def put(ledger: Ledger, n: int = 1, project: str = "flights", outcome: str = "accept", decision: str = "promote") -> Entry:
    return ledger.record(project, decision, {"n": n}, outcome, f"reason {n}", {"gain": n / 7}, NOW, "tester")


def tamper(stores: Stores, *statements: str, values: tuple[Any, ...] = ()) -> None:
    """What somebody with write access to the file can do."""
    with sqlite3.connect(stores.var / "ledger.db") as connection:
        connection.execute("DROP TRIGGER IF EXISTS ledger_no_update")
        connection.execute("DROP TRIGGER IF EXISTS ledger_no_delete")
        for statement in statements:
            connection.execute(statement, values if "?" in statement else ())
    connection.close()


def test_an_entry_comes_back_as_it_was_recorded(ledger: Ledger, stores: Stores) -> None:
    made = ledger.record("flights", "promote", {"b": [1, 2.5], "a": {"é": None}}, "accept", "wörks\n|", {"x": True}, NOW, "me")
    assert Ledger(stores).entries("flights") == [made]
    assert (made.seq, made.epoch, made.prev, made.at) == (1, 1, "0" * 64, "2013-03-01T06:00:00.000000+00:00")


def test_times_are_kept_in_utc(ledger: Ledger) -> None:
    local = NOW.astimezone(timezone(timedelta(hours=-5)))
    assert ledger.record("flights", "score", {}, "accept", "", {}, local, "me").at.startswith("2013-03-01T06:00:00")


def test_the_same_decision_on_equal_inputs_is_recorded_once(ledger: Ledger) -> None:
    first = put(ledger, 1)
    again = ledger.record("flights", "promote", {"n": 1}, "refuse", "changed my mind", {}, NOW, "somebody else")
    assert again == first
    assert ledger.verify() == 1


def test_projects_and_decisions_do_not_meet(ledger: Ledger) -> None:
    a, b, c = put(ledger, 1), put(ledger, 1, project="people"), put(ledger, 1, decision="deploy")
    assert [e.seq for e in (a, b, c)] == [1, 2, 3]
    assert ledger.find("people", "promote", {"n": 1}) == b
    assert ledger.entries("flights") == [a, c]
    assert ledger.entries("flights", "deploy") == [c]
    assert ledger.find("people", "deploy", {"n": 1}) is None


def test_the_latest_of_an_outcome_is_found(ledger: Ledger) -> None:
    put(ledger, 1)
    refused = put(ledger, 2, outcome="refuse")
    last = put(ledger, 3)
    assert ledger.latest("flights", "promote") == last
    assert ledger.latest("flights", "promote", "refuse") == refused
    assert ledger.latest("flights", "promote", "inconclusive") is None


def test_what_is_not_json_is_refused_before_anything_is_written(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="JSON"):
        ledger.record("flights", "promote", {}, "accept", "", {"loss": float("nan")}, NOW, "me")
    assert ledger.verify() == 0


def test_a_reset_opens_an_epoch_and_keeps_the_past(ledger: Ledger) -> None:
    old, other = put(ledger, 1), put(ledger, 1, project="people")
    opened = ledger.reset("flights", "new horizon", NOW, "me")
    assert ledger.find("flights", "promote", {"n": 1}) is None
    again = put(ledger, 1)
    assert (old.epoch, again.epoch) == (1, 2)
    assert ledger.entries("flights") == [opened, again]
    assert ledger.entries("flights", every_epoch=True) == [old, opened, again]
    assert ledger.find("people", "promote", {"n": 1}) == other
    assert ledger.verify() == 4


def test_a_reset_repeated_after_a_crash_opens_no_second_epoch(ledger: Ledger) -> None:
    put(ledger, 1)
    assert ledger.reset("flights", "r", NOW, "me") == ledger.reset("flights", "r", NOW, "me")
    put(ledger, 1)
    assert ledger.reset("flights", "r", NOW, "me").epoch == 3


def test_the_database_refuses_updates_and_deletes(ledger: Ledger, stores: Stores) -> None:
    put(ledger)
    with sqlite3.connect(stores.var / "ledger.db") as connection:
        for statement in ("UPDATE ledger SET reason = ''", "DELETE FROM ledger"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    connection.close()


# ---- somebody touched it


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of six rows in two projects and two epochs, to be copied."""
    folder = tmp_path_factory.mktemp("recorded")
    ledger = Ledger(stores_at(folder))
    for n in (1, 2):
        put(ledger, n), put(ledger, n, project="people")
    ledger.reset("flights", "again", NOW, "me")
    put(ledger, 1)
    return folder


@pytest.fixture(scope="module")
def copy(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Stores]:
    def made() -> Stores:
        folder = tmp_path_factory.mktemp("copy")
        shutil.copytree(recorded, folder, dirs_exist_ok=True)
        return stores_at(folder)

    return made


COLUMNS = ("epoch", "project", "decision", "inputs_sha256", "inputs", "outcome", "reason", "facts", "at", "actor", "prev", "mac")
PROPERTY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
edits = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.sampled_from(["{}", '{"n": 1}', '{"n":2}', '{"n":1.0}', "accept", "refuse", "people", "0" * 64]),
)


@PROPERTY
@given(seq=st.integers(1, 6), column=st.sampled_from(COLUMNS), value=edits)
def test_any_edited_field_is_detected(copy: Callable[[], Stores], seq: int, column: str, value: Any) -> None:
    stores = copy()
    with sqlite3.connect(stores.var / "ledger.db") as connection:
        before = connection.execute(f"SELECT {column} FROM ledger WHERE seq = {seq}").fetchone()
    connection.close()
    try:
        tamper(stores, f"UPDATE ledger SET {column} = ? WHERE seq = {seq}", values=(value,))
    except sqlite3.IntegrityError:
        assume(False)  # the unique constraint was faster
    with sqlite3.connect(stores.var / "ledger.db") as connection:
        assume(connection.execute(f"SELECT {column} FROM ledger WHERE seq = {seq}").fetchone() != before)
    connection.close()
    with pytest.raises(LedgerBroken):
        Ledger(stores).verify()


@PROPERTY
@given(gone=st.sets(st.integers(1, 6), min_size=1))
def test_any_deleted_rows_are_detected_and_nothing_is_appended_over_a_cut(copy: Callable[[], Stores], gone: set[int]) -> None:
    stores = copy()
    tamper(stores, *(f"DELETE FROM ledger WHERE seq = {seq}" for seq in gone))
    with pytest.raises(LedgerBroken):
        Ledger(stores).verify()
    if 6 in gone:
        with pytest.raises(LedgerBroken):
            put(Ledger(stores), 9)


@PROPERTY
@given(pair=st.sets(st.integers(1, 6), min_size=2, max_size=2))
def test_swapped_rows_are_detected(copy: Callable[[], Stores], pair: set[int]) -> None:
    stores, (a, b) = copy(), sorted(pair)
    moves = [f"UPDATE ledger SET seq = {new} WHERE seq = {old}" for old, new in ((a, 99), (b, a), (99, b))]
    tamper(stores, *moves)
    with pytest.raises(LedgerBroken):
        Ledger(stores).verify()


def test_an_edited_row_is_not_even_read(copy: Callable[[], Stores]) -> None:
    stores = copy()
    tamper(stores, "UPDATE ledger SET outcome = 'refuse' WHERE seq = 6")
    with pytest.raises(LedgerBroken, match="row 6"):
        Ledger(stores).latest("flights", "promote")


def test_text_that_is_not_text_is_a_broken_ledger(copy: Callable[[], Stores]) -> None:
    stores = copy()
    tamper(stores, "UPDATE ledger SET reason = CAST(x'ff' AS TEXT) WHERE seq = 2")
    with pytest.raises(LedgerBroken):
        Ledger(stores).verify()


def test_another_key_reads_nothing_and_is_told_from_a_forged_anchor(copy: Callable[[], Stores]) -> None:
    stores = copy()
    other = Ledger(Stores(root=stores.root, var=stores.var, key="cd" * 32))
    for use in (other.verify, lambda: put(other, 9)):
        with pytest.raises(LedgerBroken, match=r"^ledger row 1: it and the anchor are sealed with another key .* bring the right key"):
            use()
    tamper(stores, "UPDATE ledger SET reason = 'another' WHERE seq = 1")
    with pytest.raises(LedgerBroken, match="row 1: its content is not what was sealed"):
        Ledger(stores).verify()


@pytest.mark.parametrize("left", [pytest.param(b"", id="emptied"), pytest.param(None, id="removed")])
def test_a_lost_anchor_is_noticed(copy: Callable[[], Stores], left: bytes | None) -> None:
    stores = copy()
    anchor = stores.var / "ledger.anchor"
    anchor.unlink() if left is None else anchor.write_bytes(left)
    with pytest.raises(LedgerBroken, match="anchor"):
        Ledger(stores).verify()
    with pytest.raises(LedgerBroken, match="anchor"):
        put(Ledger(stores), 9)


def test_an_anchor_moved_back_to_hide_a_cut_is_refused(copy: Callable[[], Stores]) -> None:
    stores = copy()
    anchor = stores.var / "ledger.anchor"
    anchor.write_bytes(anchor.read_bytes().replace(b'"seq":6', b'"seq":5'))
    tamper(stores, "DELETE FROM ledger WHERE seq = 6")
    with pytest.raises(LedgerBroken, match="anchor"):
        Ledger(stores).verify()


def test_a_file_that_is_no_database_is_a_broken_ledger(stores: Stores) -> None:
    stores.folder().joinpath("ledger.db").write_bytes(b"not a database, " * 100)
    with pytest.raises(LedgerBroken):
        Ledger(stores)


def test_a_database_that_cannot_be_opened_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="PILLARS_LEDGER_URI"):
        Ledger(Stores(root=tmp_path, var=tmp_path / "var", key="ab" * 32, ledger_uri=f"sqlite:///{tmp_path}/no/such/folder/l.db"))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        pytest.param("sqlite:ledger.db", "is no SQLAlchemy URL", id="no slashes"),
        pytest.param("sqlite://ledger.db", "is no SQLAlchemy URL", id="two slashes"),
        pytest.param("sqlite+nope:///x", "is no SQLAlchemy URL", id="no such driver"),
        pytest.param("sqlite:///x?timeout=soon", "is no SQLAlchemy URL", id="no such option"),
        pytest.param("postgresql://u:hunter2@h:port/x", "is no SQLAlchemy URL", id="no port"),
        pytest.param("mysql+pymysql://u:hunter2@h/x", "names another database than sqlite or postgresql", id="another database"),
        pytest.param("postgres://u:hunter2@h/x", "names another database than sqlite or postgresql", id="an old name"),
        pytest.param("postgresql+pg8000://u:hunter2@h/x", "needs a driver that is not installed", id="not installed"),
        pytest.param("sqlite+aiosqlite:///x", "names an asynchronous driver", id="asynchronous"),
    ],
)
def test_a_url_that_cannot_hold_the_ledger_is_a_fault_of_the_setting(tmp_path: Path, url: str, problem: str) -> None:
    with pytest.raises(SettingInvalid, match=f"^PILLARS_LEDGER_URI {problem}") as caught:
        Ledger(Stores(root=tmp_path, var=tmp_path / "var", key="ab" * 32, ledger_uri=url))
    assert "hunter2" not in str(caught.value)


# ---- several at once, and the ones that die


def append_many(folder: Path, worker: int, count: int) -> list[int]:
    ledger = Ledger(stores_at(folder))
    return [put(ledger, 100 * worker + n).seq for n in range(count)]


def record_one(folder: Path, worker: int) -> Entry:
    return Ledger(stores_at(folder)).record("flights", "promote", {"n": 1}, "accept", f"worker {worker}", {}, NOW, "tester")


def test_appends_from_several_processes_leave_no_gap(tmp_path: Path) -> None:
    with FORK.Pool(4) as pool:
        seqs = pool.starmap(append_many, [(tmp_path, worker, 15) for worker in range(4)], chunksize=1)
    assert sorted(seq for of_worker in seqs for seq in of_worker) == list(range(1, 61))
    assert Ledger(stores_at(tmp_path)).verify() == 60


def test_a_race_for_one_decision_has_one_winner(tmp_path: Path) -> None:
    with FORK.Pool(4) as pool:
        entries = pool.starmap(record_one, [(tmp_path, worker) for worker in range(8)], chunksize=1)
    assert len(set(map(repr, entries))) == 1
    assert Ledger(stores_at(tmp_path)).verify() == 1


def test_a_writer_that_never_ends_is_busy_not_locked(ledger: Ledger, stores: Stores) -> None:
    outsider = sqlite3.connect(stores.var / "ledger.db", isolation_level=None)
    outsider.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy, match="ledger"):
        put(Ledger(stores, wait_s=0.05))
    outsider.close()
    assert put(ledger).seq == 1


def die_at(folder: Path, where: str) -> None:
    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    ledger = Ledger(stores_at(folder))
    if where == "before the commit":
        append = ledger_module._Tail.append
        ledger_module._Tail.append = lambda self, entry: (append(self, entry), die())[0]  # type: ignore[method-assign]
    else:
        ledger_module.write_atomically = die  # type: ignore[assignment]
    put(ledger, 7)


@pytest.mark.parametrize(("where", "rows"), [("before the commit", 2), ("before the anchor", 3)])
def test_a_killed_writer_leaves_a_sound_ledger_and_its_repeat_ends_as_undisturbed(tmp_path: Path, where: str, rows: int) -> None:
    ledger = Ledger(stores_at(tmp_path))
    put(ledger, 1), put(ledger, 2)
    victim = FORK.Process(target=die_at, args=(tmp_path, where))
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    assert ledger.verify() == rows
    assert put(ledger, 7).seq == 3
    assert put(ledger, 8).seq == 4
    assert ledger.verify() == 4


def test_a_full_disk_writes_no_row_past_the_anchor(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreUnavailable("disk", "full", "free it")

    put(ledger, 1)
    with monkeypatch.context() as patched:
        patched.setattr(ledger_module, "write_atomically", full)
        for n in (2, 3, 4):
            with pytest.raises(StoreUnavailable):
                put(ledger, n)
    assert ledger.verify() == 2
    assert put(ledger, 2).seq == 2


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[str]:
    """URL of an empty PostgreSQL database; skips where there is none."""
    with postgresql_server(tmp_path) as port:
        yield f"postgresql+psycopg://pillars:{SERVERS}@127.0.0.1:{port}/postgres"


def test_postgresql_keeps_the_same_promises(tmp_path: Path, postgresql: str) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError

    url = postgresql
    one, two = (Ledger(Stores(root=tmp_path, var=tmp_path / name, key="ab" * 32, ledger_uri=url)) for name in ("one", "two"))
    assert [put(led, n).seq for n, led in enumerate((one, two, two, one))] == [1, 2, 3, 4]
    assert put(two, 0).seq == 1
    assert (one.verify(), two.verify()) == (4, 4)
    engine = create_engine(url)
    for statement in ("UPDATE ledger SET reason = ''", "DELETE FROM ledger", "TRUNCATE ledger"):
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.exec_driver_sql(statement)
    with engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE ledger IN EXCLUSIVE MODE")
        with pytest.raises(Busy):
            put(Ledger(Stores(root=tmp_path, var=tmp_path / "one", key="ab" * 32, ledger_uri=url), wait_s=0.1), 9)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE ledger DISABLE TRIGGER ALL")
        connection.exec_driver_sql("DELETE FROM ledger WHERE seq = 4")
    with pytest.raises(LedgerBroken):
        one.verify()
    engine.dispose()
