"""Rows of files that may not fit into memory: read piece by piece, each time they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from pillars.config_data import Csv
from pillars.data.parquet import brought, together
from pillars.data.sources.tables import stream_table
from pillars.errors import SourceBroken


@dataclass(frozen=True)
class Streamed:
    """The rows of some files, one below the other, or those at some places `at` of them, which ascend.

    `number` is the column that each row's number comes in, from 1. All passes are over one state of the files, or end in SourceBroken.
    """

    files: tuple[tuple[Path, str], ...]  # and what errors call them
    dialect: Csv
    source: str
    number: str | None = None
    at: np.ndarray | None = None
    states: tuple[tuple[int, int, int], ...] = ()

    @classmethod
    def of(cls, files: Sequence[tuple[Path, str]], dialect: Csv, source: str, number: str | None) -> Streamed:
        """All rows of some files as they are now."""
        return cls(tuple(files), dialect, source, number, None, tuple(state_of(path) for path, _ in files))

    def reader(self, how: Callable[[pa.Table], pa.Table]) -> pa.RecordBatchReader:
        """The rows, each piece as `how` makes it."""
        schema = how(next(self.pieces()).slice(0, 0)).schema
        return pa.RecordBatchReader.from_batches(schema, (batch for piece in self.pieces() for batch in how(piece).to_batches()))

    def among(self, at: np.ndarray) -> Streamed:
        """The rows of some places (m,), which ascend."""
        return replace(self, at=at)

    def pieces(self) -> Iterator[pa.Table]:
        """The rows, some at a time; first an empty piece, which has their columns.

        Raises:
            StoreUnavailable, SourceBroken: see `tables.stream_table`; or a file has changed since it was read first.
        """
        opened = [stream_table(path, name, self.dialect) for path, name in self.files]
        schema, odd = together([each for each, _ in opened])
        if self.number is not None:
            if self.number in schema.names:
                raise SourceBroken(self.source, "all", f"it has a column {self.number} already, which source.row_number would make")
            schema = schema.insert(0, pa.field(self.number, pa.int64()))
        yield schema.empty_table()
        began = 0
        for _, pieces in opened:
            for piece in pieces:
                ends = began + piece.num_rows
                if self.number is not None:
                    piece = piece.add_column(0, self.number, pa.array(np.arange(began + 1, ends + 1)))
                if self.at is not None:
                    low, high = np.searchsorted(self.at, [began, ends])
                    piece = piece.take(pa.array(self.at[low:high] - began))
                if piece.num_rows:
                    yield brought(piece, schema, odd)
                began = ends
        for (path, name), state in zip(self.files, self.states, strict=True):
            if state_of(path) != state:
                raise SourceBroken(name, "all", "it was changed while it was read")


def state_of(path: Path) -> tuple[int, int, int]:
    """What differs once a file was changed; zeros where it cannot be seen, for reading it says what is wrong."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0, 0
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
