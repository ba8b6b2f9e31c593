"""What a source gives for a period, protected and kept byte for byte before anything else reads it."""

from __future__ import annotations

import hashlib
import json
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.data import sealing, subjects
from pillars.data.parquet import parquet_bytes, read_parquet
from pillars.data.parsing import values_of
from pillars.data.privacy import protect
from pillars.data.source import Source, ask, cause, open_source, periods, said
from pillars.errors import DataCorrupt, SourceBroken, UnknownName
from pillars.stores import Stores
from pillars.vocabulary import Collected

__all__ = ["Source", "collect", "open_source", "periods", "read_collected"]


def collect(stores: Stores, project: Project, source: Source, period: str) -> Collected:
    """Take the rows of `period`, and the outcomes that have arrived by then, into `raw/` under their hashes.

    Raises:
        UnknownName: the source has no such period.
        StoreUnavailable: what it reads from does not answer, or the disk refuses.
        SourceBroken: it fails or gives no table; nothing of the period was kept.
    """
    known = periods(source, project)
    if period not in known:
        raise UnknownName("period", period, known)
    at = known.index(period) - project.source.outcome_lag
    arrived = known[at] if at >= 0 else None
    rows = ask(project, source, "rows", period)
    outcomes = None if arrived is None else ask(project, source, "outcomes", arrived)
    _refuse_strangers(project, period, rows)
    destroyed = subjects.destroyed(stores, project.project) if project.privacy.subject else 0  # before, or a key could go unseen
    contents = [None if t is None else _parquet(stores, project, period, t) for t in (rows, outcomes)]  # both, before one is written
    rows_path, rows_sha = _write_raw(stores, project, period, "rows", contents[0])
    outcomes_path, outcomes_sha = _write_raw(stores, project, period, "outcomes", contents[1])
    first, last = _span(project, rows)
    return Collected(
        project=project.project,
        period=period,
        rows_path=rows_path or "",
        rows_sha256=rows_sha or "",
        rows=rows.num_rows,
        outcomes_period=arrived,
        outcomes_path=outcomes_path,
        outcomes_sha256=outcomes_sha,
        outcomes=0 if outcomes is None else outcomes.num_rows,
        first_time=first,
        last_time=last,
        source=project.source.name,
        size_bytes=sum(len(c) for c in contents if c is not None),
        schema=_fingerprint(rows, outcomes),
        licence=project.source.licence,
        keys_destroyed=destroyed,
    )


def read_collected(stores: Stores, path: str, sha256: str) -> pa.Table:
    """A raw table, opened where it is sealed, its bytes checked against the hash that was taken when it was collected.

    Raises:
        DataCorrupt: the bytes have changed, or the file is not there.
        StoreUnavailable: it cannot be read, or its key is not on the ring.
    """
    try:
        content = sealing.read(stores, path) if (stores.var / path).is_file() else b""
    except DataCorrupt as err:
        raise DataCorrupt(path, sha256, "a seal that does not hold") from err
    found = hashlib.sha256(content).hexdigest() if content else "no file"
    if found != sha256:
        raise DataCorrupt(path, sha256, found)
    return read_parquet(content, path)


def _parquet(stores: Stores, project: Project, period: str, table: pa.Table) -> bytes:
    """The table as it is kept, protected columns as pseudonyms.

    Raises:
        SourceBroken: Parquet has no such type or not such a time, or this machine not such a time zone.
    """
    try:
        return parquet_bytes(protect(project, table, stores.secret, partial(subjects.keys_of, stores, project.project)))
    except (pa.ArrowException, ValueError, OverflowError, LookupError) as err:
        problem = f"it gave what cannot be kept ({said(project, err)})"
        raise SourceBroken(project.source.name, period, problem) from cause(project, err)


def _fingerprint(rows: pa.Table, outcomes: pa.Table | None) -> str:
    """Equal for tables with equal columns: a feed that gained or lost one, or has one of another type, shows at a glance."""
    columns = [[(f.name, str(f.type)) for f in table.schema] for table in (rows, outcomes) if table is not None]
    return hashlib.sha256(json.dumps(columns).encode()).hexdigest()[:16]


def _write_raw(stores: Stores, project: Project, period: str, kind: str, content: bytes | None) -> tuple[str | None, str | None]:
    """Path and sha256 of what is kept; both None where nothing has arrived."""
    if content is None:
        return None, None
    sha = hashlib.sha256(content).hexdigest()
    path = f"raw/{project.project}/{period}/{kind}-{sha[:16]}.parquet"
    sealing.write(stores, path, content, seal=project.sealed)
    return path, sha


def _refuse_strangers(project: Project, period: str, rows: pa.Table) -> None:
    """Keep what no declared column is in off the disk where columns are confidential: of a file without a header, values would be names.

    Raises:
        SourceBroken: there is no declared column at all.
    """
    if project.confidential and rows.num_columns and not set(rows.column_names) & set(project.columns):
        raise SourceBroken(project.source.name, period, "none of its columns is a declared one; has it a header?")


def _span(project: Project, rows: pa.Table) -> tuple[str, str]:
    """First and last time as ISO text; empty when there is no row or no such column."""
    if not rows.num_rows or project.time not in rows.column_names:
        return "", ""
    try:
        given = rows.column(project.time)
        ends = pc.min_max(given if project.source.python else values_of(project.columns[project.time], given)).as_py()
    except (pa.ArrowException, ValueError, OverflowError, LookupError):  # no order, no such year or zone: validation refuses it
        return "", ""
    return tuple("" if ends[e] is None else str(ends[e]).replace(" ", "T") for e in ("min", "max"))  # type: ignore[return-value]
