"""The Great Expectations door: a batch held against its checks, one engine for verdicts and for the rows that fail."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pillars.config import Project
from pillars.config_data import Expectation
from pillars.data import custom
from pillars.data.hollow import hollow
from pillars.data.schema import conform, conforms
from pillars.data.suite import Kind, expectations
from pillars.errors import ConfigInvalid
from pillars.vocabulary import Check

if TYPE_CHECKING:
    import pandas as pd

Masks = dict[Kind, dict[str, np.ndarray]]  # per table: reason -> bool (rows of the table,), True where the row fails

UNIQUE = ("expect_compound_columns_to_be_unique", "expect_column_values_to_be_unique")
TYPED = "expect_column_values_to_be_in_type_list"
UNSAID = ("column", "column_A", "column_B", "column_list", "column_set", "exact_match", "type_list")  # arguments the page says otherwise
SHOWN = 5  # failing values on the page


def validate(
    project: Project, period: str, rows: pa.Table, outcomes: pa.Table | None, outcomes_period: str | None = None
) -> tuple[tuple[Check, ...], Masks]:
    """Hold a batch against its checks. Nothing of a protected column's values is kept.

    Returns:
        One `Check` per expectation, rows' before outcomes', in the order of `suite.expectations`, and one per column without any
        value; and for the checks that quarantine, which rows of the given tables fail, in their order.

    Raises:
        ConfigInvalid: Great Expectations does not know an expectation, or not with these arguments.
    """
    checks, masks = _hold(project, "rows", conform(project, rows, project.row_columns), period)
    if outcomes is None:
        return checks, {"rows": masks, "outcomes": {}}
    more, outcome_masks = _hold(project, "outcomes", conform(project, outcomes, project.outcome_columns), outcomes_period)
    return checks + more, {"rows": masks, "outcomes": outcome_masks}


def _hold(project: Project, kind: Kind, table: pa.Table, period: str | None) -> tuple[tuple[Check, ...], dict[str, np.ndarray]]:
    asked = expectations(project, kind, period)
    frame = _frame(project, table)
    results = _results(project, asked, frame)
    checks: list[Check] = []
    masks: dict[str, np.ndarray] = {}
    for expectation, result in zip(asked, results, strict=True):
        mask = _mask(expectation, result, frame) if expectation.quarantine else None
        if mask is not None:
            reason = f"{expectation.type}({_columns(expectation)})"
            masks[reason] = masks[reason] | mask if reason in masks else mask
        checks.append(_check(project, kind, expectation, result, mask, table))
    return (*checks, *hollow(project, table)), masks


def _frame(project: Project, table: pa.Table) -> pd.DataFrame:
    """As pandas, once. Text becomes objects, for Great Expectations 1.24 does not know pandas 3's str; so does a column that did not
    conform, for then its type check looks at each value. Integers with nulls become floats: pair checks fail on pandas' NA.
    """
    frame = _without_zones(table).to_pandas()
    for field in table.schema:
        column = project.columns.get(field.name)
        if pa.types.is_string(field.type) or (column is not None and not conforms(field.type, column)):
            frame[field.name] = frame[field.name].astype(object)
    return frame


def _without_zones(table: pa.Table) -> pa.Table:
    """Times with a zone as those of UTC: pandas looks the zone up, and there may be none of that name."""
    for at, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) and field.type.tz is not None:
            table = table.set_column(at, field.name, table.column(at).cast(pa.timestamp(field.type.unit)))
    return table


def _results(project: Project, asked: Sequence[Expectation], frame: pd.DataFrame) -> list[Any]:
    """Great Expectations' results in the order of `asked`; it returns them in its own, so each carries its number."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    suite = gx.ExpectationSuite(name=project.project, expectations=[_built(project, e, i) for i, e in enumerate(asked)])
    definition = context.data_sources.add_pandas("batch").add_dataframe_asset("table").add_batch_definition_whole_dataframe("whole")
    answer = definition.get_batch({"dataframe": frame}).validate(suite, result_format={"result_format": "COMPLETE"})
    by_number = {r.expectation_config.meta["number"]: r for r in answer.results}
    return [by_number[i] for i in range(len(asked))]


def _built(project: Project, expectation: Expectation, number: int) -> Any:
    from great_expectations.exceptions import GreatExpectationsError

    try:
        kind = _kind(project, expectation.type)
        return kind(**expectation.kwargs, severity=expectation.severity, meta={"number": number})
    except (GreatExpectationsError, ValueError, TypeError) as err:
        said = "; ".join(" ".join(line.split()) for line in str(err).splitlines()[1:] or [str(err)])
        problem = f"expectations.suite: {expectation.type}({_columns(expectation)}): {said}"
        raise ConfigInvalid(f"{project.project}.yaml", [problem]) from err


