"""What a source gives for a period, protected and kept byte for byte before anything else reads it."""

from __future__ import annotations

import hashlib
import json
import secrets
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.data import sealing, subjects
from pillars.data.parquet import parquet_bytes, read_parquet, write_pieces
from pillars.data.parsing import values_of
from pillars.data.privacy import protect
from pillars.data.source import Given, Source, ask, cause, open_source, periods, said
from pillars.data.spilled import Spilled
from pillars.errors import DataCorrupt, SourceBroken, StoreUnavailable, UnknownName
from pillars.stores import Stores, replacing, scratch
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
    _refuse_strangers(project, period, rows.schema)
    destroyed = subjects.destroyed(stores, project.project) if project.privacy.subject else 0  # before, or a key could go unseen
    given = [None if each is None else _few(each, stores.large_rows) for each in (rows, outcomes)]
    with ExitStack() as stack:
        folder = None
        if any(isinstance(each, pa.RecordBatchReader) for each in given):
            folder = stack.enter_context(scratch("collected", stores.folder("staging")))
        drafts = [None if each is None else _draft(stores, project, period, each, folder) for each in given]  # both, before one is kept
        paths = [
            None if each is None else _keep(stores, project, period, kind, each)
            for kind, each in zip(("rows", "outcomes"), drafts, strict=True)
        ]
    of_rows, of_outcomes = drafts
    assert of_rows is not None
    return Collected(
        project=project.project,
        period=period,
        rows_path=paths[0] or "",
        rows_sha256=of_rows.sha256,
        rows=of_rows.rows,
        outcomes_period=arrived,
        outcomes_path=paths[1],
        outcomes_sha256=of_outcomes.sha256 if of_outcomes else None,
        outcomes=of_outcomes.rows if of_outcomes else 0,
        first_time=of_rows.first,
        last_time=of_rows.last,
        source=project.source.name,
        size_bytes=sum(each.size for each in drafts if each is not None),
        schema=_fingerprint(rows.schema, None if outcomes is None else outcomes.schema),
        licence=project.source.licence,
        keys_destroyed=destroyed,
    )


@dataclass(frozen=True)
class _Draft:
    """A table as it will be kept: its bytes, or the file that holds them. `first` and `last` time as ISO text, or empty."""

    content: bytes | Path
    sha256: str
    size: int
    rows: int
    first: str
    last: str


def _few(given: Given, large: int) -> Given:
    """A reader of at most so many rows as a table; of more, as a reader still."""
    if isinstance(given, pa.Table):
        return given
    held, rows = list[pa.RecordBatch](), 0
    for batch in given:
        held.append(batch)
        rows += batch.num_rows
        if rows > large:
            return pa.RecordBatchReader.from_batches(given.schema, chain(held, given))
    return pa.Table.from_batches(held, given.schema)


def _draft(stores: Stores, project: Project, period: str, given: Given, folder: Path | None) -> _Draft:
    """The table as it is kept, protected columns as pseudonyms.

    Raises:
        SourceBroken: Parquet has no such type or not such a time, or this machine not such a time zone.
    """
    ends: list[Any] = []

    def protected(table: pa.Table) -> pa.Table:
        ends.extend(_ends(project, table))
        return protect(project, table, stores.secret, partial(subjects.keys_of, stores, project.project))

    try:
        if isinstance(given, pa.Table):
            content = parquet_bytes(protected(given))
            return _Draft(content, hashlib.sha256(content).hexdigest(), len(content), given.num_rows, *_said(ends))
        assert folder is not None
        path = folder / secrets.token_hex(8)
        schema = protected(given.schema.empty_table()).schema
        with replacing(path, private=True) as handle:
            rows = write_pieces(handle, schema, (protected(pa.Table.from_batches([batch])).cast(schema) for batch in given))
        with path.open("rb") as written:
            sha256 = hashlib.file_digest(written, "sha256").hexdigest()
        return _Draft(path, sha256, path.stat().st_size, rows, *_said(ends))
    except (pa.ArrowException, ValueError, OverflowError, LookupError) as err:
        problem = f"it gave what cannot be kept ({said(project, err)})"
        raise SourceBroken(project.source.name, period, problem) from cause(project, err)


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


def open_collected(stores: Stores, path: str, sha256: str) -> Spilled:
    """A raw table that stays in its file, opened where it is sealed, its bytes checked against their hash.

    Raises:
        DataCorrupt: the bytes have changed, or the file is not there.
        StoreUnavailable: it cannot be read, or its key is not on the ring.
    """
    try:
        content = sealing.open_file(stores, path)
        found = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    except DataCorrupt as err:
        raise DataCorrupt(path, sha256, "a seal that does not hold") from err
    except StoreUnavailable:
        if (stores.var / path).is_file():
            raise
        raise DataCorrupt(path, sha256, "no file") from None
    if found != sha256:
        raise DataCorrupt(path, sha256, found)
    return Spilled(content)


def _fingerprint(rows: pa.Schema, outcomes: pa.Schema | None) -> str:
    """Equal for tables with equal columns: a feed that gained or lost one, or has one of another type, shows at a glance."""
    columns = [[(f.name, str(f.type)) for f in schema] for schema in (rows, outcomes) if schema is not None]
    return hashlib.sha256(json.dumps(columns).encode()).hexdigest()[:16]


def _keep(stores: Stores, project: Project, period: str, kind: str, draft: _Draft) -> str:
    """Keep a draft in `raw/` under its hash; its path."""
    path = f"raw/{project.project}/{period}/{kind}-{draft.sha256[:16]}.parquet"
    if isinstance(draft.content, bytes):
        sealing.write(stores, path, draft.content, seal=project.sealed)
    else:
        sealing.write_file(stores, path, draft.content, seal=project.sealed)
    return path


def _refuse_strangers(project: Project, period: str, rows: pa.Schema) -> None:
    """Keep what no declared column is in off the disk where columns are confidential: of a file without a header, values would be names.

    Raises:
        SourceBroken: there is no declared column at all.
    """
    if project.confidential and rows.names and not set(rows.names) & set(project.columns):
        raise SourceBroken(project.source.name, period, "none of its columns is a declared one; has it a header?")


def _ends(project: Project, rows: pa.Table) -> list[Any]:
    """First and last time; none when there is no row or no such column."""
    if not rows.num_rows or project.time not in rows.column_names:
        return []
    try:
        given = rows.column(project.time)
        ends = pc.min_max(given if project.source.python else values_of(project.columns[project.time], given)).as_py()
    except (pa.ArrowException, ValueError, OverflowError, LookupError):  # no order, no such year or zone: validation refuses it
        return []
    return [value for value in ends.values() if value is not None]


def _said(ends: list[Any]) -> tuple[str, str]:
    """The first and the last of some times as ISO text; empty where there is none."""
    try:
        return (str(min(ends)).replace(" ", "T"), str(max(ends)).replace(" ", "T")) if ends else ("", "")
    except TypeError:  # times beside what is none: validation refuses it
        return "", ""
