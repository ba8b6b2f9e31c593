"""What the YAML declares to put right in a batch before it is checked: each rule counted, nothing else touched, no row lost.

A repair looks at one row alone, so that a row that is to be predicted can be repaired alike; statistics of a batch (a median in place of a
null) would differ from batch to batch, and XGBoost learns a way for nulls itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.config_data import Column, Duplicates, Repair
from pillars.data.parsing import Unread
from pillars.data.schema import conforms
from pillars.data.spilled import Spilled, asked, quoted
from pillars.data.suite import Kind
from pillars.vocabulary import Treatment

MAD_TO_DEVIATION = 1.4826  # of a normal distribution (Rousseeuw and Croux 1993, "Alternatives to the Median Absolute Deviation")


@dataclass(frozen=True)
class Repaired:
    """A table of n rows after its repairs, which rows were changed (n,), what was done, and values whose unit nobody declared."""

    table: pa.Table
    changed: np.ndarray
    treatments: tuple[Treatment, ...]
    unread: tuple[Unread, ...]


def repair(project: Project, kind: Kind, table: pa.Table) -> Repaired:
    """Apply the declared repairs, all columns' spellings before any unit is looked up. A column that is not of its type stays as it is."""
    changed, done, unread = np.zeros(table.num_rows, bool), list[Treatment](), list[Unread]()
    for rules in (("null_as", "trim", "case", "values"), ("convert", "clip", "fill")):
        for name, column in project.columns.items():
            at = table.schema.get_field_index(name)
            if column.repair is None or at < 0 or not conforms(table.schema.field(at).type, column):
                continue
            for rule in (r for r in column.repair.rules if r in rules):
                before = table.column(at)
                if rule == "convert":
                    after, nameless = _converted(column.repair, before, table)
                    over = pc.fill_null(pc.is_inf(after), False).to_numpy()
                    for reason, rows in ((f"{name} has no declared unit", nameless), (f"{name} is no float", over)):
                        if rows.any():
                            unread.append(Unread(name, reason, rows))
                else:
                    after = STEPS[rule](column.repair, before)
                other = _differs(before, after)
                changed |= other
                done.append(Treatment(kind, name, rule, int(other.sum()), _said(column.repair, rule)))
                table = table.set_column(at, name, after)
    return Repaired(table, changed, tuple(done), tuple(unread))


def losers(duplicates: Duplicates, key: tuple[str, ...], table: pa.Table | Spilled, folder: Path | None = None) -> np.ndarray:
    """Rows (n,) whose key another row has that is kept by the declared rule. Keys with a null are nobody's twice.

    A table without the column that decides (outcomes may lack it) has none: its check of the key decides.
    """
    none = np.zeros(table.num_rows, bool)
    looked_at = {*key, *([duplicates.of] if duplicates.of else [])}
    if not looked_at <= set(table.column_names) or not len(none):
        return none
    if isinstance(table, Spilled):
        assert folder is not None
        return _lost(duplicates, key, table, folder)
    order: list[tuple[str, str]] = [("_at", "descending" if duplicates.keep == "last" else "ascending")]
    columns = {name: table.column(name) for name in key} | {"_at": pa.array(np.arange(table.num_rows))}
    if duplicates.of is not None:
        columns["_of"] = table.column(duplicates.of)
        order.insert(0, ("_of", "descending" if duplicates.keep == "greatest" else "ascending"))  # nulls come last either way
    sought = pa.table(columns).sort_by(order)
    winners = sought.group_by(list(key), use_threads=False).aggregate([("_at", "first")]).column("_at_first").to_numpy()
    lost = ~none
    lost[winners] = False
    nameless = np.logical_or.reduce([table.column(name).is_null().to_numpy() for name in key])
    return lost & ~nameless


def _lost(duplicates: Duplicates, key: tuple[str, ...], table: Spilled, folder: Path) -> np.ndarray:
    """As `losers`, by DuckDB."""
    names = [quoted(name) for name in key]
    order = [f"file_row_number {'DESC' if duplicates.keep == 'last' else 'ASC'}"]
    if duplicates.of is not None:
        of, down = quoted(duplicates.of), "DESC" if duplicates.keep == "greatest" else "ASC"
        number = pa.types.is_floating(table.schema.field(duplicates.of).type)
        order = [
            f"{of} IS NULL",
            *([f"isnan({of})"] if number else []),
            f"{of} {down}",
            *order,
        ]  # nulls come last, and not-a-numbers before
    query = f"""
        WITH twice AS (SELECT {", ".join(names)} FROM batch WHERE {" AND ".join(f"{n} IS NOT NULL" for n in names)}
                       GROUP BY ALL HAVING count(*) > 1)
        SELECT file_row_number AS place, row_number() OVER (PARTITION BY {", ".join(names)} ORDER BY {", ".join(order)}) > 1 AS lost
        FROM batch JOIN twice USING ({", ".join(names)})"""
    with asked(folder, batch=table) as database:
        found = database.sql(query).to_arrow_table()
    lost = np.zeros(table.num_rows, bool)
    lost[found.column("place").filter(found.column("lost")).to_numpy()] = True
    return lost


