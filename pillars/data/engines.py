"""The Great Expectations door: expectations held against a table by its pandas engine, or by its SQL engine over DuckDB where it is large.

Over DuckDB every check that both engines answer alike is asked first; of a good batch that is nearly all. What fails there, could not run,
or is of another kind, the pandas engine holds: row by row checks in pieces, the others over the columns that they are about. So a batch
has one verdict, whatever its size.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pillars.config import Project
from pillars.config_data import Expectation
from pillars.data import custom, over_duckdb, spilled
from pillars.data.schema import conforms
from pillars.data.spilled import Spilled
from pillars.data.suite import named
from pillars.errors import ConfigInvalid

if TYPE_CHECKING:
    import pandas as pd

UNIQUE, TYPED = over_duckdb.UNIQUE, "expect_column_values_to_be_in_type_list"
ROW_BY_ROW = (  # each row fails by itself or not: pieces say together what the whole would
    *over_duckdb.LISTED,
    over_duckdb.GREATER,
    TYPED,
    "expect_column_values_to_match_regex",
    "expect_column_values_to_not_match_regex",
    "expect_column_values_to_match_regex_list",
    "expect_column_values_to_not_match_regex_list",
    "expect_column_pair_values_to_be_equal",
    "expect_column_pair_values_to_be_in_set",
    "expect_multicolumn_sum_to_equal",
    "expect_select_column_values_to_be_unique_within_record",
)
PIECE = 1 << 19  # rows that pandas holds at a time: a call of Great Expectations takes 20 to 80 ms, whatever it is given
FEW = 1000  # rows that show the type of a column, or that it is not there
SHOWN = 20  # failing values that Great Expectations keeps


@dataclass(frozen=True)
class Held:
    """One expectation held against a table of n rows: whether it did, Great Expectations' facts, and where it raised, with what words.

    `fails` (n,), bool: the rows that fail; None where the check is not about single rows, or could not run.
    """

    success: bool
    facts: Mapping[str, Any] = field(default_factory=dict)
    broke: str = ""
    fails: np.ndarray | None = None


def hold(project: Project, asked: Sequence[Expectation], table: pa.Table | Spilled, folder: Path | None = None) -> list[Held]:
    """Hold each expectation against a table whose columns are in their declared types, as far as they can be.

    Of rows with an equal key the first does not fail. A spilled table needs a `folder` for what DuckDB cannot keep in memory.

    Raises:
        ConfigInvalid: Great Expectations does not know an expectation, or not with these arguments.
    """
    if isinstance(table, pa.Table):
        return _by_pandas(project, asked, table)
    assert folder is not None
    for number, each in enumerate(asked):  # refused before anything is read
        _built(project, each, number)
    if table.num_rows <= FEW:
        return _by_pandas(project, asked, table.head(FEW))
    found: dict[int, Held] = {}

    def take(which: Callable[[Expectation], bool], how: Callable[[list[Expectation]], list[Held]]) -> None:
        places = [i for i, each in enumerate(asked) if i not in found and which(each)]
        found.update(zip(places, how([asked[i] for i in places]) if places else (), strict=True))

    take(lambda e: not is_own(e.type) and over_duckdb.alike(e, table), lambda es: _by_sql(project, es, table, folder))
    found = {i: held for i, held in found.items() if _is_settled(asked[i], held)}
    take(lambda e: _on_few(project, e, table), lambda es: _by_pandas(project, es, table.head(FEW), _spoiled(table)))
    take(lambda e: e.type in ROW_BY_ROW, lambda es: _in_pieces(project, es, table))
    take(lambda e: e.type in UNIQUE and not e.kwargs.get("row_condition"), lambda es: [_repeated(project, e, table, folder) for e in es])
    take(lambda e: True, lambda es: [_by_pandas(project, [e], table.select(_about(e, table)), _spoiled(table))[0] for e in es])
    return [_with_rows(found[i], table.num_rows) for i in range(len(asked))]


def is_own(name: str) -> bool:
    """Whether an expectation is none of Great Expectations' own."""
    return name not in _core()


def _by_pandas(project: Project, asked: Sequence[Expectation], table: pa.Table, spoiled: Sequence[str] = ()) -> list[Held]:
    """The whole table at once. `spoiled`: integer columns that have a null, in these rows or others of their table."""
    import great_expectations as gx

    frame = _frame(project, table, spoiled)
    context = _context()
    definition = context.data_sources.add_pandas("batch").add_dataframe_asset("table").add_batch_definition_whole_dataframe("whole")
    batch = definition.get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(name=project.project, expectations=[_built(project, e, i) for i, e in enumerate(asked)])
    answer = batch.validate(suite, result_format={"result_format": "COMPLETE"})
    return [replace(_held(r), fails=_fails(e, r, frame)) for e, r in zip(asked, _in_order(answer), strict=True)]


