"""From a collected batch to one that may be published: checked, judged, split into kept and quarantined. No row is lost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from pillars.config import Project
from pillars.data import validation_page
from pillars.data.collection import read_collected
from pillars.data.parquet import joined, write_parquet
from pillars.data.parsing import parse
from pillars.data.quarantine import ORPHAN, failing, split, unmatched
from pillars.data.schema import alike, conform
from pillars.data.suite import Kind
from pillars.data.validation import Masks, validate
from pillars.errors import SourceBroken
from pillars.stores import Stores, write_atomically
from pillars.vocabulary import Check, Collected, Decision, Prepared, Validation

RULES = ("columns", "expectations")  # sections of the YAML that a batch is checked by


def prepare(stores: Stores, project: Project, collected: Collected) -> Prepared:
    """Check a collected batch, judge it, and write what is kept (sorted by key), what is quarantined with its reasons, and the page.

    A pure function of the collected bytes and the project's columns and expectations: written again, all files are the same.
    A batch that is refused is kept whole under `rejected/`.

    Raises:
        DataCorrupt: a collected file no longer has its hash.
        ConfigInvalid: an expectation that Great Expectations does not know.
    """
    came = _read(stores, project, collected)
    read = {kind: _typed(project, kind, table) for kind, table in came.items()}
    rows, outcomes = read["rows"].table, read["outcomes"].table if "outcomes" in read else None
    if outcomes is not None:
        outcomes = alike(outcomes, rows, project.key)
    checks, masks = validate(project, collected.period, rows, outcomes, collected.outcomes_period)
    for kind, typed in read.items():
        masks[kind].update(typed.unread)
        checks += _unread(kind, typed)
    bad = failing(masks["rows"], rows.num_rows)
    decision = judge(project, checks, masks, rows, outcomes)
    if decision and outcomes is not None and collected.outcomes_period == collected.period:
        lonely = unmatched(project.key, rows, bad, outcomes)
        decision = judge(project, checks, {**masks, "outcomes": {**masks["outcomes"], ORPHAN: lonely[ORPHAN]}}, rows, outcomes)
        masks["outcomes"].update(lonely)
    validation = Validation(project.project, collected.period, rows.num_rows, int(bad.sum()), checks, decision)
    validation = replace(validation, page=validation_page.write_page(stores, validation))
    rules = project.section_digest(*RULES)
    name = prepared_name(project.project, collected.period, collected.rows_sha256, collected.outcomes_sha256, rules)
    if not decision:
        return _write_rejected(stores, collected, validation, name)
    return _write_prepared(stores, project, collected, validation, name, {"rows": rows, "outcomes": outcomes}, came, masks)


def judge(project: Project, checks: tuple[Check, ...], masks: Masks, rows: pa.Table, outcomes: pa.Table | None) -> Decision:
    """Refuse a batch for a critical check that failed or could not run, or for more quarantined rows than its budget allows.

    A check whose failing rows go to quarantine is judged by the budget alone.
    """
    budget = project.expectations.quarantine_budget
    problems = [_say(c) for c in checks if c.severity == "critical" and _broken(c) and not _follows(c, checks)]
    shares: dict[Kind, np.ndarray] = {"rows": failing(masks["rows"], rows.num_rows)}
    if outcomes is not None:
        shares["outcomes"] = failing(masks["outcomes"], outcomes.num_rows)
    problems += [
        f"{_share(kind, bad)} would go to quarantine, budget {budget:.2%}: {_why(masks[kind])}"
        for kind, bad in shares.items()
        if _mean(bad) > budget
    ]
    if problems:
        return Decision.refuse(_first(problems, 5))
    warnings = [_say(c) for c in checks if c.severity != "critical" and c.status != "passed"]
    said = f"{len(checks)} checks, {len(warnings)} warning{'' if len(warnings) == 1 else 's'}"
    named = f": {_first(warnings, 3)}" if warnings else ""
    return Decision.accept(f"{said}; {_share('rows', shares['rows'])} to quarantine, budget {budget:.2%}{named}")


def _first(said: list[str], most: int) -> str:
    return "; ".join(said[:most]) + (f"; and {len(said) - most} more" if len(said) > most else "")


@dataclass(frozen=True)
class _Typed:
    """A table in its declared types, and which rows (n,) hold a value that cannot be read, by reason."""

    table: pa.Table
    unread: dict[str, np.ndarray]


def _read(stores: Stores, project: Project, collected: Collected) -> dict[Kind, pa.Table]:
    """What was collected, by table."""
    came: dict[Kind, pa.Table] = {"rows": read_collected(stores, collected.rows_path, collected.rows_sha256)}
    if collected.outcomes_path is not None and collected.outcomes_sha256 is not None:
        came["outcomes"] = read_collected(stores, collected.outcomes_path, collected.outcomes_sha256)
    return came


def _typed(project: Project, kind: Kind, table: pa.Table) -> _Typed:
    """Code gives types, which are held to what is declared; files and queries give what they have, which is read as declared."""
    unread: dict[str, np.ndarray] = {}
    if project.source.python is None:
        table, unread = parse(project, table)
    return _Typed(conform(project, table, project.row_columns if kind == "rows" else project.outcome_columns), unread)


def _unread(kind: Kind, typed: _Typed) -> tuple[Check, ...]:
    """What cannot be read, as checks beside the others."""
    table, where = typed.table, "" if kind == "rows" else "outcomes: "
    return tuple(
        Check(
            expectation="values_can_be_read",
            column=where + reason.partition(" is no ")[0],
            severity="critical",
            quarantine=True,
            status="failed",
            unexpected=int(mask.sum()),
            unexpected_share=_mean(mask),
            observed="",
            detail=reason,
        )
        for reason, mask in typed.unread.items()
        if table.num_rows
    )


def _mean(bad: np.ndarray) -> float:
    return float(bad.mean()) if bad.size else 0.0


def _share(kind: str, bad: np.ndarray) -> str:
    return f"{int(bad.sum())} of {bad.size} {kind} ({_mean(bad):.2%})"


def _broken(check: Check) -> bool:
    return check.status == "could_not_run" or (check.status == "failed" and not check.quarantine)


def _why(masks: Mapping[str, np.ndarray]) -> str:
    """The reasons that set most rows aside, with their rows."""
    counts = {reason: int(mask.sum()) for reason, mask in masks.items() if mask.any()}
    return ", ".join(f"{reason} {n}" for reason, n in sorted(counts.items(), key=lambda c: -c[1])[:3])


def _follows(check: Check, checks: tuple[Check, ...]) -> bool:
    """Whether a check could not run only because a column of its table is missing or of another type, which is refused already."""
    if check.status != "could_not_run":
        return False
    return any(c is not check and _table(c) == _table(check) and _roots(c) & set(_names(check)) for c in checks)


def _roots(check: Check) -> set[str]:
    """Columns that a failed check of set or type, one that refuses the batch itself, says are missing or of another type."""
    if check.severity != "critical" or check.status != "failed" or check.quarantine:
        return set()
    if check.expectation == "expect_table_columns_to_match_set":
        return set(check.observed.partition("missing: ")[2].split(", "))
    return set(_names(check)) if check.expectation == "expect_column_values_to_be_in_type_list" else set()


def _table(check: Check) -> str:
    return "outcomes" if check.column.startswith("outcomes: ") else "rows"


def _names(check: Check) -> list[str]:
    return check.column.removeprefix("outcomes: ").split(", ")


def _say(check: Check) -> str:
    what = f"{check.expectation}({check.column})" if check.column else check.expectation
    seen = f" ({check.observed or check.detail})" if check.observed or check.detail else ""
    return f"{what} could not run ({check.detail})" if check.status == "could_not_run" else f"{what} failed{seen}"


def prepared_name(project: str, period: str, rows_sha256: str, outcomes_sha256: str | None, rules: str) -> str:
    """What the files of a prepared batch are named by: the project, the period, and 16 hex characters of what it follows from."""
    return f"{project}/{period}-{hashlib.sha256(json.dumps([rows_sha256, outcomes_sha256, rules]).encode()).hexdigest()[:16]}"


def _write_rejected(stores: Stores, collected: Collected, validation: Validation, name: str) -> Prepared:
    """Keep the batch whole, as it was collected, with the reason beside it."""
    for kind, path in (("rows", collected.rows_path), ("outcomes", collected.outcomes_path)):
        if path:
            write_atomically(stores.var / f"rejected/{name}/{kind}.parquet", (stores.var / path).read_bytes())
    write_atomically(stores.var / f"rejected/{name}/reason.txt", f"{validation.decision.reason}\n".encode())
    return Prepared(
        project=collected.project,
        period=collected.period,
        rows_path="",
        rows=0,
        outcomes_period=collected.outcomes_period,
        outcomes_path=None,
        outcomes=0,
        quarantine_path="",
        kept_at=f"rejected/{name}",
        validation=validation,
    )


def _write_prepared(
    stores: Stores,
    project: Project,
    collected: Collected,
    validation: Validation,
    name: str,
    tables: dict[Kind, pa.Table | None],
    came: Mapping[Kind, pa.Table],
    masks: Masks,
) -> Prepared:
    """Write kept rows and outcomes, and what is set aside.

    Raises:
        SourceBroken: the books do not balance; nothing may be published.
    """
    kept: dict[str, int] = {}
    aside: list[pa.Table] = []
    for kind, mask in masks.items():
        if (table := tables[kind]) is not None:
            good, bad = split(kind, table, mask, table if project.source.python else came[kind])
            write_parquet(stores.var / f"staging/{name}/{kind}.parquet", good.sort_by([(k, "ascending") for k in project.key]))
            kept[kind] = good.num_rows
            aside.append(bad)
    quarantined = joined([part for part in aside if part.num_rows] or aside[:1])
    if collected.rows + collected.outcomes != sum(kept.values()) + quarantined.num_rows:
        books = f"{collected.rows} rows and {collected.outcomes} outcomes came in, {kept} were kept, {quarantined.num_rows} set aside"
        raise SourceBroken(project.source.name, collected.period, books)
    if quarantined.num_rows:
        write_parquet(stores.var / f"quarantine/{name}.parquet", quarantined)
    return Prepared(
        project=project.project,
        period=collected.period,
        rows_path=f"staging/{name}/rows.parquet",
        rows=kept["rows"],
        outcomes_period=collected.outcomes_period,
        outcomes_path=f"staging/{name}/outcomes.parquet" if "outcomes" in kept else None,
        outcomes=kept.get("outcomes", 0),
        quarantine_path=f"quarantine/{name}.parquet" if quarantined.num_rows else "",
        kept_at="",
        validation=validation,
    )
