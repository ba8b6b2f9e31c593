"""What a project's source must be: opened as its YAML says, asked, and held to its contract before anything is kept."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import islice, pairwise
from typing import Literal, Protocol, TypeAlias, cast

import pyarrow as pa

from pillars import masking
from pillars.config import Project
from pillars.data.sources.references import Reveal, of_environment
from pillars.errors import ConfigInvalid, SettingInvalid, SourceBroken, StoreUnavailable
from pillars.stores import Stores

PERIOD = re.compile(r"\w[\w:+.-]{0,63}")  # becomes a file's name
MOST_PERIODS = 100_000  # the hours of eleven years; more is a list that never ends
SAID = 300  # characters of an exception's text: a path, and what is wrong with its file
OURS = (StoreUnavailable, SettingInvalid, SourceBroken)  # says what there is to say
FAULTS = (Exception, SystemExit)  # of a source's own code, which may even call exit()


Given: TypeAlias = pa.Table | pa.RecordBatchReader


class Source(Protocol):
    """What a project's source module returns from `source(**options)`."""

    def periods(self) -> list[str]:
        """Names of the periods, oldest first."""

    def rows(self, period: str) -> Given:
        """Rows of a period as known at their prediction moment; where they may not fit into memory, as a reader of batches."""

    def outcomes(self, period: str) -> Given:
        """Key columns, outcomes and what is known later, for the rows of a period; a table or a reader, as `rows`."""


def open_source(stores: Stores, project: Project, reveal: Reveal = of_environment) -> Source:
    """The source that the project's YAML names; a module is looked for in the project's folder first. `reveal` looks up its secrets.

    Raises:
        ConfigInvalid: no such module, it has no `source`, or the options do not fit.
        StoreUnavailable: what it reads from does not answer.
        SourceBroken: the module fails otherwise while it is imported or opened, or what it opens has not the three methods.
    """
    if project.source.python is None:
        return _declared(stores, project, reveal)
    found = _of_module(stores, project, "source", project.source.options)
    if found is None:
        name, file = project.source.python, stores.config_file(project.project).name
        raise ConfigInvalid(file, [f"source.python: {name} must have a function source(**options)"])
    return found


def open_scrambled(stores: Stores, project: Project, now: datetime, seed: int, source: Source) -> Source | None:
    """`source` under another future than the one after `now`, a time of its time column. None where its module does not say what that is.

    Without code it is known: rows after the moment are others, and outcomes are.

    Raises: as `open_source`.
    """
    if project.source.python is None:
        from pillars.data.future import Scrambled

        return Scrambled(project, source, now, seed)
    return _of_module(stores, project, "scrambled", {"now": now, "seed": seed, **project.source.options})


def _of_module(stores: Stores, project: Project, function: str, options: Mapping[str, object]) -> Source | None:
    """What a function of the source's module gives; None where there is no such function."""
    name, file = str(project.source.python), stores.config_file(project.project).name
    stores.importable()
    try:
        opener = getattr(importlib.import_module(name), function, None)
        if not callable(opener):
            return None
        if problem := _misfit(opener, options):
            raise ConfigInvalid(file, [f"source.options: {name}.{function} does not take them ({problem})"])
        return _with_methods(name, opener(**options), function)
    except (ConfigInvalid, SourceBroken, StoreUnavailable):
        raise
    except ModuleNotFoundError as err:
        if f"{name}.".startswith(f"{err.name}."):
            raise ConfigInvalid(file, [f"source.python: there is no module {name}, in {stores.root} or installed"]) from err
        raise SourceBroken(name, "all", f"it needs the module {err.name}, which is not installed") from err
    except FAULTS as err:
        raise _fault(project, "all", f"{function}()", err, "it cannot be opened") from cause(project, err)


def _declared(stores: Stores, project: Project, reveal: Reveal) -> Source:
    """The source that the YAML says without code."""
    if project.source.sql:
        from pillars.data.sources.queries import Queries

        return Queries(stores.root, project, project.source.sql, reveal, stores.large_rows)
    if project.source.http:
        from pillars.data.sources.web import Web

        return Web(project, project.source.http, reveal)
    from pillars.data.sources.files import Files

    return Files(stores.root, project, stores.large_rows)