def _by_sql(project: Project, asked: Sequence[Expectation], table: Spilled, folder: Path) -> list[Held]:
    """Over DuckDB. Which rows fail is not asked: the view has no order that SQL would promise."""
    import great_expectations as gx
    from great_expectations.execution_engine import sqlalchemy_execution_engine

    over_duckdb.mend(sqlalchemy_execution_engine)
    with over_duckdb.opened(table, folder) as url:
        asset = _context().data_sources.add_sql("batch", connection_string=url).add_table_asset("table", table_name=over_duckdb.TABLE)
        batch = asset.add_batch_definition_whole_table("whole").get_batch()
        suite = gx.ExpectationSuite(name=project.project, expectations=[_built(project, e, i) for i, e in enumerate(asked)])
        answer = batch.validate(suite, result_format={"result_format": "BASIC"})
        over_duckdb.leave(asset.datasource)
    found = zip(asked, (_held(r) for r in _in_order(answer)), strict=True)
    return [replace(held, facts=over_duckdb.as_pandas_says(held.facts, e, table)) for e, held in found]


def _is_settled(expectation: Expectation, held: Held) -> bool:
    """Whether SQL's answer is all that is asked: nothing fails, or only how many and the first values matter."""
    if held.broke or held.facts.get("observed_value", 0) is None:  # of no value at all, SQL has no sum
        return False
    failing = int(held.facts.get("unexpected_count") or 0)
    return not failing or (not expectation.quarantine and expectation.type in over_duckdb.LISTED)


def _on_few(project: Project, expectation: Expectation, table: Spilled) -> bool:
    """Whether a few rows say what all would: a column is not there, or has its declared type."""
    columns = named(expectation)
    if not set(columns) <= set(table.column_names):
        return True
    declared = project.columns.get(columns[0]) if columns else None
    return expectation.type == TYPED and declared is not None and conforms(table.schema.field(columns[0]).type, declared)


def _in_pieces(project: Project, asked: Sequence[Expectation], table: Spilled) -> list[Held]:
    columns = sorted({name for each in asked for name in _about(each, table)})
    spoiled = _spoiled(table)
    pieces = [_by_pandas(project, asked, piece, spoiled) for piece in table.pieces(columns, PIECE)]
    return [_joined(each, [piece[i] for piece in pieces]) for i, each in enumerate(asked)]


def _joined(expectation: Expectation, parts: Sequence[Held]) -> Held:
    """What the pieces say of the whole: counts add up, and a share of all the rows is held against `mostly`."""
    if broke := next((p.broke for p in parts if p.broke), ""):
        return Held(False, {}, broke)
    if any("unexpected_count" not in p.facts for p in parts):  # about a column, which each piece has alike
        return replace(parts[0], success=all(p.success for p in parts))
    count, missing, failing = (sum(int(p.facts.get(k) or 0) for p in parts) for k in ("element_count", "missing_count", "unexpected_count"))
    known, mostly = count - missing, expectation.kwargs.get("mostly", 1.0)
    success = not known or (known - failing) / known >= float(mostly)  # type: ignore[arg-type]  # Great Expectations has held it to be a number
    first = [value for p in parts for value in p.facts.get("partial_unexpected_list") or []][:SHOWN]
    facts = {"element_count": count, "missing_count": missing, "unexpected_count": failing, "partial_unexpected_list": first}
    fails = None if any(p.fails is None for p in parts) else np.concatenate([p.fails for p in parts if p.fails is not None])
    return Held(success, facts, "", fails)


def _repeated(project: Project, expectation: Expectation, table: Spilled, folder: Path) -> Held:
    """A key that is no key, in a table of any size: which rows share theirs with one before them.

    As the pandas engine has it: nulls equal nulls, and rows are left out whose key is null in each part (`ignore_row_if`).
    """
    columns = named(expectation)
    ignored = expectation.kwargs.get("ignore_row_if", "all_values_are_missing")
    shown = ", ".join(over_duckdb.shown(table.schema.field(name)) for name in columns)
    names = [spilled.quoted(name) for name in columns]
    missing = {"all_values_are_missing": " AND ", "any_value_is_missing": " OR "}.get(str(ignored))
    known = f"NOT ({missing.join(f'{n} IS NULL' for n in names)})" if missing else "true"
    parts = ", ".join(f"keys.{n}" for n in names)
    same = " AND ".join(f"keys.{n} IS NOT DISTINCT FROM twice.{n}" for n in names)
    listed = ", ".join(names)
    query = f"""
        WITH keys AS (SELECT * FROM (SELECT {shown}, file_row_number FROM batch) WHERE {known}),
             twice AS (SELECT {listed} FROM keys GROUP BY ALL HAVING count(*) > 1)
        SELECT file_row_number AS place, row_number() OVER (PARTITION BY {parts} ORDER BY file_row_number) > 1 AS later
        FROM keys JOIN twice ON {same} ORDER BY place"""
    with spilled.asked(folder, batch=table) as database:
        ((considered,),) = database.sql(f"SELECT count(*) FROM (SELECT {shown} FROM batch) WHERE {known}").fetchall()
        found = database.sql(query).to_arrow_table()
    places, later = found.column("place").to_numpy(), found.column("later").to_numpy(zero_copy_only=False)
    fails = np.zeros(table.num_rows, bool)
    fails[places[later]] = True
    first = _frame(project, table.take(places[:SHOWN]).select(columns), _spoiled(table)).to_dict("records")
    facts = {
        "element_count": table.num_rows,
        "missing_count": table.num_rows - considered,
        "unexpected_count": len(places),
        "partial_unexpected_list": first if len(columns) > 1 else [row[columns[0]] for row in first],
    }
    success = not considered or (considered - len(places)) / considered >= float(expectation.kwargs.get("mostly", 1.0))  # type: ignore[arg-type]
    return Held(success, facts, "", fails)


