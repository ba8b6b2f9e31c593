"""What a database gives, aside until its last row has come: only then its types are known. Encrypted, for it is not protected yet."""

from __future__ import annotations

import io
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pillars.config import Project
from pillars.data.parquet import brought, together
from pillars.errors import SourceBroken, StoreUnavailable
from pillars.stores import scratch


class Spool:
    """Tables one below the other, in files that go with it; the key is in this process alone."""

    def __init__(self) -> None:
        stack = ExitStack()
        self._folder = stack.enter_context(scratch("spool"))
        self._close = weakref.finalize(self, stack.close)
        self._key = AESGCM(os.urandom(32))
        self._schemas: list[pa.Schema] = []
        self._rows: list[int] = []
        self._number: str | None = None

    def add(self, table: pa.Table) -> None:
        """Put a table below the others.

        Raises:
            StoreUnavailable: the disk refuses.
        """
        at, content = len(self._schemas), io.BytesIO()
        pq.write_table(table, content, compression="lz4")
        try:
            (self._folder / str(at)).write_bytes(self._key.encrypt(at.to_bytes(12, "big"), content.getvalue(), None))
        except OSError as err:
            raise StoreUnavailable.refused(str(self._folder), err, "Nothing was kept; free the disk and run again.", "written") from err
        self._schemas.append(table.schema)
        self._rows.append(table.num_rows)

    def numbered(self, project: Project) -> Spool:
        """The same with each row's number, from 1, in the column that the YAML wants it in.

        Raises:
            SourceBroken: it has such a column already.
        """
        self._number = project.source.row_number
        if self._number is not None and any(self._number in schema.names for schema in self._schemas):
            raise SourceBroken(project.source.name, "all", f"it has a column {self._number} already, which source.row_number would make")
        return self

    def reader(self, how: Callable[[pa.Table], pa.Table]) -> pa.RecordBatchReader:
        """All rows, each table as `how` makes it."""
        schema, odd = together(self._schemas)
        if self._number is not None:
            schema = schema.insert(0, pa.field(self._number, pa.int64()))
        made = how(schema.empty_table()).schema
        return pa.RecordBatchReader.from_batches(made, (batch for table in self._tables(schema, odd) for batch in how(table).to_batches()))

    def _tables(self, schema: pa.Schema, odd: frozenset[str]) -> Iterator[pa.Table]:
        began = 1
        for at, rows in enumerate(self._rows):
            content = self._key.decrypt(at.to_bytes(12, "big"), (self._folder / str(at)).read_bytes(), None)
            table = pq.read_table(pa.BufferReader(content))
            if self._number is not None:
                table = table.add_column(0, self._number, pa.array(np.arange(began, began + rows)))
            began += rows
            yield brought(table, schema, odd)
