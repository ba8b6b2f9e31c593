"""A table in a Parquet file of our own, larger than memory may be: read in pieces, asked by DuckDB. Its answers fit into memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pillars.errors import StoreUnavailable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PIECE = 1 << 18  # rows in memory at a time: 20 columns of them are some 40 MB
MEMORY = "800MB"  # what DuckDB may hold; the rest of 2 GB is Python's, Great Expectations' and the pieces'


@dataclass(frozen=True)
class Spilled:
    """A table of `num_rows` rows in a file. It answers what is asked of a `pyarrow.Table` here: names, one column, some rows."""

    file: Path | IO[bytes]
    typed: pa.Schema | None = None  # where Parquet has no such type: it keeps seconds as milliseconds

    @cached_property
    def schema(self) -> pa.Schema:
        """Names and types of its columns."""
        return self.typed or self._open().schema_arrow.remove_metadata()

    @cached_property
    def num_rows(self) -> int:
        """How many rows it has."""
        return int(self._open().metadata.num_rows)

    @property
    def column_names(self) -> list[str]:
        """Names of its columns."""
        return list(self.schema.names)

    def pieces(self, columns: Sequence[str] | None = None, rows: int | None = None) -> Iterator[pa.Table]:
        """The table from its first row to its last, `rows` at a time; one empty piece where it has none."""
        found = self._open().iter_batches(rows or PIECE, columns=None if columns is None else [*columns], use_threads=False)
        first = next(found, None)
        if first is None:
            yield (self.schema if columns is None else pa.schema([self.schema.field(c) for c in columns])).empty_table()
            return
        for batch in itertools.chain([first], found):
            piece = pa.Table.from_batches([batch])
            yield piece if self.typed is None else piece.cast(pa.schema([self.typed.field(name) for name in piece.column_names]))

    def select(self, columns: Sequence[str]) -> pa.Table:
        """Some columns, whole and in memory."""
        return pa.concat_tables(self.pieces(columns))

    def column(self, which: str | int) -> pa.ChunkedArray:
        """One column, whole and in memory."""
        return self.select([self.schema.names[which] if isinstance(which, int) else which]).column(0)

    def head(self, rows: int) -> pa.Table:
        """The first rows, at most so many."""
        return next(self.pieces(rows=rows))

    def nulls(self, columns: Sequence[str]) -> bool:
        """Whether one of some columns has a null, as the file's own statistics say; a not-a-number is none."""
        if not self.num_rows:
            return False
        found = self._open().metadata
        at = [self.schema.get_field_index(name) for name in columns]
        return any(found.row_group(group).column(i).statistics.null_count for group in range(found.num_row_groups) for i in at)

    def take(self, at: np.ndarray) -> pa.Table:
        """The rows of some places (n,), which ascend."""
        found, began = [self.schema.empty_table()], 0
        for piece in self.pieces() if len(at) else ():
            low, high = np.searchsorted(at, [began, began + piece.num_rows])
            if high > low:
                found.append(piece.take(pa.array(at[low:high] - began)))
            began += piece.num_rows
        return pa.concat_tables(found)

    def filter(self, mask: pa.Array) -> pa.Table:
        """The rows where `mask` is true; few, for they come into memory."""
        return self.take(np.flatnonzero(np.asarray(mask)))

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.file)


def spill(path: Path, pieces: Iterator[pa.Table]) -> Spilled:
    """Write pieces, one or more, of the first one's schema below each other into the file `path`, for a while.

    Raises:
        StoreUnavailable: the disk refuses.
    """
    first = next(pieces)
    try:
        with pq.ParquetWriter(path, first.schema, compression="lz4") as writer:
            for piece in itertools.chain([first], pieces):
                writer.write_table(piece, row_group_size=PIECE)
    except OSError as err:
        raise StoreUnavailable.refused(str(path), err, "Free the disk, and run again.", "written") from err
    return Spilled(path, first.schema)


