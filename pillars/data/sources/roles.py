"""One table that holds rows and their outcomes, taken apart by the roles of its columns."""

from __future__ import annotations

import functools
import operator

import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project


class Roles:
    """Takes tables of a project apart."""

    def __init__(self, project: Project) -> None:
        self._key = project.key
        self._later = [n for n in project.outcome_columns if n not in project.key]

    def rows(self, table: pa.Table) -> pa.Table:
        """All columns but outcomes and what is known later; undeclared ones too, which validation names."""
        return table.select([n for n in table.column_names if n not in self._later])

    def outcomes(self, table: pa.Table) -> pa.Table:
        """Key, outcomes and what is known later, of the rows that have any of it: where all is null, no outcome has come yet."""
        later = [n for n in self._later if n in table.column_names]
        told = table.select([n for n in (*self._key, *later) if n in table.column_names])
        return told.filter(functools.reduce(operator.or_, (pc.is_valid(pc.field(n)) for n in later))) if later else told
