"""What a source gives for a period, protected and kept byte for byte before anything else reads it."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, cast

import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.data.parquet import parquet_bytes, read_parquet
from pillars.data.privacy import protect
from pillars.errors import ConfigInvalid, DataCorrupt, SourceBroken, UnknownName
from pillars.stores import Stores, write_atomically
from pillars.vocabulary import Collected

PERIOD = re.compile(r"\w[\w:+.-]*")  # becomes a file's name


class Source(Protocol):
    """What a project's source module returns from `source(**options)`."""

    def periods(self) -> list[str]:
        """Names of the periods, oldest first."""

    def rows(self, period: str) -> pa.Table:
        """Rows of a period as known at their prediction moment."""

    def outcomes(self, period: str) -> pa.Table:
        """Key columns, outcomes and what is known later, for the rows of a period."""


def open_source(stores: Stores, project: Project) -> Source:
    """The source that the project's YAML names; its module is looked for in the project's folder first.

    Raises:
        ConfigInvalid: no such module, it has no `source`, or the options do not fit.
        SourceBroken: the module fails while it is imported or opened.
    """
    name, options = project.source.python, project.source.options
    file = stores.config_file(project.project).name
    if str(stores.root) not in sys.path:
        sys.path.insert(0, str(stores.root))
    try:
        opener = getattr(importlib.import_module(name), "source", None)
        if not callable(opener):
            raise ConfigInvalid(file, [f"source.python: {name} must have a function source(**options)"])
        if problem := _misfit(opener, options):
            raise ConfigInvalid(file, [f"source.options: {name}.source does not take them ({problem})"])
        return cast(Source, opener(**options))
    except ConfigInvalid:
        raise
    except ModuleNotFoundError as err:
        if f"{name}.".startswith(f"{err.name}."):
            raise ConfigInvalid(file, [f"source.python: there is no module {name}, in {stores.root} or installed"]) from err
        raise SourceBroken(name, "all", f"it needs the module {err.name}, which is not installed") from err
    except Exception as err:
        raise SourceBroken(name, "all", f"it cannot be opened ({_say(project, err)})") from _cause(project, err)


def periods(source: Source) -> list[str]:
    """The source's periods, oldest first.

    Raises:
        SourceBroken: they are no list of distinct names.
    """
    found = list(source.periods())
    if not all(isinstance(p, str) and PERIOD.fullmatch(p) for p in found) or len(set(found)) != len(found):
        raise SourceBroken(type(source).__name__, "all", f"periods() must be distinct names such as 2013-01, not {found[:5]}")
    return found


def collect(stores: Stores, project: Project, source: Source, period: str) -> Collected:
    """Take the rows of `period`, and the outcomes that have arrived by then, into `raw/` under their hashes.

    Raises:
        UnknownName: the source has no such period.
        SourceBroken: it fails or gives no table; nothing of the period was kept.
    """
    known = periods(source)
    if period not in known:
        raise UnknownName("period", period, known)
    at = known.index(period) - project.source.outcome_lag
    arrived = known[at] if at >= 0 else None
    rows = _ask(project, source.rows, period)
    outcomes = None if arrived is None else _ask(project, source.outcomes, arrived)
    rows_path, rows_sha = _write_raw(stores, project, period, "rows", rows)
    outcomes_path, outcomes_sha = (None, None) if outcomes is None else _write_raw(stores, project, period, "outcomes", outcomes)
    first, last = _span(rows, project.time)
    return Collected(
        project=project.project,
        period=period,
        rows_path=rows_path,
        rows_sha256=rows_sha,
        rows=rows.num_rows,
        outcomes_period=arrived,
        outcomes_path=outcomes_path,
        outcomes_sha256=outcomes_sha,
        outcomes=0 if outcomes is None else outcomes.num_rows,
        first_time=first,
        last_time=last,
    )


def read_collected(stores: Stores, path: str, sha256: str) -> pa.Table:
    """A raw table, its bytes checked against the hash that was taken when it was collected.

    Raises:
        DataCorrupt: the bytes have changed.
        StoreUnavailable: the file is not there.
    """
    file = stores.var / path
    content = file.read_bytes() if file.is_file() else b""
    found = hashlib.sha256(content).hexdigest() if content else "no file"
    if found != sha256:
        raise DataCorrupt(path, sha256, found)
    return read_parquet(content, path)


def _misfit(opener: Callable[..., object], options: Mapping[str, object]) -> str:
    """Why a function cannot be called with these options; empty when it can."""
    try:
        inspect.signature(opener).bind(**options)
    except TypeError as err:
        return str(err)
    return ""


def _ask(project: Project, ask: Callable[[str], object], period: str) -> pa.Table:
    name = project.source.python
    try:
        given = ask(period)
    except Exception as err:
        raise SourceBroken(name, period, f"it failed ({_say(project, err)})") from _cause(project, err)
    if not isinstance(given, pa.Table):
        raise SourceBroken(name, period, f"{ask.__name__}() must give a pyarrow.Table, not {type(given).__name__}")
    if len(set(given.column_names)) != given.num_columns:
        raise SourceBroken(name, period, f"{ask.__name__}() gave two columns of one name")
    return given


def _say(project: Project, err: Exception) -> str:
    """An exception in a line; its text can quote a row, so it is left out where columns are protected."""
    return type(err).__name__ if project.of("protected") else f"{type(err).__name__}: {' '.join(str(err).split())[:200]}"


def _cause(project: Project, err: Exception) -> Exception | None:
    """What to chain: nothing where columns are protected, for a traceback is logged with its causes."""
    return None if project.of("protected") else err


def _write_raw(stores: Stores, project: Project, period: str, kind: str, table: pa.Table) -> tuple[str, str]:
    content = parquet_bytes(protect(project, table, stores.secret))
    sha = hashlib.sha256(content).hexdigest()
    path = Path("raw", project.project, period, f"{kind}-{sha[:16]}.parquet")
    write_atomically(stores.var / path, content)
    return path.as_posix(), sha


def _span(rows: pa.Table, time: str) -> tuple[str, str]:
    """First and last time as ISO text; empty when there is no row or no such column."""
    if not rows.num_rows or time not in rows.column_names:
        return "", ""
    try:
        ends = pc.min_max(rows.column(time)).as_py()
    except pa.ArrowNotImplementedError:  # no order in such a type: validation refuses it
        return "", ""
    return tuple("" if ends[e] is None else str(ends[e]).replace(" ", "T") for e in ("min", "max"))  # type: ignore[return-value]