@contextmanager
def asked(folder: Path, **tables: Spilled | pa.Table) -> Iterator[DuckDBPyConnection]:
    """DuckDB over some tables by their names; a spilled one has its rows' places (from 0) as `file_row_number`.

    What does not fit into memory goes into `folder` meanwhile.

    Raises:
        StoreUnavailable: neither memory nor the disk has room for what is asked.
    """
    import duckdb

    with _room(folder), duckdb.connect(":memory:") as database:
        for statement in limits(folder):
            database.execute(statement)
        for name, table in tables.items():
            if isinstance(table, Spilled):
                database.execute(f"CREATE VIEW {quoted(name)} AS SELECT * FROM {scan(table)}")
            else:
                database.register(name, table)
        yield database


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    """What DuckDB finds no room for, as ours. Raises: StoreUnavailable."""
    import duckdb

    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException) as err:
        if isinstance(err, duckdb.IOException) and "write" not in str(err):
            raise  # of a file that it reads
        problem = f"has no room for what does not fit into {MEMORY} of memory ({str(err).splitlines()[0]})"
        raise StoreUnavailable(str(folder), problem, "Free the disk, and run again.") from err


def limits(folder: Path) -> tuple[str, ...]:
    """What DuckDB is told first: how much memory it may take, and where the rest goes."""
    place = str(folder).replace("'", "''")
    return f"SET memory_limit = '{MEMORY}'", f"SET temp_directory = '{place}'"


def scan(table: Spilled) -> str:
    """A table as DuckDB reads it, with its rows' places."""
    path = str(table.file).replace("'", "''")
    return f"read_parquet('{path}', file_row_number = true)"


def quoted(name: str) -> str:
    """A name in DuckDB's SQL."""
    return '"' + name.replace('"', '""') + '"'


def sorted_by(folder: Path, table: Spilled, key: Sequence[str], without: np.ndarray) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Rows in the order of their key, in pieces, but for those of the places `without` (m,), which ascend; of each row its place.

    Rows that came in that order, as those of a log do, are not sorted again: that is dearer than all the rest.
    """
    if _is_sorted(table, key, without):
        yield from _kept(table, without)
        return
    order = ", ".join(f"rows.{quoted(name)} ASC NULLS LAST" for name in key)
    with asked(folder, rows=table, gone=pa.table({"place": pa.array(without, pa.int64())})) as database:
        chosen = "rows ANTI JOIN gone ON rows.file_row_number = gone.place" if len(without) else "rows"
        for batch in database.sql(f"SELECT rows.* FROM {chosen} ORDER BY {order}").to_arrow_reader(PIECE):
            piece = pa.Table.from_batches([batch])
            yield piece.select(table.column_names).cast(table.schema), piece.column("file_row_number").to_numpy()


def _kept(table: Spilled, without: np.ndarray, columns: Sequence[str] | None = None) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Rows in the order they are in, but for some places; of each row its place."""
    began = 0
    for piece in table.pieces(columns):
        low, high = np.searchsorted(without, [began, began + piece.num_rows])
        stays = np.ones(piece.num_rows, bool)
        stays[without[low:high] - began] = False
        yield (piece.filter(pa.array(stays)) if high > low else piece), np.flatnonzero(stays) + began
        began += piece.num_rows


def _is_sorted(table: Spilled, key: Sequence[str], without: np.ndarray) -> bool:
    """Whether the rows, but for some places, are in the order of their key, which has no null among them."""
    last: pa.Table | None = None
    for piece, _ in _kept(table, without, key):
        piece = piece.combine_chunks()
        if any(column.null_count for column in piece.columns):
            return False
        if last is not None and piece.num_rows:
            piece = pa.concat_tables([last, piece]).combine_chunks()
        earlier, later = (piece.slice(at, max(piece.num_rows - 1, 0)) for at in (0, 1))
        equal = np.ones(earlier.num_rows, bool)
        for a, b in zip(earlier.columns, later.columns, strict=True):
            if pc.any(pc.and_(pa.array(equal), pc.greater(a, b)), min_count=0).as_py():
                return False
            equal &= pc.equal(a, b).to_numpy()
        last = piece.slice(piece.num_rows - 1) if piece.num_rows else last
    return True
