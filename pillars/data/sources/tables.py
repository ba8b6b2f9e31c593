"""One CSV or Parquet file as a table. CSV values stay text: their column says later what they mean."""

from __future__ import annotations

import csv
import io
import lzma
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
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
PIECE = 1 << 18  # rows of a file that is read in pieces
BLOCK = 1 << 22  # bytes of text at a time: no value may be longer
LEAST, LEAST_PACKED = 10, 0.5  # bytes that a row takes: with shorter ones, a table of ten million rows is small all the same
SHOWN = 3  # broken lines in a message


def read_table(content: bytes | Path, name: str, dialect: Csv) -> pa.Table:
    """The table in a file, or in the content of one, in its order.

    `name` is what errors call it; its ending says what it is: .csv .tsv .txt .data, also packed (.gz .bz2 .zst .lz4 .xz), or .parquet .pq.

    Raises:
        StoreUnavailable: there is no such file, or it cannot be read.
        SourceBroken: it is empty, cut off, of another encoding or kind, or a line has more or fewer values than the header.
    """
    packed, ending = _endings(name)
    with _translated(name, dialect, ending):
        if ending in COLUMNAR:
            table = pq.read_table(content if isinstance(content, Path) else pa.BufferReader(content), partitioning=None)
        else:
            text = unpacked(content.read_bytes() if isinstance(content, Path) else content, packed, name)
            table = _read_csv(text, name, dialect, _separator(ending, dialect))
    return table


def stream_table(path: Path, name: str, dialect: Csv) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """The table in a file as `read_table` reads it, piece by piece. Raises as that does, some of it later."""
    packed, ending = _endings(name)
    with _translated(name, dialect, ending):
        if ending in COLUMNAR:
            file = pq.ParquetFile(path)
            schema, pieces = file.schema_arrow.remove_metadata(), _of_parquet(file, name, dialect, ending)
        else:
            separator = _separator(ending, dialect)
            with _opened(path, packed) as stream:
                header, lines = _header(stream, name, dialect, separator)
            schema, pieces = pa.schema([(n, pa.string()) for n in header]), _of_csv(path, name, dialect, separator, header, lines)
    return schema, pieces


def may_be_large(path: Path, rows: int) -> bool:
    """Whether a file may hold more rows than that: Parquet says how many it has, of text the size tells. An unreadable one does not."""
    packed, ending = _endings(path.name)
    try:
        if ending in COLUMNAR:
            return bool(pq.read_metadata(path).num_rows > rows)
        return path.stat().st_size > rows * (LEAST_PACKED if packed else LEAST)
    except (OSError, pa.ArrowException):
        return False


def _of_parquet(file: pq.ParquetFile, name: str, dialect: Csv, ending: str) -> Iterator[pa.Table]:
    with _translated(name, dialect, ending):
        for batch in file.iter_batches(PIECE):
            yield pa.Table.from_batches([batch]).replace_schema_metadata(None)


def _of_csv(path: Path, name: str, dialect: Csv, separator: str, header: list[str], lines: int) -> Iterator[pa.Table]:
    packed, ending = _endings(name)
    _refuse_an_open_quote(partial(_opened, path, packed), name, dialect, separator)
    broken: list[Any] = []
    with _translated(name, dialect, ending), _opened(path, packed) as stream:
        options = _csv_options(dialect, separator, header, lines, broken, threads=False)
        with pc_csv.open_csv(pa.PythonFile(stream, mode="r"), *options) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])
    _refuse_broken(broken, name, header, lines)


@contextmanager
def _translated(name: str, dialect: Csv, ending: str) -> Iterator[None]:
    """What Python and Arrow raise over a file, as ours."""
    try:
        yield
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


