"""How a CSV file is written, read off its beginning."""

from __future__ import annotations

import csv
from pathlib import Path

from pillars.config import Csv
from pillars.data.sources.tables import COLUMNAR, PACKED, unpacked
from pillars.errors import StoreUnavailable

LOOKED_AT = 1 << 18  # bytes
GUESSED = "cp1252"  # what is not Unicode is mostly Windows's; which of its code pages, bytes do not say
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
    start = unpacked(content, suffixes[-1] if suffixes and suffixes[-1] in PACKED else "", name)[:LOOKED_AT]
    encoding = _encoding(start)
    text = start.decode(encoding, errors="replace").removeprefix("\ufeff")
    found = {"encoding": encoding, "separator": _separator(text)}
    return Csv.model_validate({k: v for k, v in found.items() if v})


def _encoding(start: bytes) -> str:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as err:
        if err.end >= len(start) - 3 and len(start) == LOOKED_AT:  # the last letter is cut in two
            return "utf-8"
    else:
        return "utf-8"
    return GUESSED


def _separator(text: str) -> str:
    """The separator that gives each of the first lines the same number of values, more than one; of several, the one that gives most."""
    whole = text if len(text) < LOOKED_AT // 4 else text.rpartition("\n")[0]
    widths = {}
    for separator in SEPARATORS:
        rows = [row for _, row in zip(range(200), csv.reader(whole.splitlines(), delimiter=separator), strict=False) if row]
        if rows and len({len(row) for row in rows}) == 1:
            widths[separator] = len(rows[0])
    return max(widths, key=widths.__getitem__) if widths and max(widths.values()) > 1 else ","
