"""One CSV or Parquet file as a table. CSV values stay text: their column says later what they mean."""

from __future__ import annotations

import csv
import io
import lzma
from pathlib import Path, PurePath
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from pillars.config_data import Csv
from pillars.errors import SourceBroken, StoreUnavailable

ARROW = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
PACKED = (*ARROW, ".xz")
TEXT, COLUMNAR = (".csv", ".tsv", ".txt", ".data"), (".parquet", ".pq")
SHOWN = 3  # broken lines in a message


def read_table(content: bytes | Path, name: str, dialect: Csv) -> pa.Table:
    """The table in a file, or in the content of one, in its order.

    `name` is what errors call it; its ending says what it is: .csv .tsv .txt .data, also packed (.gz .bz2 .zst .lz4 .xz), or .parquet .pq.

    Raises:
        StoreUnavailable: there is no such file, or it cannot be read.
        SourceBroken: it is empty, cut off, of another encoding or kind, or a line has more or fewer values than the header.
    """
    packed = PurePath(name).suffix.lower() if PurePath(name).suffix.lower() in PACKED else ""
    ending = PurePath(name.removesuffix(PurePath(name).suffix) if packed else name).suffix.lower()
    if ending not in (*TEXT, *COLUMNAR):
        known = " ".join((*TEXT, *COLUMNAR))
        raise SourceBroken(name, "all", f"it ends neither in one of {known} nor in one of these packed ({' '.join(PACKED)})")
    try:
        if ending in COLUMNAR:
            return pq.read_table(content if isinstance(content, Path) else pa.BufferReader(content), partitioning=None)
        text = unpacked(content.read_bytes() if isinstance(content, Path) else content, packed, name)
        return _read_csv(text, name, dialect, "\t" if ending == ".tsv" and dialect.separator == "," else dialect.separator)
    except FileNotFoundError as err:
        raise StoreUnavailable(f"source {name}", "there is no such file", "Put it there, or mend source.file in the YAML.") from err
    except UnicodeDecodeError as err:
        raise _other_encoding(name, dialect, f"byte 0x{err.object[err.start]:02x} at position {err.start}") from err
    except UnicodeError as err:  # UTF-16 without the two bytes that say which
        raise _other_encoding(name, dialect, f"its content ({_line(err)})") from err
    except pa.ArrowInvalid as err:
        if "invalid UTF8" in str(err):
            raise _other_encoding(name, dialect, str(err).partition(": ")[2] or "a byte") from err
        raise SourceBroken(name, "all", f"it cannot be read as {ending[1:]} ({_line(err)})") from err
    except OSError as err:  # Arrow's, too, for damaged pages
        if err.errno is None:
            raise SourceBroken(name, "all", f"it cannot be read as {ending[1:]} ({_line(err)})") from err
        raise StoreUnavailable.refused(f"source {name}", err, "Nothing was kept; mend it and run again.", "read") from err


def unpacked(content: bytes, ending: str, name: str) -> bytes:
    """What is in a packed file; content without such an ending as it is.

    Raises:
        SourceBroken: it is cut off, or not packed so.
    """
    if not ending:
        return content
    try:
        if ending == ".xz":
            return lzma.decompress(content)
        with pa.CompressedInputStream(pa.BufferReader(content), ARROW[ending]) as stream:
            return cast(bytes, stream.read())
    except (OSError, EOFError, lzma.LZMAError) as err:
        raise SourceBroken(name, "all", f"it cannot be unpacked as {ending[1:]} ({_line(err)})") from err


def _read_csv(content: bytes, name: str, dialect: Csv, separator: str) -> pa.Table:
    header, lines = _header(content, name, dialect, separator)
    broken: list[Any] = []

    def note(row: Any) -> str:
        broken.append(row)
        return "skip"

    def read(*, threads: bool) -> pa.Table:
        broken.clear()
        return pc_csv.read_csv(
            pa.BufferReader(content),
            pc_csv.ReadOptions(use_threads=threads, column_names=header, skip_rows=lines, encoding=dialect.encoding),
            pc_csv.ParseOptions(
                delimiter=separator,
                quote_char=dialect.quote,
                newlines_in_values=True,
                invalid_row_handler=note,
            ),
            pc_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                null_values=list(dialect.nulls),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )

    table = read(threads=True)
    _refuse_an_open_quote(content, name, dialect, separator)
    if broken:
        read(threads=False)  # only then are rows numbered
        said = "; ".join(f"row {row.number - lines} has {row.actual_columns}" for row in broken[:SHOWN])
        more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        raise SourceBroken(name, "all", f"its header names {len(header)} columns, but {said}{more}")
    return table


def _refuse_an_open_quote(content: bytes, name: str, dialect: Csv, separator: str) -> None:
    """A quote that is never closed makes one value of all lines after it, which Arrow takes.

    Raises:
        SourceBroken: the file ends within quotes.
    """
    text = content.decode(dialect.encoding, errors="replace")
    if text.count(dialect.quote) % 2:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quotechar=dialect.quote, strict=True)
        began = 0
        try:
            for _ in rows:
                began = rows.line_num
        except csv.Error as err:
            raise SourceBroken(name, "all", f"a quote in line {began + 1} is never closed, or its value too long") from err


def _header(content: bytes, name: str, dialect: Csv, separator: str) -> tuple[list[str], int]:
    """The columns' names, and how many lines come before the first row.

    Raises:
        SourceBroken: there is no header, or a column has no name or that of another.
    """
    text = io.TextIOWrapper(cast(BinaryIO, io.BytesIO(content)), encoding=dialect.encoding, newline="")
    for _ in range(dialect.skip):
        text.readline()
    rows = csv.reader(text, delimiter=separator, quotechar=dialect.quote)
    names = [n.strip().removeprefix("\ufeff").strip() for n in next(rows, [])]
    if not any(names):
        raise SourceBroken(name, "all", "it is empty: not even a header is in it")
    for at, column in enumerate(names, 1):
        if not column:
            raise SourceBroken(name, "all", f"column {at} has no name in the header")
        if column in names[: at - 1]:  # never with its name: of a file without a header, that is somebody's value
            raise SourceBroken(name, "all", f"its header names columns {names.index(column) + 1} and {at} alike; has it a header?")
    return names, dialect.skip + rows.line_num


def _other_encoding(name: str, dialect: Csv, what: str) -> SourceBroken:
    return SourceBroken(name, "all", f"{what} is not {dialect.encoding}; set source.csv.encoding (latin-1, cp1252, utf-16 ...)")


def _line(err: BaseException) -> str:
    return " ".join(str(err).split())[:200]
