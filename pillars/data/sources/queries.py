"""`source.sql`: queries to a database that SQLAlchemy knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pillars.config import Project
from pillars.config_data import Sql
from pillars.data.parquet import joined
from pillars.data.schema import doubles
from pillars.data.source import Given
from pillars.data.sources.cutting import cut, numbered, utc_now, without_newest
from pillars.data.sources.references import Reveal, of_environment, required
from pillars.data.sources.roles import Roles
from pillars.data.sources.spool import Spool
from pillars.errors import SettingInvalid, SourceBroken, StoreUnavailable, UnknownName
from pillars.masking import masked
from pillars.periods import span

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

FETCHED = 50_000  # rows at a time
WHOLE_DIGITS = 18  # that every int64 can hold


class Queries:
    """A source: what the queries give. Nothing is ever written: each query runs in a transaction that is rolled back."""

    def __init__(self, root: Path, project: Project, sql: Sql, reveal: Reveal = of_environment, large: int = 1_000_000) -> None:
        self._root, self._project, self._sql, self._reveal, self._large = root, project, sql, reveal, large
        self._roles = Roles(project)
        self._newest: tuple[tuple[str, str], pa.Table | Spool] | None = None

    def periods(self) -> list[str]:
        """What the periods' query names, or the times or blocks in all rows. Raises as `rows` does, without UnknownName."""
        return list(self._whole if self._sql.periods is None else without_newest(self._project.source.batches, dict.fromkeys(self._named)))

    def rows(self, period: str) -> Given:
        """Rows of a period with all columns but those of the outcomes; where there are many, as a reader.

        Raises:
            UnknownName: there is no such period.
            SettingInvalid: where the database's address should be kept is nothing, or no such address.
            StoreUnavailable: the database does not answer.
            SourceBroken: it refuses the query.
        """
        return self._as(self._roles.rows, self._asked(self._sql.rows, period))

    def outcomes(self, period: str) -> Given:
        """Key and outcomes of its rows that have one. Raises as `rows` does."""
        return self._as(self._roles.outcomes, self._asked(self._sql.outcomes or self._sql.rows, period))

    def _as(self, how: Callable[[pa.Table], pa.Table], given: pa.Table | Spool) -> Given:
        return given.reader(how) if isinstance(given, Spool) else how(given)

    def _asked(self, query: str, period: str) -> pa.Table | Spool:
        if period not in (known := self.periods()):
            raise UnknownName("period", period, known)
        if self._sql.periods is None and query == self._sql.rows:
            return self._whole[period]
        if self._newest is None or self._newest[0] != (query, period):  # rows and outcomes of one query are of one state of the database
            self._newest = (query, period), self._table(query, period)
        return self._newest[1]

    @cached_property
    def _named(self) -> list[str]:
        found = self._in_memory(str(self._sql.periods)).column(0)
        if found.null_count:
            raise SourceBroken(self._project.source.name, "all", "the query of periods gives a period without a name (NULL)")
        return [str(value) for value in found.to_pylist()]

    @cached_property
    def _whole(self) -> dict[str, pa.Table]:
        return cut(self._project, numbered(self._project, self._in_memory(self._sql.rows)), utc_now())

    def _in_memory(self, query: str) -> pa.Table:
        """What a query gives that is asked for as a whole."""
        found = self._query(query, "all", None)
        assert isinstance(found, pa.Table)
        return found

    def _table(self, query: str, period: str) -> pa.Table | Spool:
        found = self._query(query, period, self._large)
        return numbered(self._project, found) if isinstance(found, pa.Table) else found

    def _query(self, query: str, period: str, large: int | None) -> pa.Table | Spool:
        """What a query gives; more than `large` rows of it in a spool."""
        from sqlalchemy import text
        from sqlalchemy.exc import DBAPIError, SQLAlchemyError

        asked, parts, rows, spool = text(query), list[pa.Table](), 0, None
        with self._connected() as connection:
            try:
                given = self._bound(asked.compile().params, period, connection.dialect.name)
                result = connection.execution_options(stream_results=True, yield_per=FETCHED).execute(asked, given)
                names = list(result.keys())
                if len(set(names)) != len(names):
                    raise SourceBroken(self._project.source.name, period, "the query gives two columns of one name")
                for part in result.partitions():
                    parts.append(_arrow(names, part))
                    rows += parts[-1].num_rows
                    if large is not None and rows > large:
                        spool = spool or Spool(self._project)
                        spool.add(joined(parts))
                        parts, rows = [], 0
            except DBAPIError as err:
                locked = "database is locked" in str(err.orig)
                said = "database is locked" if locked else self._said(err.orig or err)
                if err.connection_invalidated or locked:
                    raise StoreUnavailable(f"source {self._project.source.name}", said, "Nothing was kept; run again.") from None
                raise SourceBroken(self._project.source.name, period, f"the database refuses the query ({said})") from None
            except SQLAlchemyError as err:
                raise SourceBroken(self._project.source.name, period, f"the query cannot be sent ({self._said(err)})") from None
        rest = joined(parts) if parts else pa.table({name: pa.nulls(0) for name in names})
        if spool is None:
            return rest
        spool.add(rest)
        return spool

    def _bound(self, named: Any, period: str, dialect: str) -> dict[str, Any]:
        """Values of the parameters that the query names."""
        known: dict[str, Any] = {"period": period}
        if ends := span(period):
            known |= dict(zip(("start", "end"), (_moment(at, dialect) for at in ends), strict=True))
        if strange := sorted(set(named) - set(known)):
            problem = f"the query names :{strange[0]}; there are :period, and for a period that is a time :start and :end"
            raise SourceBroken(self._project.source.name, period, problem)
        return {name: known[name] for name in named}

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        from sqlalchemy.exc import SQLAlchemyError

        name = f"source {self._project.source.name}"
        engine = self._engine()
        try:
            try:
                connection = engine.connect()
            except SQLAlchemyError as err:
                problem = f"the database does not answer ({self._said(getattr(err, 'orig', None) or err)})"
                raise StoreUnavailable(name, problem, f"Nothing was kept; see to it, or to {self._sql.url_from}, and run again.") from None
            with connection:  # leaving it rolls back
                if connection.dialect.name == "postgresql":  # times with a zone are read as those of UTC, and so are a period's ends
                    connection.exec_driver_sql("SET TIME ZONE 'UTC'")
                yield connection
        finally:
            engine.dispose()

    def _engine(self) -> Engine:
        from sqlalchemy import create_engine, make_url
        from sqlalchemy.exc import ArgumentError
        from sqlalchemy.pool import NullPool

        variable = self._sql.url_from
        address = required(self._reveal, variable, "source.sql.url_from", "the database's SQLAlchemy URL")
        try:
            url = make_url(address)
            engine = create_engine(url, poolclass=NullPool)
        except (ArgumentError, ValueError):  # never with the value: it holds a password
            raise SettingInvalid([f"{variable} is no SQLAlchemy URL, such as postgresql+psycopg://user:password@host/database"]) from None
        except ModuleNotFoundError as err:
            raise SettingInvalid([f"{variable} asks for the driver {err.name}, which is not installed"]) from None
        if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
            file = self._root / url.database
            if not file.is_file():  # SQLite would make an empty one
                raise StoreUnavailable(f"source {self._project.source.name}", f"there is no file {url.database}", f"Mend {variable}.")
            return create_engine(url.set(database=str(file)), poolclass=NullPool)
        return engine

    def _said(self, err: BaseException) -> str:
        """A database's complaint in a line; it can quote a value, so it is left out where columns are personal or sensitive."""
        return type(err).__name__ if self._project.confidential else " ".join(masked(str(err)).split())[:200]


def _moment(at: datetime, dialect: str) -> datetime | str:
    """SQLite compares times as text: then the shorter form sorts before all of its day."""
    return (at.date().isoformat() if at.hour == 0 else at.isoformat(sep=" ")) if dialect == "sqlite" else at


def _arrow(names: list[str], rows: Any) -> pa.Table:
    return pa.Table.from_arrays([_column(values) for values in zip(*rows, strict=True)], names)


def _column(values: Sequence[Any]) -> pa.Array:
    try:
        column = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # of several types, as SQLite lets them be, or of the database's own
        return _text(values)
    if not pa.types.is_decimal(column.type):
        return column
    if column.type.scale:
        return doubles(column)
    return column.cast(pa.int64()) if column.type.precision <= WHOLE_DIGITS else column.cast(pa.string())  # two keys must not become one


def _text(values: Sequence[Any]) -> pa.Array:
    return pa.array([None if v is None else str(v) for v in values], pa.string())
