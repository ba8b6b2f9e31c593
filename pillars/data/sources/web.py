"""`source.http`: files behind addresses. `fetching` holds each to its declared checksum."""

from __future__ import annotations

from functools import cached_property
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import pyarrow as pa

from pillars.config import Project
from pillars.config_data import Http
from pillars.data.sources.cutting import cut, numbered, utc_now, without_newest
from pillars.data.sources.fetching import Remote
from pillars.data.sources.references import Reveal, of_environment, required
from pillars.data.sources.roles import Roles
from pillars.data.sources.tables import read_table
from pillars.errors import SettingInvalid, UnknownName

ALL = "all"


class Web:
    """A source: the file of each period, or one file cut as `batches` says."""

    def __init__(self, project: Project, http: Http, reveal: Reveal = of_environment) -> None:
        self._project, self._http, self._reveal = project, http, reveal
        self._roles = Roles(project)
        self._newest: tuple[str, pa.Table] | None = None

    def periods(self) -> list[str]:
        """Those that the YAML names, or the times or blocks in the file. Raises as `rows` does, without UnknownName."""
        named = without_newest(self._project.source.batches, dict.fromkeys(self._http.periods))
        return list(named if self._http.periods else self._whole)

    def rows(self, period: str) -> pa.Table:
        """Rows of a period with all columns but those of the outcomes.

        Raises:
            UnknownName: there is no such period.
            SettingInvalid: where a header's value should be kept is nothing, or what is no header's value.
            StoreUnavailable: the server does not answer, breaks off, or refuses for now.
            SourceBroken: it has no such file, or one of another checksum, or one that is no table.
        """
        return self._roles.rows(self._table(period))

    def outcomes(self, period: str) -> pa.Table:
        """Key and outcomes of its rows that have one. Raises as `rows` does."""
        return self._roles.outcomes(self._table(period))

    def _table(self, period: str) -> pa.Table:
        if period not in (known := self.periods()):
            raise UnknownName("period", period, known)
        return self._read(period) if self._http.periods else self._whole[period]

    @cached_property
    def _whole(self) -> dict[str, pa.Table]:
        return cut(self._project, self._read(ALL), utc_now())

    def _read(self, period: str) -> pa.Table:
        """The file of a period. The last one is remembered: rows and outcomes are asked for one after the other."""
        if self._newest is None or self._newest[0] != period:
            http, url = self._http, self._http.url.replace("{period}", period)
            declared, name = http.sha256.get(period), self._project.source.name
            remote = Remote(url, name, period, declared, http.attempts, http.timeout_s, self._headers())
            name = PurePosixPath(urlsplit(url).path).name or "data"
            self._newest = period, numbered(self._project, read_table(remote.fetch(), name, self._project.source.csv))
        return self._newest[1]

    def _headers(self) -> dict[str, str]:
        found = {}
        for name, reference in self._http.headers_from.items():
            value = required(self._reveal, reference, f"source.http.headers_from.{name}", "the header's whole value").strip()
            if not value.isascii() or not value.isprintable():
                raise SettingInvalid([f"{reference} holds more than a header can: one line of ASCII"])
            found[name] = value
        return found