def _kind(project: Project, name: str) -> Any:
    """Great Expectations' class of a type, or the project's own. It is registered each time: two projects may use one name, and a class
    that is defined takes the place of Great Expectations' own of that name.
    """
    from great_expectations.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.registry import register_expectation

    if (known := _core().get(name)) is None and (known := custom.find(project, name, tuple(_core()))) is None:
        raise ExpectationNotFoundError(f"{name} not found")
    register_expectation(known)
    return known


@cache
def _core() -> dict[str, Any]:
    """Great Expectations' own classes by their types."""
    from great_expectations.expectations import core

    return {each.expectation_type: each for each in vars(core).values() if isinstance(each, type) and hasattr(each, "expectation_type")}


def _is_own(name: str) -> bool:
    """Whether an expectation is none of Great Expectations' own."""
    return name not in _core()


def _mask(expectation: Expectation, result: Any, frame: pd.DataFrame) -> np.ndarray | None:
    """Rows (n,) that fail; None where the check is not about single rows, or could not run. Of equal keys the first row is kept."""
    indices = (result.result or {}).get("unexpected_index_list")
    if indices is None:
        return None
    mask = np.zeros(len(frame), bool)
    mask[np.asarray(indices, dtype=np.intp)] = True
    if expectation.type in UNIQUE:
        mask &= frame.duplicated(_named(expectation), keep="first").to_numpy()
    return mask


def _check(project: Project, kind: Kind, expectation: Expectation, result: Any, mask: np.ndarray | None, table: pa.Table) -> Check:
    facts = result.result or {}
    hidden = _protected(project, expectation)
    broke = _exception(result.exception_info)
    if broke and (absent := [c for c in _named(expectation) if c not in table.column_names]):
        broke = f"no column {', '.join(absent)}"
    unexpected = int(mask.sum()) if mask is not None else int(facts.get("unexpected_count") or 0)
    detail = ("could not run" if hidden else broke) if broke else expectation.note
    return Check(
        expectation=expectation.type,
        column=("" if kind == "rows" else "outcomes: ") + _columns(expectation),
        severity=expectation.severity,
        quarantine=mask is not None,
        status="could_not_run" if broke else "passed" if result.success else "failed",
        unexpected=unexpected,
        unexpected_share=unexpected / table.num_rows if table.num_rows else 0.0,
        observed="" if hidden or broke else _given(expectation, result, table) or _observed(facts),
        detail=" · ".join(p for p in (_arguments(expectation.kwargs), detail) if p),
    )


def _named(expectation: Expectation) -> list[str]:
    """Columns that a check is about."""
    given = expectation.kwargs
    several = given.get("column_list")
    names = [given.get(k) for k in ("column", "column_A", "column_B")] + (several if isinstance(several, list) else [])
    return [str(n) for n in names if n]


def _columns(expectation: Expectation) -> str:
    return ", ".join(_named(expectation))


def _protected(project: Project, expectation: Expectation) -> bool:
    """Whether any argument names a protected column; that it is one of the table's says nothing. A project's own expectation may look
    at columns that no argument names.
    """
    if project.confidential and _is_own(expectation.type):
        return True
    text = str({k: v for k, v in expectation.kwargs.items() if k != "column_set"})
    return any(name in text for name in project.confidential)


def _exception(info: Mapping[str, Any]) -> str:
    """The message of what a check raised, in one line; empty when it ran."""
    parts = [info, *(v for v in info.values() if isinstance(v, Mapping))]
    raised = [p for p in parts if p.get("raised_exception")]
    return " ".join(str(raised[0].get("exception_message") or "an exception without a message").split())[:200] if raised else ""


def _given(expectation: Expectation, result: Any, table: pa.Table) -> str:
    """The Arrow type of a column that has another than was declared: its values may look right."""
    typed = expectation.type == TYPED and not result.success
    return str(table.schema.field(_columns(expectation)).type) if typed else ""


def _observed(facts: Mapping[str, Any]) -> str:
    """What was seen, short: an aggregate's value, or the first distinct failing values."""
    if "details" in facts and "mismatched" in facts["details"]:
        return "; ".join(f"{k}: {', '.join(map(str, v))}" for k, v in facts["details"]["mismatched"].items())[:300]
    if "observed_value" in facts:
        value = facts["observed_value"]
        if isinstance(value, list):
            return f"{len(value)} columns"
        return f"{value:.6g}" if isinstance(value, float) else str(value)[:200]
    distinct = dict.fromkeys(_value(v) for v in facts.get("partial_unexpected_list") or [])
    return ", ".join([v for v in distinct if v not in ("None", "nan", "NaT")][:SHOWN])[:200]


def _value(value: Any) -> str:
    """A failing value, or those of several columns."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else [value]
    return " / ".join(map(str, parts))


def _arguments(kwargs: Mapping[str, Any]) -> str:
    said = {k: v for k, v in kwargs.items() if v is not None and k not in UNSAID}
    text = " ".join(f"{k}={v}" for k, v in said.items())
    return text if len(text) <= 120 else text[:117] + "..."