def _about(expectation: Expectation, table: Spilled) -> list[str]:
    """Columns that the pandas engine needs for a check: what its arguments name, in a condition too; a project's own may look at any."""
    if is_own(expectation.type):
        return table.column_names
    text = str(expectation.kwargs)
    return [name for name in table.column_names if name in text] or table.column_names[:1]


def _spoiled(table: Spilled) -> list[str]:
    """Integer columns with a null, which pandas makes floats of."""
    return [f.name for f in table.schema if pa.types.is_integer(f.type) and table.nulls([f.name])]


def _with_rows(held: Held, rows: int) -> Held:
    """Where a check is about single rows and none fails, that as a mask, which takes no memory."""
    if held.fails is None and not held.broke and held.facts.get("unexpected_count") == 0:
        return replace(held, fails=np.broadcast_to(np.False_, rows))
    return held


def _frame(project: Project, table: pa.Table, spoiled: Sequence[str] = ()) -> pd.DataFrame:
    """As pandas, once. Text becomes objects, for Great Expectations 1.24 does not know pandas 3's str; so does a column that did not
    conform, for then its type check looks at each value. Integers with nulls become floats: pair checks fail on pandas' NA.
    """
    frame = _without_zones(table).to_pandas()
    for each in table.schema:
        column = project.columns.get(each.name)
        if each.name in spoiled:
            frame[each.name] = frame[each.name].astype(float)
        if pa.types.is_string(each.type) or (column is not None and not conforms(each.type, column)):
            frame[each.name] = frame[each.name].astype(object)
    return frame


def _without_zones(table: pa.Table) -> pa.Table:
    """Times with a zone as those of UTC: pandas looks the zone up, and there may be none of that name."""
    for at, each in enumerate(table.schema):
        if pa.types.is_timestamp(each.type) and each.type.tz is not None:
            table = table.set_column(at, each.name, table.column(at).cast(pa.timestamp(each.type.unit)))
    return table


def _context() -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    return context


def _in_order(answer: Any) -> list[Any]:
    """Great Expectations' results in the order they were asked in; it returns them in its own, so each carries its number."""
    return sorted(answer.results, key=lambda result: result.expectation_config.meta["number"])


def _held(result: Any) -> Held:
    return Held(bool(result.success), result.result or {}, _exception(result.exception_info))


def _exception(info: Mapping[str, Any]) -> str:
    """The message of what a check raised, in one line; empty when it ran."""
    parts = [info, *(v for v in info.values() if isinstance(v, Mapping))]
    raised = [p for p in parts if p.get("raised_exception")]
    return " ".join(str(raised[0].get("exception_message") or "an exception without a message").split())[:200] if raised else ""


def _fails(expectation: Expectation, result: Any, frame: pd.DataFrame) -> np.ndarray | None:
    """Rows (n,) that fail; None where the check is not about single rows, or could not run. Of equal keys the first row is kept."""
    indices = (result.result or {}).get("unexpected_index_list")
    if indices is None:
        return None
    mask = np.zeros(len(frame), bool)
    mask[np.asarray(indices, dtype=np.intp)] = True
    if expectation.type in UNIQUE:
        mask &= frame.duplicated(named(expectation), keep="first").to_numpy()
    return mask


def _built(project: Project, expectation: Expectation, number: int) -> Any:
    from great_expectations.exceptions import GreatExpectationsError

    try:
        kind = _kind(project, expectation.type)
        return kind(**expectation.kwargs, severity=expectation.severity, meta={"number": number})
    except (GreatExpectationsError, ValueError, TypeError) as err:
        said = "; ".join(" ".join(line.split()) for line in str(err).splitlines()[1:] or [str(err)])
        problem = f"expectations.suite: {expectation.type}({', '.join(named(expectation))}): {said}"
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
