"""The checks of a batch: what follows from the declared columns, then the YAML's own suite."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from pillars.config import Project
from pillars.config_data import Column, Expectation
from pillars.errors import ConfigInvalid
from pillars.periods import span

Kind = Literal["rows", "outcomes"]

# how a conformed column looks in pandas, as Great Expectations compares it: dtype names, or types of values where the dtype is object
PANDAS_TYPES = {
    "float": ["float64"],
    "int": ["int64", "float64"],  # floats only where there are nulls
    "category": ["str"],
    "text": ["str"],
    "timestamp": ["datetime64[s]", "datetime64[ms]", "datetime64[us]", "datetime64[ns]"],
    "bool": ["bool"],
}

LARGEST_WEIGHT = 1e12  # float32 sums of gradients hold it


def expectations(project: Project, kind: Kind, period: str | None) -> list[Expectation]:
    """Checks of one table, the row floor first: most others hold on no rows. `period` None leaves freshness out.

    Raises:
        ConfigInvalid: freshness is asked for and the period's name is no time.
    """
    names = project.row_columns if kind == "rows" else project.outcome_columns
    declared = {n: project.columns[n] for n in names}
    found = [_volume(project, kind), _expect("expect_table_columns_to_match_set", column_set=list(names), exact_match=True)]
    found += [_typed(n, c) for n, c in declared.items()]
    found += [
        _expect("expect_column_values_to_not_be_null", quarantine=True, column=n)
        for n, c in declared.items()
        if not c.nullable or n in project.key or n == project.time
    ]
    if project.weight in declared:
        name, most = "expect_column_values_to_be_between", LARGEST_WEIGHT
        found.append(_expect(name, quarantine=True, column=project.weight, min_value=0, strict_min=True, max_value=most))
    found.append(_unique(project.key))
    if project.expectations.freshness and period is not None and project.time in declared and _of_time(project, period):
        found.append(_fresh(project, period))
    return found + [e for e in project.expectations.suite if e.table == kind]


def named(expectation: Expectation) -> list[str]:
    """Columns that a check is about."""
    given = expectation.kwargs
    several = given.get("column_list")
    names = [given.get(k) for k in ("column", "column_A", "column_B")] + (several if isinstance(several, list) else [])
    return [str(n) for n in names if n]


def _of_time(project: Project, period: str) -> bool:
    """Whether a period is one of time. Blocks of rows are not; a file's name may be."""
    cut = "time" if project.source.python else project.source.batches.by
    return cut == "time" or (cut == "file" and span(period) is not None)


def _expect(
    name: str, severity: Literal["critical", "warning", "info"] = "critical", quarantine: bool = False, **kwargs: JsonValue
) -> Expectation:
    return Expectation(type=name, kwargs=kwargs, severity=severity, quarantine=quarantine)


def _volume(project: Project, kind: Kind) -> Expectation:
    if kind == "outcomes":  # none may have arrived yet: rows need not wait for them
        return _expect("expect_table_row_count_to_be_between", severity="warning", min_value=1)
    limits = project.expectations
    return _expect("expect_table_row_count_to_be_between", min_value=limits.min_rows, max_value=limits.max_rows)


def _typed(name: str, column: Column) -> Expectation:
    kind = "text" if column.personal else column.type
    kwargs: dict[str, JsonValue] = {"column": name, "type_list": list(PANDAS_TYPES[kind])}
    return Expectation(type="expect_column_values_to_be_in_type_list", kwargs=kwargs, note=f"declared {kind}")


def _unique(key: tuple[str, ...]) -> Expectation:
    if len(key) == 1:
        return _expect("expect_column_values_to_be_unique", quarantine=True, column=key[0])
    return _expect("expect_compound_columns_to_be_unique", quarantine=True, column_list=list(key))


def _fresh(project: Project, period: str) -> Expectation:
    ends = span(period)
    if ends is None:
        problem = f"expectations.freshness: period {period!r} is no time; set it to false, or name periods like 2013-02"
        raise ConfigInvalid(f"{project.project}.yaml", [problem])
    first, last = (t.isoformat() for t in ends)
    return _expect(
        "expect_column_values_to_be_between", quarantine=True, column=project.time, min_value=first, max_value=last, strict_max=True
    )