def _endings(name: str) -> tuple[str, str]:
    """How a file is packed, and what is in it, by its name.

    Raises:
        SourceBroken: the name does not say.
    """
    packed = PurePath(name).suffix.lower() if PurePath(name).suffix.lower() in PACKED else ""
    ending = PurePath(name.removesuffix(PurePath(name).suffix) if packed else name).suffix.lower()
    if ending not in (*TEXT, *COLUMNAR):
        known = " ".join((*TEXT, *COLUMNAR))
        raise SourceBroken(name, "all", f"it ends neither in one of {known} nor in one of these packed ({' '.join(PACKED)})")
    return packed, ending


def _separator(ending: str, dialect: Csv) -> str:
    return "\t" if ending == ".tsv" and dialect.separator == "," else dialect.separator


@contextmanager
def _opened(path: Path, packed: str) -> Iterator[BinaryIO]:
    """A file's content, unpacked as it is read."""
    if packed == ".xz":
        with lzma.open(path) as stream:
            yield cast(BinaryIO, stream)
    elif packed:
        with pa.CompressedInputStream(pa.OSFile(str(path)), ARROW[packed]) as stream:
            yield cast(BinaryIO, io.BufferedReader(stream))
    else:
        with path.open("rb") as stream:
            yield stream


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
    header, lines = _header(io.BytesIO(content), name, dialect, separator)
    broken: list[Any] = []

    def read(*, threads: bool) -> pa.Table:
        broken.clear()
        return pc_csv.read_csv(pa.BufferReader(content), *_csv_options(dialect, separator, header, lines, broken, threads=threads))

    table = read(threads=True)
    _refuse_an_open_quote(lambda: nullcontext(io.BytesIO(content)), name, dialect, separator)
    if broken:
        read(threads=False)  # only then are rows numbered
        _refuse_broken(broken, name, header, lines)
    return table


def _csv_options(dialect: Csv, separator: str, header: list[str], lines: int, broken: list[Any], *, threads: bool) -> tuple[Any, ...]:
    """How Arrow reads: every value as text. Lines with more or fewer values than the header go into `broken`."""

    def note(row: Any) -> str:
        broken.append(row)
        return "skip"

    return (
        pc_csv.ReadOptions(use_threads=threads, column_names=header, skip_rows=lines, encoding=dialect.encoding, block_size=BLOCK),
        pc_csv.ParseOptions(delimiter=separator, quote_char=dialect.quote, newlines_in_values=True, invalid_row_handler=note),
        pc_csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()),
            null_values=list(dialect.nulls),
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )


def _refuse_broken(broken: list[Any], name: str, header: list[str], lines: int) -> None:
    """Raises: SourceBroken, where a line has more or fewer values than the header."""
    if broken:
        said = "; ".join(
            f"row {row.number - lines} has {row.actual_columns}" if row.number else str(row.actual_columns) for row in broken[:SHOWN]
        )
        more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        raise SourceBroken(name, "all", f"its header names {len(header)} columns, but {said}{more}")


def _refuse_an_open_quote(opened: Callable[[], AbstractContextManager[BinaryIO]], name: str, dialect: Csv, separator: str) -> None:
    """A quote that is never closed makes one value of all lines after it, which Arrow takes.

    Raises:
        SourceBroken: the file ends within quotes.
    """
    quotes = 0
    with opened() as stream:
        text = io.TextIOWrapper(stream, encoding=dialect.encoding, errors="replace", newline="")
        while part := text.read(BLOCK):
            quotes += part.count(dialect.quote)
    if quotes % 2:
        with opened() as stream:
            text = io.TextIOWrapper(stream, encoding=dialect.encoding, errors="replace", newline="")
            began = 0
            try:
                for row in (rows := csv.reader(text, delimiter=separator, quotechar=dialect.quote, strict=True)):
                    del row
                    began = rows.line_num
            except csv.Error as err:
                raise SourceBroken(name, "all", f"a quote in line {began + 1} is never closed, or its value too long") from err


def _header(content: BinaryIO, name: str, dialect: Csv, separator: str) -> tuple[list[str], int]:
    """The columns' names, and how many lines come before the first row.

    Raises:
        SourceBroken: there is no header, or a column has no name or that of another.
    """
    text = io.TextIOWrapper(content, encoding=dialect.encoding, newline="")
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
