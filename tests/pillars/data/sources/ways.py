"""The same parcels of two months, given in every way that a YAML can name without code."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pillars.config import Project
from tests.pillars.data import batches

PERIODS = ("2013-01", "2013-02")


def parcels(period: str) -> pa.Table:
    """Rows of a month with their outcomes beside them."""
    rows = batches.rows(period)
    outcomes = batches.outcomes(rows)
    return rows.append_column("late", outcomes["late"]).append_column("delay_min", outcomes["delay_min"])


def whole() -> pa.Table:
    """Both months."""
    return pa.concat_tables([parcels(period) for period in PERIODS])


def project_of(source: dict[str, Any], **sections: Any) -> Project:
    """The parcels' project with this source."""
    given = batches.project().model_dump(mode="json") | {"source": source}
    for name, change in sections.items():
        given[name] = {**given[name], **change}
    return Project.model_validate(given)


def csv_text(table: pa.Table, separator: str = ",", null: str = "", decimal: str = ".") -> str:
    """A table as CSV, as another program would write it."""
    out = io.StringIO()
    lines = csv.writer(out, delimiter=separator, lineterminator="\r\n")
    lines.writerow(table.column_names)

    def said(value: object) -> str:
        text = null if value is None else str(value)
        return text.replace(".", decimal) if isinstance(value, float) else text

    lines.writerows([said(v) for v in row.values()] for row in table.to_pylist())
    return out.getvalue()


@dataclass
class Site:
    """A web server's files, how it misbehaves next, and what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)  # 503, reset, cut: one for each of the next requests
    asked: list[tuple[str, int]] = field(default_factory=list)  # path and the status it was answered with
    address: str = ""


@contextmanager
def served() -> Iterator[Site]:
    """A real server on this machine."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = site.files.get(self.path.partition("?")[0].lstrip("/"))
            failure = site.failures.pop(0) if site.failures else ""
            if failure == "reset":
                self.connection.close()
                return
            status = 503 if failure == "503" else 404 if content is None else 200
            site.asked.append((self.path, status))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content or b"") if status == 200 else 0))
            self.end_headers()
            if status == 200 and content is not None:
                self.wfile.write(content[: len(content) // 2] if failure == "cut" else content)

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


def _csv(root: Path, site: Site) -> Project:
    (root / "parcels.csv").write_bytes(csv_text(whole()).encode())
    return project_of({"file": "parcels.csv"})


def _european(root: Path, site: Site) -> Project:
    text = "exported by the depot\r\n" + csv_text(whole(), ";", "k.A.", ",")
    (root / "parcels.csv.gz").write_bytes(gzip.compress(text.encode("cp1252")))
    csv_ = {"separator": ";", "encoding": "cp1252", "nulls": ["k.A."], "skip": 1}
    decimal = {name: {**c, "decimal": ","} for name, c in batches.COLUMNS.items() if c["type"] == "float"}
    return project_of({"file": "parcels.csv.gz", "csv": csv_}, columns=decimal)


def _utf16(root: Path, site: Site) -> Project:
    (root / "parcels.txt").write_bytes(csv_text(whole()).encode("utf-16"))
    return project_of({"file": "parcels.txt", "csv": {"encoding": "utf-16"}})


def _parquet(root: Path, site: Site) -> Project:
    pq.write_table(whole(), root / "parcels.parquet", row_group_size=7)
    return project_of({"file": "parcels.parquet"})


def _one_a_month(root: Path, site: Site) -> Project:
    (root / "inbox").mkdir()
    for period in PERIODS:
        pq.write_table(parcels(period), root / "inbox" / f"{period}.parquet")
    (root / "inbox" / "2013-03.parquet.part").write_bytes(b"still being copied")
    (root / "inbox" / ".hidden").write_bytes(b"")
    return project_of({"file": "inbox", "batches": {"by": "file"}})


def _pattern(root: Path, site: Site) -> Project:
    (root / "inbox").mkdir()
    table = whole()
    for number in range(4):
        (root / "inbox" / f"part-{number}.csv").write_bytes(csv_text(table.slice(number * 20, 20)).encode())
    return project_of({"file": "inbox/part-*.csv"})


def database(root: Path) -> Path:
    """The parcels in SQLite, which has neither times nor flags."""
    file = root / "parcels.db"
    connection = sqlite3.connect(file)
    names = whole().column_names
    connection.execute(f"CREATE TABLE parcels ({', '.join(names)})")
    rows = [[str(v) if n == "at" else v for n, v in row.items()] for row in whole().to_pylist()]
    connection.executemany(f"INSERT INTO parcels VALUES ({', '.join('?' * len(names))})", rows)
    connection.commit()
    connection.close()
    return file


def _sql(root: Path, site: Site) -> Project:
    database(root)
    return project_of({"sql": {"url_from": "PARCELS_DB", "rows": "SELECT * FROM parcels ORDER BY rowid"}})


def _sql_by_period(root: Path, site: Site) -> Project:
    database(root)
    queries = {
        "periods": "SELECT DISTINCT substr(at, 1, 7) FROM parcels ORDER BY 1",
        "rows": "SELECT * FROM parcels WHERE at >= :start AND at < :end",
        "outcomes": "SELECT at, parcel, late, delay_min FROM parcels WHERE substr(at, 1, 7) = :period",
    }
    return project_of({"sql": {"url_from": "PARCELS_DB", **queries}})


def _http(root: Path, site: Site) -> Project:
    site.files["data/parcels.csv"] = csv_text(whole()).encode()
    return project_of({"http": {"url": f"{site.address}/data/parcels.csv?token=geheim"}})


def _http_by_period(root: Path, site: Site) -> Project:
    for period in PERIODS:
        out = io.BytesIO()
        pq.write_table(parcels(period), out)
        site.files[f"parcels-{period}.parquet"] = out.getvalue()
    sums = {period: hashlib.sha256(site.files[f"parcels-{period}.parquet"]).hexdigest() for period in PERIODS}
    return project_of({"http": {"url": f"{site.address}/parcels-{{period}}.parquet", "periods": list(PERIODS), "sha256": sums}})


WAYS: dict[str, Callable[[Path, Site], Project]] = {
    "one CSV": _csv,
    "a packed CSV with decimal commas": _european,
    "a CSV in UTF-16": _utf16,
    "one Parquet file": _parquet,
    "a folder with a file a month": _one_a_month,
    "files that fit a pattern": _pattern,
    "a query": _sql,
    "queries by period": _sql_by_period,
    "an address": _http,
    "an address a month, with checksums": _http_by_period,
}
