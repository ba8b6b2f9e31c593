"""Every decision on record: append-only, sealed one to the next, one outcome per (project, decision, inputs)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pillars.errors import LedgerBroken
from pillars.monitoring import chain, ledger_store
from pillars.monitoring.chain import Anchor, Entry
from pillars.stores import Stores, locked, sweep_drafts, write_atomically
from pillars.vocabulary import Json

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Select

__all__ = ["RESET", "Entry", "Ledger"]

RESET = "reset"  # the decision that opens a project's next epoch
ANOTHER_KEY = f"it and the anchor are sealed with {chain.OTHER}: bring the right key back. If this is the right one, both were edited"


class Ledger:
    """The installation's record. Lookups see a project's current epoch unless told otherwise, and check what they return.

    All methods raise Busy (another writer for all of `wait_s` seconds), StoreUnavailable and LedgerBroken.
    """

    def __init__(self, stores: Stores, wait_s: float = 60.0) -> None:
        self._wait_s = wait_s
        self._key = chain.subkey(stores.secret, "ledger")
        self._engine: Engine = ledger_store.open_engine(stores.ledger_url, wait_s)
        self._anchor = stores.folder() / "ledger.anchor"
        self._lock = stores.folder() / "ledger.lock"
        with locked(self._lock, "the ledger", wait_s):
            sweep_drafts(self._anchor)  # the row of a writer who died over the anchor may be the last for long
            ledger_store.make_table(self._engine, wait_s)

    def record(
        self,
        project: str,
        decision: str,
        inputs: dict[str, Json],
        outcome: str,
        reason: str,
        facts: dict[str, Json],
        now: datetime,
        actor: str,
    ) -> Entry:
        """Put a decision on record, once: the same decision on equal inputs gives the entry that is there, whatever its outcome.

        `inputs` and `facts` must be JSON (ValueError on NaN): they come back as JSON reads them.
        """
        inputs, facts = _json(inputs), _json(facts)
        with self._appending() as tail:
            found = self._first(tail.connection, self._keyed(project, decision, inputs))
            return found or tail.append(
                Entry(0, self._epoch(tail.connection, project), project, decision, inputs, outcome, reason, facts, _utc(now), actor, "", "")
            )

    def find(self, project: str, decision: str, inputs: dict[str, Json]) -> Entry | None:
        """The entry of this decision on equal inputs."""
        with ledger_store.reading(self._engine, self._wait_s) as connection:
            return self._first(connection, self._keyed(project, decision, inputs))

    def latest(self, project: str, decision: str, outcome: str | None = None) -> Entry | None:
        """The newest entry of a decision, of one outcome where it is given."""
        rows = ledger_store.table().c
        asked = self._current(project).where(rows.decision == decision).order_by(rows.seq.desc())
        with ledger_store.reading(self._engine, self._wait_s) as connection:
            return self._first(connection, asked if outcome is None else asked.where(rows.outcome == outcome))

    def entries(self, project: str, decision: str | None = None, every_epoch: bool = False) -> list[Entry]:
        """Entries of a project, oldest first."""
        from sqlalchemy import select

        rows = ledger_store.table()
        asked = select(rows).where(rows.c.project == project) if every_epoch else self._current(project)
        asked = asked if decision is None else asked.where(rows.c.decision == decision)
        with ledger_store.reading(self._engine, self._wait_s) as connection:
            return [self._read(row) for row in connection.execute(asked.order_by(rows.c.seq))]

    def verify(self) -> int:
        """Follow the whole chain to the anchor; the number of rows.

        Raises:
            LedgerBroken: a row was edited, deleted, swapped, or cut off the end; names the first one. Or the key is another.
        """
        from sqlalchemy import select

        with locked(self._lock, "the ledger", self._wait_s), ledger_store.reading(self._engine, self._wait_s) as connection:
            stored = connection.execute(select(ledger_store.table()).order_by(ledger_store.table().c.seq)).all()
            anchor = self._read_anchor(connection)
        macs = {row.seq: str(row.mac) for row in stored}
        rows, _ = chain.check_all(self._key, (ledger_store.from_row(row) for row in stored))
        self._hold(anchor, rows, macs.get(anchor.seq) if anchor else None)
        return rows

    def reset(self, project: str, reason: str, now: datetime, actor: str) -> Entry:
        """Open the project's next epoch, on record; what came before stays. Nothing recorded since the last reset: that reset's entry."""
        from sqlalchemy import select

        rows = ledger_store.table()
        with self._appending() as tail:
            last = self._first(tail.connection, select(rows).where(rows.c.project == project).order_by(rows.c.seq.desc()))
            if last is not None and last.decision == RESET:
                return last
            epoch = self._epoch(tail.connection, project) + 1
            return tail.append(Entry(0, epoch, project, RESET, {"epoch": epoch}, "accept", reason, {}, _utc(now), actor, "", ""))

    @contextmanager
    def _appending(self) -> Iterator[_Tail]:
        """Be the only writer. The anchor is caught up before and after, so a crash leaves it one row behind at most, and never ahead."""
        with locked(self._lock, "the ledger", self._wait_s):
            with ledger_store.writing(self._engine, self._wait_s) as connection:
                tail = self._checked_tail(connection)
                yield tail
            self._write_anchor(tail.end)

    def _checked_tail(self, connection: Connection) -> _Tail:
        from sqlalchemy import select

        rows = ledger_store.table()
        anchor = self._read_anchor(connection)
        last = self._first(connection, select(rows).order_by(rows.c.seq.desc()))
        seq, mac = (last.seq, last.mac) if last else (0, chain.START)
        anchored = connection.execute(select(rows.c.mac).where(rows.c.seq == anchor.seq)).scalar() if anchor else None
        self._hold(anchor, seq, anchored)
        end = Anchor(seq, mac)
        if anchor != end:
            self._write_anchor(end)
        return _Tail(connection, self._key, end)

    def _hold(self, anchor: Anchor | None, rows: int, anchored_mac: str | None) -> None:
        """Hold the chain's end against the anchor. A database of several machines may be any number of rows ahead of ours."""
        alone = self._engine.dialect.name == "sqlite"
        if anchor is None:
            if rows > 1 and alone:
                raise LedgerBroken(rows, f"the anchor file {self._anchor.name} is missing")
            return
        if anchor.seq > rows:
            raise LedgerBroken(rows + 1, f"is missing; {anchor.seq} rows were written, {rows} are left")
        if anchor.seq and anchored_mac != anchor.mac:
            raise LedgerBroken(anchor.seq, "is not the row that the anchor names")
        if rows > anchor.seq + 1 and alone:
            raise LedgerBroken(anchor.seq + 1, f"and later ones came past the anchor ({rows} rows, {anchor.seq} anchored)")

    def _read_anchor(self, connection: Connection) -> Anchor | None:
        """The anchor; where its seal does not hold, the first row tells a forged one from a wrong key, under which neither holds."""
        from sqlalchemy import select

        if not self._anchor.exists():
            return None
        try:
            return chain.anchor_from_json(self._key, self._anchor.read_bytes())
        except LedgerBroken as err:
            try:
                self._first(connection, select(ledger_store.table()).order_by(ledger_store.table().c.seq))
            except LedgerBroken as first:
                raise LedgerBroken(first.row, ANOTHER_KEY) from err
            raise

    def _write_anchor(self, anchor: Anchor) -> None:
        if anchor.seq:
            write_atomically(self._anchor, chain.anchor_to_json(self._key, anchor))

    def _epoch(self, connection: Connection, project: str) -> int:
        from sqlalchemy import func, select

        rows = ledger_store.table().c
        return connection.execute(select(func.coalesce(func.max(rows.epoch), 1)).where(rows.project == project)).scalar_one()

    def _current(self, project: str) -> Select[Any]:
        """All rows of the project's current epoch."""
        from sqlalchemy import func, select

        rows, of_project = ledger_store.table(), ledger_store.table().alias()
        newest = select(func.max(of_project.c.epoch)).where(of_project.c.project == project).scalar_subquery()
        return select(rows).where(rows.c.project == project, rows.c.epoch == newest)

    def _keyed(self, project: str, decision: str, inputs: dict[str, Json]) -> Select[Any]:
        rows = ledger_store.table().c
        return self._current(project).where(rows.decision == decision, rows.inputs_sha256 == chain.inputs_sha256(inputs))

    def _first(self, connection: Connection, asked: Select[Any]) -> Entry | None:
        row = connection.execute(asked.limit(1)).first()
        return None if row is None else self._read(row)

    def _read(self, row: Any) -> Entry:
        return chain.check(self._key, ledger_store.from_row(row))


@dataclass
class _Tail:
    """Where the chain ends, inside one transaction."""

    connection: Connection
    key: bytes
    end: Anchor

    def append(self, entry: Entry) -> Entry:
        """The entry sealed after the last one and inserted."""
        sealed = chain.seal(self.key, replace(entry, seq=self.end.seq + 1, prev=self.end.mac))
        self.connection.execute(ledger_store.table().insert().values(**ledger_store.to_row(sealed)))
        self.end = Anchor(sealed.seq, sealed.mac)
        return sealed


def _utc(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="microseconds")


def _json(value: dict[str, Json]) -> dict[str, Json]:
    return json.loads(chain.canonical(value))
