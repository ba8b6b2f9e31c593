"""How a CSV file is written, read off its beginning."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from pillars.config_data import Csv
from pillars.data.sources.tables import COLUMNAR, PACKED, unpacked
from pillars.errors import StoreUnavailable

LOOKED_AT = 1 << 18  # bytes
GUESSED = "cp1252"  # what is not Unicode is mostly Windows's; which of its code pages, bytes do not say
GUESSES = (GUESSED, "latin-1")
SEPARATORS = ",;\t|"


def sniff(path: Path, name: str) -> Csv:
    """The dialect of a file; the default where it is Parquet or has one column. `name` is what errors call it.

    Raises:
        StoreUnavailable: there is no such file, or it cannot be read.
        SourceBroken: it is packed, and cut off.
    """
    suffixes = [s.lower() for s in path.suffixes]
    if set(suffixes) & set(COLUMNAR):
        return Csv()
    try:
        content = path.read_bytes()
    except OSError as err:
        raise StoreUnavailable.refused(name, err, "Nothing was written.", "read") from err
    content = unpacked(content, suffixes[-1] if suffixes and suffixes[-1] in PACKED else "", name)
    encoding = _encoding(content)
    text = content[:LOOKED_AT].decode(encoding, errors="replace").removeprefix("\ufeff")
    found = {"encoding": encoding, "separator": _separator(text)}
    return Csv.model_validate({k: v for k, v in found.items() if v})


def _encoding(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    for encoding in ("utf-8", GUESSED):
        try:
            content.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"  # in which every byte is a letter


def _separator(text: str) -> str:
    """The separator that gives each of the first lines the same number of values, more than one; of several, the one that gives most."""
    whole = text if len(text) < LOOKED_AT // 4 else text.rpartition("\n")[0]
    widths = {}
    for separator in SEPARATORS:
        try:
            rows = [row for _, row in zip(range(200), csv.reader(io.StringIO(whole, newline=""), delimiter=separator), strict=False) if row]
        except csv.Error:  # a quote that is never closed
            continue
        if rows and len({len(row) for row in rows}) == 1:
            widths[separator] = len(rows[0])
    return max(widths, key=widths.__getitem__) if widths and max(widths.values()) > 1 else ","
