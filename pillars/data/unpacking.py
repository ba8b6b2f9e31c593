"""Bytes, and what they unpack to: every cell of Parquet and SQLite, members of archives, packed streams."""

from __future__ import annotations

import io
import lzma
import sqlite3
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEPTH = 4  # packed in packed
MOST_BYTES = 1 << 30  # that one file may unpack to: beyond, somebody made a bomb, or the search would never end
ROWS = 50_000  # of a table at a time
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
XZ, ZIP, PARQUET, SQLITE, TAR_AT = b"\xfd7zXZ\x00", b"PK\x03\x04", b"PAR1", b"SQLite format 3\x00", 257
ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


class TooMuch(Exception):
    """It unpacks to more than `MOST_BYTES`, or is packed deeper than `DEPTH`; what is inside was not seen."""


@dataclass(frozen=True)
class Piece:
    """Some bytes and where they are in a file: empty for its own, else `column mail`, `member data.json`, `table log, column message`."""

    content: bytes
    where: str = ""


def pieces(content: bytes, file: Path | None = None) -> Iterator[Piece]:
    """The bytes themselves, then all that they unpack to; `file` is where they lie, which a database in use has to be read from.

    Raises:
        TooMuch: it unpacks to more than can be searched.
    """
    yield Piece(content)
    left = MOST_BYTES
    for piece in _inside(content, file, 1):
        left -= len(piece.content)
        if left < 0:
            raise TooMuch
        yield piece


def _inside(content: bytes, file: Path | None, depth: int) -> Iterator[Piece]:
    if depth > DEPTH:
        raise TooMuch
    if content.startswith(SQLITE):
        yield from _cells_of_sqlite(content, file)
    elif content[:4] == PARQUET and content[-4:] == PARQUET:
        yield from _cells_of_parquet(content)
    elif content.startswith(ZIP):
        yield from _members(_of_zip(content), depth)
    elif content[TAR_AT : TAR_AT + 5] == b"ustar":
        yield from _members(_of_tar(content), depth)
    elif (plain := _unpacked(content)) is not None:
        yield from _members(iter([("", plain)]), depth)


def _members(found: Iterator[tuple[str, bytes]], depth: int) -> Iterator[Piece]:
    for name, content in found:
        where = f"member {name}" if name else "unpacked"
        yield Piece(content, where)
        for piece in _inside(content, None, depth + 1):
            yield Piece(piece.content, f"{where}, {piece.where}")


def _unpacked(content: bytes) -> bytes | None:
    """What a packed stream holds; None where it is none, or not whole."""
    import pyarrow as pa

    try:
        if kind := next((kind for begin, kind in PACKED.items() if content.startswith(begin)), None):
            with pa.CompressedInputStream(pa.BufferReader(content), kind) as stream:
                return _limited(stream)
        if content.startswith(XZ):
            return _limited(lzma.open(io.BytesIO(content)))
        if content[:2] in ZLIB:
            plain = zlib.decompressobj().decompress(content, MOST_BYTES + 1)
            return _limited(io.BytesIO(plain))
    except (OSError, EOFError, lzma.LZMAError, zlib.error, pa.ArrowException):
        return None
    return None


def _limited(stream: Any) -> bytes:
    content = bytes(stream.read(MOST_BYTES + 1))
    if len(content) > MOST_BYTES:
        raise TooMuch
    return content


def _of_zip(content: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for member in packed.infolist():
                with packed.open(member) as stream:
                    yield member.filename, _limited(stream)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, zlib.error):  # damaged, or under a password
        return


def _of_tar(content: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as packed:
            for member in packed:
                if stream := packed.extractfile(member):
                    yield member.name, _limited(stream)
    except (tarfile.TarError, EOFError, OSError):
        return


def _cells_of_parquet(content: bytes) -> Iterator[Piece]:
    """Columns that can hold words, a part at a time; and the keys and values beside the schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(content))
        beside = file.schema_arrow.metadata or {}
        yield Piece(b"\n".join([*beside, *beside.values(), *(name.encode() for name in file.schema_arrow.names)]), "schema")
        wordy = [field.name for field in file.schema_arrow if not _is_number(field.type)]
        for batch in file.iter_batches(ROWS, columns=wordy) if wordy else ():
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                yield Piece(b"\n".join(map(_bytes, column.to_pylist())), f"column {name}")
    except (pa.ArrowException, OSError, ValueError):  # damaged: its bytes were searched as they are
        return


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_primitive(kind))


def _cells_of_sqlite(content: bytes, file: Path | None) -> Iterator[Piece]:
    """Every value of every table: in the file's own bytes a long one is cut into pages, and a database in use has its newest elsewhere."""
    try:
        with closing(_opened(content, file)) as database:
            database.text_factory = bytes
            names = [row[0].decode() for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in names:
                asked = database.execute('SELECT * FROM "{}"'.format(table.replace('"', '""')))
                columns = [one[0] for one in asked.description]
                while rows := asked.fetchmany(ROWS // 10):
                    for name, values in zip(columns, zip(*rows, strict=True), strict=True):
                        words = b"\n".join(_bytes(value) for value in values if isinstance(value, bytes | str))
                        if words:
                            yield Piece(words, f"table {table}, column {name}")
    except sqlite3.Error:  # damaged, or of another program's extension: its bytes were searched as they are
        return


def _opened(content: bytes, file: Path | None) -> sqlite3.Connection:
    if file is not None:
        return sqlite3.connect(f"file:{_escaped(file)}?mode=ro", uri=True, timeout=5.0)
    database = sqlite3.connect(":memory:")
    database.deserialize(content)
    return database


def _escaped(file: Path) -> str:
    return str(file.resolve()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")
