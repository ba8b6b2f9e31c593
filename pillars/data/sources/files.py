"""`source.file`: one CSV or Parquet file, or all that fit a pattern, as a drop folder has them."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import pyarrow as pa

from pillars import periods
from pillars.config import Project
from pillars.config_data import Csv
from pillars.data.parquet import joined
from pillars.data.source import Given
from pillars.data.sources.cutting import cut, numbered, places, utc_now, without_newest
from pillars.data.sources.roles import Roles
from pillars.data.sources.streaming import Streamed, state_of
from pillars.data.sources.tables import PACKED, may_be_large, read_table
from pillars.errors import SourceBroken, StoreUnavailable, UnknownName

LARGE = 1_000_000  # rows; a file that may have more is read in pieces
UNFINISHED = (".part", ".partial", ".tmp", ".crdownload")  # what a copy in progress is named; hidden files are left out too


class Files:
    """A source: what `file` names in a project's folder, cut as `batches` says. A file that is read again is parsed again if it changed."""

    def __init__(self, root: Path, project: Project, large: int = LARGE) -> None:
        self._root, self._project, self._large = root, project, large
        self._roles = Roles(project)
        self._newest: tuple[str, pa.Table | Streamed] | None = None

    def periods(self) -> list[str]:
        """Names of files, or of the times or blocks in them. Raises as `rows` does, without UnknownName."""
        return list(self._by_period)

    def rows(self, period: str) -> Given:
        """Rows of a period with all columns but those of the outcomes.

        Raises:
            UnknownName: there is no such period.
            StoreUnavailable: a file is not there, or cannot be read.
            SourceBroken: a file is no table.
        """
        return self._as(self._roles.rows, self._given(period))

    def outcomes(self, period: str) -> Given:
        """Key and outcomes of its rows that have one. Raises as `rows` does."""
        return self._as(self._roles.outcomes, self._given(period))

    def _as(self, how: Callable[[pa.Table], pa.Table], given: pa.Table | Streamed) -> Given:
        return given.reader(how) if isinstance(given, Streamed) else how(given)

    def _given(self, period: str) -> pa.Table | Streamed:
        if period not in self._by_period:
            raise UnknownName("period", period, list(self._by_period))
        found = self._by_period[period]
        if not isinstance(found, Path):
            return found
        if self._newest is None or self._newest[0] != period:  # rows and outcomes are of one state of the file
            whole = self._streamed([found]) if may_be_large(found, self._large) else numbered(self._project, self._read(found))
            self._newest = period, whole
        return self._newest[1]

    @cached_property
    def _by_period(self) -> Mapping[str, pa.Table | Streamed | Path]:
        if self._project.source.batches.by == "file":
            return without_newest(self._project.source.batches, self._named())
        paths = self._paths()
        if not any(may_be_large(path, self._large // len(paths)) for path in paths):
            return cut(self._project, numbered(self._project, joined([self._read(path) for path in paths])), utc_now())
        whole, rows, times = self._streamed(paths), 0, list[pa.Table]()
        for piece in whole.pieces():
            rows += piece.num_rows
            times.append(piece.select([n for n in piece.column_names if n == self._project.time]))
        return {name: whole.among(at) for name, at in places(self._project, pa.concat_tables(times), rows, utc_now()).items()}

    def _streamed(self, paths: Sequence[Path]) -> Streamed:
        return Streamed.of(self._project, [(path, self._called(path)) for path in paths])

    def _paths(self) -> list[Path]:
        pattern = str(self._project.source.file)
        path = self._root / pattern
        if path.exists() or not glob.has_magic(pattern):
            return self._inside(path) if path.is_dir() else [path]
        found = [self._root / name for name in glob.glob(pattern, root_dir=self._root, recursive=True)]
        return self._finished(found, pattern)

    def _inside(self, folder: Path) -> list[Path]:
        return self._finished(list(folder.iterdir()), f"{self._project.source.file}/*")

    def _finished(self, found: list[Path], pattern: str) -> list[Path]:
        whole = [p for p in found if p.is_file() and not p.name.startswith(".") and p.suffix.lower() not in UNFINISHED]
        if not whole:
            raise StoreUnavailable(f"source {pattern}", "no file fits", "Put one there, or mend source.file in the YAML.")
        return sorted(whole)

    def _named(self) -> dict[str, Path]:
        """Files by the period that each is named after.

        Raises:
            SourceBroken: a name is no time and no number, or two files have one.
        """
        found: dict[str, Path] = {}
        for path in self._paths():
            name = path.name.removesuffix(path.suffix) if path.suffix.lower() in PACKED else path.name
            name = name.removesuffix(Path(name).suffix)
            if periods.last_second(name) is None:
                raise SourceBroken(self._called(path), "all", f"by file, its name must be that of a period: {periods.FORMS}")
            if name in found:
                raise SourceBroken(self._called(path), "all", f"{self._called(found[name])} is of period {name}, too")
            found[name] = path
        if len({len(name) for name in found if name.isdigit() and len(name) > 4}) > 1:
            raise SourceBroken(self._project.source.name, "all", "its files' numbers have other lengths, and would not sort: 00099, 00100")
        return dict(sorted(found.items()))

    def _read(self, path: Path) -> pa.Table:
        state = state_of(path)
        return _parsed(path, self._called(path), self._project.source.csv, state)

    def _called(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else str(path)


@lru_cache(maxsize=2)
def _parsed(path: Path, name: str, dialect: Csv, state: tuple[int, int, int]) -> pa.Table:
    """The file's table, parsed once in a process as long as the file stays as it is (`state`)."""
    return read_table(path, name, dialect)
