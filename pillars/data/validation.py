"""A batch held against its checks, each with what was seen. How they are held, and by which engine: `engines`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pillars.config import Project
from pillars.config_data import Expectation
from pillars.data.engines import TYPED, Held, hold, is_own
from pillars.data.hollow import hollow
from pillars.data.schema import conform
from pillars.data.spilled import Spilled
from pillars.data.suite import Kind, expectations, named
from pillars.vocabulary import Check

Masks = dict[Kind, dict[str, np.ndarray]]  # per table: reason -> bool (rows of the table,), True where the row fails

UNSAID = ("column", "column_A", "column_B", "column_list", "column_set", "exact_match", "type_list")  # arguments the page says otherwise
SHOWN = 5  # failing values on the page


def validate(
    project: Project,
    period: str,
    rows: pa.Table | Spilled,
    outcomes: pa.Table | Spilled | None,
    outcomes_period: str | None = None,
    folder: Path | None = None,
) -> tuple[tuple[Check, ...], Masks]:
    """Hold a batch against its checks. Nothing of a protected column's values is kept.

    Spilled tables are in their declared types already, and need a `folder` for what does not fit into memory.

    Returns:
        One `Check` per expectation, rows' before outcomes', in the order of `suite.expectations`, and one per column without any
        value; and for the checks that quarantine, which rows of the given tables fail, in their order.

    Raises:
        ConfigInvalid: Great Expectations does not know an expectation, or not with these arguments.
    """
    checks, masks = _hold(project, "rows", _conformed(project, rows, project.row_columns), period, folder)
    if outcomes is None:
        return checks, {"rows": masks, "outcomes": {}}
    more, outcome_masks = _hold(project, "outcomes", _conformed(project, outcomes, project.outcome_columns), outcomes_period, folder)
    return checks + more, {"rows": masks, "outcomes": outcome_masks}


def _conformed(project: Project, table: pa.Table | Spilled, names: tuple[str, ...]) -> pa.Table | Spilled:
    return table if isinstance(table, Spilled) else conform(project, table, names)


def _hold(
    project: Project, kind: Kind, table: pa.Table | Spilled, period: str | None, folder: Path | None
) -> tuple[tuple[Check, ...], dict[str, np.ndarray]]:
    asked = expectations(project, kind, period)
    checks: list[Check] = []
    masks: dict[str, np.ndarray] = {}
    for expectation, held in zip(asked, hold(project, asked, table, folder), strict=True):
        mask = held.fails if expectation.quarantine else None
        if mask is not None:
            reason = f"{expectation.type}({_columns(expectation)})"
            masks[reason] = masks[reason] | mask if reason in masks else mask
        checks.append(_check(project, kind, expectation, held, mask, table))
    return (*checks, *hollow(project, table)), masks


def _check(project: Project, kind: Kind, expectation: Expectation, held: Held, mask: np.ndarray | None, table: pa.Table | Spilled) -> Check:
    hidden, broke = _protected(project, expectation), held.broke
    if broke and (absent := [c for c in named(expectation) if c not in table.column_names]):
        broke = f"no column {', '.join(absent)}"
    unexpected = int(mask.sum()) if mask is not None else int(held.facts.get("unexpected_count") or 0)
    detail = ("could not run" if hidden else broke) if broke else expectation.note
    return Check(
        expectation=expectation.type,
        column=("" if kind == "rows" else "outcomes: ") + _columns(expectation),
        severity=expectation.severity,
        quarantine=mask is not None,
        status="could_not_run" if broke else "passed" if held.success else "failed",
        unexpected=unexpected,
        unexpected_share=unexpected / table.num_rows if table.num_rows else 0.0,
        observed="" if hidden or broke else _given(expectation, held, table) or _observed(held.facts),
        detail=" · ".join(p for p in (_arguments(expectation.kwargs), detail) if p),
    )


def _columns(expectation: Expectation) -> str:
    return ", ".join(named(expectation))


def _protected(project: Project, expectation: Expectation) -> bool:
    """Whether any argument names a protected column; that it is one of the table's says nothing. A project's own expectation may look
    at columns that no argument names.
    """
    if project.confidential and is_own(expectation.type):
        return True
    text = str({k: v for k, v in expectation.kwargs.items() if k != "column_set"})
    return any(name in text for name in project.confidential)


def _given(expectation: Expectation, held: Held, table: pa.Table | Spilled) -> str:
    """The Arrow type of a column that has another than was declared: its values may look right."""
    typed = expectation.type == TYPED and not held.success
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
