"""Tables as Parquet files whose bytes depend on their content alone (and on pyarrow's version)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pillars import stores
from pillars.errors import DataCorrupt, StoreUnavailable


def parquet_bytes(table: pa.Table) -> bytes:
    """Bytes of `table` as Parquet: equal for equal columns and values, however a library held, chunked or annotated them.

    Times in seconds come back in milliseconds: Parquet has no coarser unit.
    """
    return stores.parquet_bytes(_plainly(table, _plain_schema(table.schema)))


def write_pieces(handle: BinaryIO, schema: pa.Schema, pieces: Iterable[pa.Table]) -> int:
    """Write pieces of one schema as the bytes that `parquet_bytes` makes of them as one table; how many rows they have."""
    plain, rows = _plain_schema(schema), 0
    with pq.ParquetWriter(handle, plain, compression="zstd") as writer:
        for group in _in_row_groups(pieces):
            writer.write_table(_plainly(group, plain).combine_chunks(), row_group_size=stores.ROW_GROUP)
            rows += group.num_rows
        if not rows:
            writer.write_table(plain.empty_table())
    return rows


def write_parquet(path: Path, table: pa.Table) -> None:
    """Replace `path` by `table`, as a whole.

    Raises:
        StoreUnavailable: the disk refuses; the old content is intact.
    """
    stores.write_atomically(path, parquet_bytes(table))


def read_parquet(source: Path | bytes, name: str = "", columns: Sequence[str] | None = None) -> pa.Table:
    """The table in a file, or in the bytes of one that is called `name`; of its columns those of `columns`, where given.

    Raises:
        DataCorrupt: the bytes are not Parquet.
        StoreUnavailable: there is no such file, or it cannot be read.
    """
    try:
        content = source.read_bytes() if isinstance(source, Path) else source
    except OSError as err:
        raise StoreUnavailable(str(source), f"cannot be read ({err.strerror})", "Run the step that writes it again.") from err
    try:
        return pq.read_table(pa.BufferReader(content), columns=None if columns is None else [*columns])
    except (pa.ArrowInvalid, OSError) as err:  # damaged pages raise OSError
        raise DataCorrupt(name or str(source), "that of a Parquet file", "other bytes") from err


def parquet_pieces(content: bytes, name: str, rows: int) -> Iterator[pa.Table]:
    """The table in the bytes of a file called `name`, so many rows at a time; one empty piece where it has none. Raises: DataCorrupt."""
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        if not file.metadata.num_rows:
            yield file.read()
        for batch in file.iter_batches(rows, use_threads=False):
            yield pa.Table.from_batches([batch])
    except (pa.ArrowInvalid, OSError) as err:
        raise DataCorrupt(name, "that of a Parquet file", "other bytes") from err


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables one below the other; a column that one of them lacks is null there, one of types that do not fit is text."""
    schema, odd = together([table.schema for table in tables])
    return pa.concat_tables([brought(table, schema, odd) for table in tables])


def together(schemas: Sequence[pa.Schema]) -> tuple[pa.Schema, frozenset[str]]:
    """The schema of tables of these schemas, one below the other, and which of its columns are text because their types do not fit."""
    try:
        return pa.unify_schemas(schemas, promote_options="permissive"), frozenset()
    except pa.ArrowTypeError:
        names = {field.name for schema in schemas for field in schema}
        odd = frozenset(name for name in names if not _fit([schema.field(name) for schema in schemas if name in schema.names]))
        worded = [pa.schema([pa.field(f.name, pa.string()) if f.name in odd else f for f in schema]) for schema in schemas]
        return pa.unify_schemas(worded, promote_options="permissive"), odd


def _fit(fields: Sequence[pa.Field]) -> bool:
    """Whether one type holds the values of all."""
    try:
        pa.unify_schemas([pa.schema([field]) for field in fields], promote_options="permissive")
    except pa.ArrowTypeError:
        return False
    return True


def brought(table: pa.Table, schema: pa.Schema, odd: Collection[str]) -> pa.Table:
    """`table` in the columns of `schema`, which `together` gives with the columns that are text."""
    if table.schema.equals(schema):
        return table
    columns = dict(zip(table.column_names, table.columns, strict=True))
    columns |= {n: pa.array([None if v is None else str(v) for v in columns[n].to_pylist()], pa.string()) for n in columns if n in odd}
    return pa.table(
        [columns[f.name].cast(f.type) if f.name in columns else pa.nulls(table.num_rows, f.type) for f in schema], schema=schema
    )


def _in_row_groups(pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Pieces of any size as tables of `stores.ROW_GROUP` rows, the last one shorter: so cut, a file has the bytes of one written whole."""
    held, rows = list[pa.Table](), 0
    for piece in pieces:
        held.append(piece)
        rows += piece.num_rows
        if rows >= stores.ROW_GROUP:
            whole = pa.concat_tables(held)
            full = whole.num_rows - whole.num_rows % stores.ROW_GROUP
            yield from (whole.slice(at, stores.ROW_GROUP) for at in range(0, full, stores.ROW_GROUP))
            held, rows = [whole.slice(full)], whole.num_rows - full
    if held and (rest := pa.concat_tables(held)).num_rows:
        yield rest


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(f.name, _plain(f.type)) for f in schema])


def _plainly(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return pa.table([table.column(i).cast(f.type) for i, f in enumerate(schema)], schema=schema)


def _plain(kind: pa.DataType) -> pa.DataType:
    """Dictionary and large types as their plain ones: how a library holds a column in memory must not reach the bytes."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return kind