def periods(source: Source, project: Project) -> list[str]:
    """The source's periods, oldest first.

    Raises:
        StoreUnavailable: the source says that what it reads from does not answer.
        SettingInvalid: a variable of the environment that it needs is not set.
        SourceBroken: it fails otherwise, or they are no list of distinct names, each sorted after the one before it.
    """
    name = project.source.name
    try:
        found = list(islice(source.periods(), MOST_PERIODS + 1))
    except OURS:
        raise
    except FAULTS as err:
        raise _fault(project, "all", "periods()", err) from cause(project, err)
    if len(found) > MOST_PERIODS:
        raise SourceBroken(name, "all", f"periods() gave more than {MOST_PERIODS:,} names, the last of them {found[-1]!r:.40}")
    if odd := [p for p in found if not (isinstance(p, str) and PERIOD.fullmatch(p))]:
        raise SourceBroken(name, "all", f"periods() must be names such as 2013-01, not {odd[0]!r:.40}")
    for before, after in pairwise(found):
        if after == before:
            raise SourceBroken(name, "all", f"periods() gave {after} twice; names must be distinct")
        if after < before:  # everything orders periods by name: what was known when depends on it
            raise SourceBroken(name, "all", f"periods() gave {after} after {before}; names must sort, oldest first (2013-09, 2013-10)")
    return found


def _misfit(opener: Callable[..., object], options: Mapping[str, object]) -> str:
    """Why a function cannot be called with these options; empty when it can."""
    try:
        inspect.signature(opener).bind(**options)
    except TypeError as err:
        return str(err)
    return ""


def _with_methods(name: str, opened: object, function: str) -> Source:
    lacking = [m for m in ("periods", "rows", "outcomes") if not callable(getattr(opened, m, None))]
    if lacking:
        raise SourceBroken(name, "all", f"{function}() gave {type(opened).__name__}, which has no {', '.join(f'{m}()' for m in lacking)}")
    return cast(Source, opened)


def ask(project: Project, source: Source, kind: Literal["rows", "outcomes"], period: str) -> Given:
    """Rows or outcomes of a period, in columns that hold what their types say. A reader raises the same later, as it is read.

    Raises:
        StoreUnavailable: the source says that what it reads from does not answer; another try can help.
        SettingInvalid: a variable of the environment that it needs is not set.
        SourceBroken: it fails otherwise, or gives no such table.
    """
    name = project.source.name
    try:
        given: object = getattr(source, kind)(period)
    except OURS:
        raise
    except FAULTS as err:
        raise _fault(project, period, f"{kind}()", err) from cause(project, err)
    if not isinstance(given, pa.Table | pa.RecordBatchReader):
        raise SourceBroken(name, period, f"{kind}() must give a pyarrow.Table or RecordBatchReader, not {type(given).__name__}")
    if len(set(given.schema.names)) != len(given.schema.names):
        raise SourceBroken(name, period, f"{kind}() gave two columns of one name")
    if isinstance(given, pa.Table):
        return _sound(project, kind, period, given)
    return pa.RecordBatchReader.from_batches(given.schema, _read(project, kind, period, given))


def whole(given: Given) -> pa.Table:
    """What a source gave, in memory."""
    return given if isinstance(given, pa.Table) else given.read_all()


def _read(project: Project, kind: str, period: str, given: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Batches of a reader, each held to its schema."""
    while True:
        try:
            batch = given.read_next_batch()
        except StopIteration:
            return
        except OURS:
            raise
        except FAULTS as err:
            raise _fault(project, period, f"{kind}()", err) from cause(project, err)
        yield from _sound(project, kind, period, pa.Table.from_batches([batch])).to_batches()


def _sound(project: Project, kind: str, period: str, table: pa.Table) -> pa.Table:
    for column in table.column_names:
        try:
            table.column(column).validate(full=True)
        except pa.ArrowInvalid as err:  # e.g. text that is not UTF-8, which Parquet files of other writers may hold
            problem = f"{kind}() gave a column {column} that is damaged ({said(project, err)})"
            raise SourceBroken(project.source.name, period, problem) from cause(project, err)
    return table


def _fault(project: Project, period: str, call: str, err: BaseException, failed: str = "") -> SourceBroken | StoreUnavailable:
    """What the source's code raised, as ours; `failed` is what a failed `call` means."""
    name = project.source.name
    if isinstance(err, ConnectionError | TimeoutError):
        where, what = ("", "Nothing") if period == "all" else (f", period {period}", "Nothing of this period")
        return StoreUnavailable(f"source {name}{where}", f"{call} got no answer ({said(project, err)})", f"{what} was kept; run again.")
    return SourceBroken(name, period, f"{failed or f'{call} failed'} ({said(project, err)})")


def said(project: Project, err: BaseException) -> str:
    """An exception in a line, without secrets; its text can quote a row, so it is left out where columns are personal or sensitive."""
    if project.confidential:
        return type(err).__name__
    return f"{type(err).__name__}: {' '.join(masking.masked(str(err)).split())[:SAID]}"


def cause(project: Project, err: BaseException) -> BaseException | None:
    """What to chain: nothing where columns are personal or sensitive, for a traceback is logged with its causes."""
    return None if project.confidential else err
