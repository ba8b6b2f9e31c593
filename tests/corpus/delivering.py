"""A case's batch, spoiled and put where a source of the project finds it."""

from __future__ import annotations

import bz2
import csv
import datetime as dt
import gzip
import io
import lzma
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pillars.config import Project
from tests.corpus import good
from tests.corpus.cases import Case, Way
from tests.corpus.spoiling import OF_BYTES, OF_TEXT, OF_VALUES, Given
from tests.pillars.data.sources.ways import Site

VARIABLE = "DEPOT_DB"
NAMES: dict[Way, str] = {"csv": "depot.csv", "gzip": "depot.csv.gz", "xz": "depot.csv.xz", "parquet": "depot.parquet", "http": "depot.csv"}
PACKED: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


@dataclass(frozen=True)
class Delivered:
    """The project of a case whose batch lies where it is looked for, how many rows that has, and variables that the source asks for."""

    project: Project
    rows: int
    environ: dict[str, str]


def deliver(case: Case, root: Path, site: Site) -> Delivered:
    """Spoil a good month as the case says, and put it under `root` or on the site."""
    given = Given.of(good.parcels(good.PERIOD))
    for step, arguments in case.steps(OF_VALUES):
        given = step(given, **arguments)
    folder = root / "cases" / re.sub(r"\W+", "-", f"{case.family}-{case.id}")
    folder.mkdir(parents=True)
    source = _put(case, given, folder, root, site)
    environ = {VARIABLE: f"sqlite:///{folder.relative_to(root)}/{'none' if case.delivered.gone else 'depot'}.db"}
    return Delivered(good.project(source, case.declared), case.rows or given.rows, environ if case.source == "sql" else {})


def _put(case: Case, given: Given, folder: Path, root: Path, site: Site) -> dict[str, Any]:
    """Write the batch; the YAML's `source`."""
    here, how = folder.relative_to(root).as_posix(), case.delivered
    if case.source == "sql":
        file = folder / "depot.db"
        _write_database(file, given)
        file.write_bytes(_spoiled(case, file.read_bytes()))
        return {"sql": {"url_from": VARIABLE, "rows": how.query or "SELECT * FROM parcels"}}
    if case.source == "python":
        pq.write_table(given.table(), folder / "depot.parquet")
        return {"python": "tests.corpus.giving", "options": {"file": str(folder / "depot.parquet"), "fault": how.fault}}
    name = how.name or NAMES.get(case.source, f"{good.PERIOD}.csv")
    content = _bytes(case, given, name)
    if case.source == "http":
        site.files[f"{here}/{name}"] = content
        site.failures[:] = how.fails
        if how.gone:
            del site.files[f"{here}/{name}"]
        sums = {"sha256": {"all": how.sha256}} if how.sha256 else {}
        return {"http": {"url": f"{site.address}/{here}/{name}?token=geheim", "attempts": 2, "timeout_s": 5} | sums}
    if case.source == "folder":
        (folder / "inbox").mkdir()
        for other, text in how.beside.items():
            (folder / "inbox" / other).write_text(text)
        if not how.gone:
            (folder / "inbox" / name).write_bytes(content)
        return {"file": f"{here}/inbox", "batches": {"by": "file"}}
    if not how.gone:
        (folder / name).write_bytes(content)
    return {"file": f"{here}/{name}"}


def _bytes(case: Case, given: Given, name: str) -> bytes:
    """The content of a file of this name, spoiled; what is packed is spoiled as it lies there."""
    if name.endswith(".parquet"):
        out = io.BytesIO()
        pq.write_table(given.table(), out, row_group_size=80)
        content = out.getvalue()
    else:
        text = _csv(given)
        for step, arguments in case.steps(OF_TEXT):
            text = step(text, **arguments)
        content = text.encode()
    packed = PACKED.get(Path(name).suffix, bytes)
    if packed is not bytes:
        content = packed(content)
    return _spoiled(case, content)


def _spoiled(case: Case, content: bytes) -> bytes:
    for step, arguments in case.steps(OF_BYTES):
        content = step(content, **arguments)
    return content


def _csv(given: Given) -> str:
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\r\n")
    lines.writerow(given.columns)
    lines.writerows(["" if v is None else str(v) for v in row] for row in zip(*given.columns.values(), strict=True))
    return out.getvalue()


def _write_database(file: Path, given: Given) -> None:
    """SQLite, which takes what it is given whatever a column was."""
    connection = sqlite3.connect(file)
    connection.execute(f"CREATE TABLE parcels ({', '.join(given.columns)})")
    rows = [[str(v) if isinstance(v, dt.datetime) else v for v in row] for row in zip(*given.columns.values(), strict=True)]
    connection.executemany(f"INSERT INTO parcels VALUES ({', '.join('?' * len(given.columns))})", rows)
    connection.commit()
    connection.close()