def outliers(project: Project, kind: Kind, table: pa.Table | Spilled) -> tuple[tuple[Treatment, ...], pa.Table]:
    """Values beyond the declared distance from the others.

    Returns:
        What was flagged, and a table of it: the key, `column`, `value`, `least` and `most` (the limits), a row per value.
    """
    done, found = list[Treatment](), list[pa.Table]()
    for name, column in project.columns.items():
        at = table.schema.get_field_index(name)
        if column.outliers is None or at < 0 or not conforms(table.schema.field(at).type, column):
            continue
        values = table.column(at).to_numpy().astype(float)
        known = values[np.isfinite(values)]
        if not known.size:
            continue
        least, most = _limits(column, known)
        far = (values < least) | (values > most)
        done.append(
            Treatment(
                kind,
                name,
                "outliers",
                int(far.sum()),
                f"{column.outliers.rule}, {column.outliers.times:g} times: [{least:.6g}, {most:.6g}]",
            )
        )
        if far.any():
            chosen = table.filter(pa.array(far))
            more = {
                "column": [name] * chosen.num_rows,
                "value": values[far],
                "least": [least] * chosen.num_rows,
                "most": [most] * chosen.num_rows,
            }
            keys = {k: chosen.column(k) for k in project.key if k in chosen.column_names}
            found.append(pa.table(keys | {k: pa.array(v) for k, v in more.items()}))
    return tuple(done), pa.concat_tables(found) if found else pa.table({})


def _limits(column: Column, known: np.ndarray) -> tuple[float, float]:
    """Least and most that is not flagged.

    Tukey's fences around the quartiles (Tukey 1977, Exploratory Data Analysis), or the median and its deviation (Iglewicz, Hoaglin 1993).
    """
    said = column.outliers
    assert said is not None
    if said.rule == "iqr":
        low, high = np.quantile(known, [0.25, 0.75])
        reach = said.times * (high - low)
    else:
        low = high = np.median(known)
        reach = said.times * MAD_TO_DEVIATION * np.median(np.abs(known - low))
    return float(low - reach), float(high + reach)


def _null_as(said: Repair, values: pa.ChunkedArray) -> pa.ChunkedArray:
    words = pa.array(said.null_as).cast(values.type)
    return pc.if_else(pc.is_in(values, words), pa.scalar(None, values.type), values)


def _trim(_: Repair, values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring_regex(pc.utf8_trim_whitespace(values), r"\s+", " ")


def _case(said: Repair, values: pa.ChunkedArray) -> pa.ChunkedArray:
    return {"lower": pc.utf8_lower, "upper": pc.utf8_upper, "title": pc.utf8_title}[said.case or "lower"](values)


def _values(said: Repair, values: pa.ChunkedArray) -> pa.ChunkedArray:
    at = pc.index_in(values, pa.array(list(said.values), values.type))
    return pc.coalesce(pc.take(pa.array(list(said.values.values()), values.type), at), values)


def _clip(said: Repair, values: pa.ChunkedArray) -> pa.ChunkedArray:
    least, most = said.clip or (None, None)
    given = values
    if least is not None:
        values = pc.max_element_wise(values, pa.scalar(least).cast(given.type), skip_nulls=False)
    if most is not None:
        values = pc.min_element_wise(values, pa.scalar(most).cast(given.type), skip_nulls=False)
    return pc.if_else(given.is_null(nan_is_null=True), given, values)


def _fill(said: Repair, values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(values.is_null(nan_is_null=True), pa.scalar(said.fill).cast(values.type), values)


def _converted(said: Repair, values: pa.ChunkedArray, table: pa.Table) -> tuple[pa.ChunkedArray, np.ndarray]:
    """Values in the one unit, and which (n,) stand beside a unit nobody declared: null here; their rows go to quarantine as they came."""
    convert = said.convert
    assert convert is not None
    if convert.by not in table.column_names:
        return values, np.zeros(len(values), bool)
    units = list(convert.to)
    at = pc.index_in(table.column(convert.by), pa.array(units, pa.string()))
    factor, offset = (pc.take(pa.array([convert.line(unit)[i] for unit in units], pa.float64()), at) for i in (0, 1))
    nameless = pc.and_(values.is_valid(), at.is_null()).to_numpy()
    return pc.add(pc.multiply(values, factor), offset), nameless


def _differs(before: pa.ChunkedArray, after: pa.ChunkedArray) -> np.ndarray:
    """Rows (n,) whose value is another one, bool; a null equals a null, and so does a NaN."""
    same = pc.fill_null(pc.equal(before, after), False)
    nulls = pc.and_(before.is_null(nan_is_null=True), after.is_null(nan_is_null=True))
    return pc.invert(pc.or_(same, nulls)).to_numpy()


def _said(said: Repair, rule: str) -> str:
    """The rule as the YAML has it, short."""
    value = said.model_dump(mode="json")[rule]
    text = ", ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
    return "" if value is True else text if len(text) <= 80 else text[:77] + "..."


STEPS: dict[str, Callable[[Repair, pa.ChunkedArray], pa.ChunkedArray]] = {
    "null_as": _null_as,
    "trim": _trim,
    "case": _case,
    "values": _values,
    "clip": _clip,
    "fill": _fill,
}
