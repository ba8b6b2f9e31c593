"""Rows of files that may not fit into memory: read piece by piece, each time they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from pillars.config import Project
from pillars.data.parquet import brought, together
from pillars.data.sources.cutting import numbered
from pillars.data.sources.tables import stream_table
from pillars.errors import SourceBroken


@dataclass(frozen=True)
class Streamed:
    """The rows of some files, one below the other, numbered where the YAML wants it; or those at some places `at`, which ascend.

    All passes are over one state of the files, or end in SourceBroken.
    """

    project: Project
    files: tuple[tuple[Path, str], ...]  # and what errors call them
    states: tuple[tuple[int, int, int], ...]
    at: np.ndarray | None = None

    @classmethod
    def of(cls, project: Project, files: Sequence[tuple[Path, str]]) -> Streamed:
        """All rows of some files as they are now."""
        return cls(project, tuple(files), tuple(state_of(path) for path, _ in files))

    def reader(self, how: Callable[[pa.Table], pa.Table]) -> pa.RecordBatchReader:
        """The rows, each piece as `how` makes it."""
        schema = how(next(self.pieces())).schema
        return pa.RecordBatchReader.from_batches(schema, (batch for piece in self.pieces() for batch in how(piece).to_batches()))

    def among(self, at: np.ndarray) -> Streamed:
        """The rows of some places (m,), which ascend."""
        return replace(self, at=at)

    def pieces(self) -> Iterator[pa.Table]:
        """The rows, some at a time; first an empty piece, which has their columns.

        Raises:
            StoreUnavailable, SourceBroken: see `tables.stream_table`; or a file has changed since it was read first, or has the column
                already that the number would come in.
        """
        opened = [stream_table(path, name, self.project.source.csv) for path, name in self.files]
        schema, odd = together([each for each, _ in opened])
        yield numbered(self.project, schema.empty_table())
        before = 0
        for piece in (piece for _, pieces in opened for piece in pieces):
            table, after = numbered(self.project, brought(piece, schema, odd), before), before + piece.num_rows
            if self.at is not None:
                low, high = np.searchsorted(self.at, [before, after])
                table = table.take(pa.array(self.at[low:high] - before))
            if table.num_rows:
                yield table
            before = after
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
