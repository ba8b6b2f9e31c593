"""What a database gives, aside until its last row has come: only then its types are known. Sealed, for it is not protected yet."""

from __future__ import annotations

import io
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pillars.config import Project
from pillars.data import chunks
from pillars.data.parquet import brought, together
from pillars.data.sources.cutting import numbered
from pillars.errors import StoreUnavailable


class Spool:
    """Tables one below the other, in nameless files that go with it, whatever ends it."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._parts: list[tuple[pa.Schema, BinaryIO]] = []
        self._files = ExitStack()
        weakref.finalize(self, self._files.close)

    def add(self, table: pa.Table) -> None:
        """Put a table below the others.

        Raises:
            StoreUnavailable: the disk refuses.
        """
        content, folder = io.BytesIO(), Path(tempfile.gettempdir())
        pq.write_table(table, content, compression="lz4")
        try:
            kept = self._files.enter_context(chunks.passing([content.getvalue()], folder))
        except OSError as err:
            raise StoreUnavailable.refused(str(folder), err, "Nothing was kept; free the disk and run again.", "written") from err
        self._parts.append((table.schema, kept))

    def reader(self, how: Callable[[pa.Table], pa.Table]) -> pa.RecordBatchReader:
        """All rows, numbered where the YAML wants it, each table as `how` makes it.

        Raises:
            SourceBroken: they have a column already that the number would come in.
        """
        schema, odd = together([each for each, _ in self._parts])
        made = how(numbered(self._project, schema.empty_table())).schema
        return pa.RecordBatchReader.from_batches(made, (batch for table in self._tables(schema, odd) for batch in how(table).to_batches()))

    def _tables(self, schema: pa.Schema, odd: frozenset[str]) -> Iterator[pa.Table]:
        before = 0
        for _, kept in self._parts:
            kept.seek(0)
            table = brought(pq.read_table(kept), schema, odd)
            yield numbered(self._project, table, before)
            before += table.num_rows
