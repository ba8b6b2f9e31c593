"""From a collected batch to one that may be published: checked, judged, split into kept and quarantined. No row is lost."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from pillars.config import Project
from pillars.data import at_rest, sealing, validation_page
from pillars.data.anonymity import Anonymised, anonymise
from pillars.data.collection import open_collected, read_collected
from pillars.data.parquet import joined, parquet_bytes, write_pieces
from pillars.data.parsing import Unread, finite
from pillars.data.quarantine import BEATEN, ORPHAN, failing, set_aside, unmatched, with_reason
from pillars.data.ready import Ready, make_ready
from pillars.data.schema import alike, conform
from pillars.data.spilled import Spilled, sorted_by
from pillars.data.suite import Kind
from pillars.data.validation import Masks, validate
from pillars.errors import SourceBroken
from pillars.stores import Stores, replacing, scratch
from pillars.vocabulary import Check, Collected, Decision, Prepared, Validation


def prepare(stores: Stores, project: Project, collected: Collected) -> Prepared:
    """Repair, check and judge a collected batch; write what is kept (sorted by key), what is set aside with its reasons, and the page.

    A pure function of the collected bytes and the project's columns and expectations: written again, all files are the same.
    A batch that is refused is kept whole under `rejected/`.

    Raises:
        DataCorrupt: a collected file no longer has its hash.
        ConfigInvalid: an expectation that Great Expectations does not know.
    """
    large = max(collected.rows, collected.outcomes) > stores.large_rows
    with scratch("batch", stores.folder("staging")) if large else nullcontext() as folder:
        return _prepare(stores, project, collected, folder)


def _prepare(stores: Stores, project: Project, collected: Collected, folder: Path | None) -> Prepared:
    came = _read(stores, collected)
    ready: dict[Kind, Ready] = {"rows": make_ready(project, "rows", came["rows"], folder)}
    if "outcomes" in came:
        ready["outcomes"] = make_ready(project, "outcomes", came["outcomes"], folder, beside=ready["rows"])
    rows, outcomes = ready["rows"].table, ready["outcomes"].table if "outcomes" in ready else None
    unread: dict[Kind, tuple[Unread, ...]] = {kind: made.unread for kind, made in ready.items()}
    checks, masks, decision = _examine(project, collected.period, rows, outcomes, collected.outcomes_period, unread, folder)
    bad = failing(masks["rows"], rows.num_rows)
    grouped = _grouped(project, rows, bad) if decision else None
    if grouped and grouped.small and project.privacy.small_groups == "refuse":
        small = f"{grouped.small:,} rows stay in groups of fewer than {project.privacy.k}"
        decision = Decision.refuse(f"{small} after the last step of privacy.quasi")
    repaired = int((ready["rows"].changed & ~bad).sum())
    if repaired and decision:
        decision = replace(decision, reason=f"{decision.reason}; {repaired:,} rows repaired")
    validation = Validation(
        project=project.project,
        period=collected.period,
        rows=rows.num_rows,
        quarantined=int(bad.sum()),
        checks=checks,
        decision=decision,
        treatments=(*(t for made in ready.values() for t in made.treatments), *(grouped.treatments if grouped else ())),
        repaired=repaired,
    )
    validation = replace(validation, page=validation_page.write_page(stores, validation))
    name = f"{project.project}/{collected.period}-{_digest(project, collected)}"
    if not decision:
        return _write_rejected(stores, project, collected, validation, name)
    return _write_prepared(stores, project, collected, validation, name, ready, masks, grouped.table if grouped else None, folder)


def examine(project: Project, period: str, rows: pa.Table, outcomes: pa.Table | None) -> Validation:
    """Hold a period of the data set, and its own outcomes, against the checks of today. Nothing is written.

    Raises:
        ConfigInvalid: an expectation that Great Expectations does not know.
    """
    unread: dict[Kind, tuple[Unread, ...]] = {}
    rows, unread["rows"] = finite(project, conform(project, rows, project.row_columns))
    if outcomes is not None:
        outcomes, unread["outcomes"] = finite(project, alike(conform(project, outcomes, project.outcome_columns), rows.schema, project.key))
    checks, masks, decision = _examine(project, period, rows, outcomes, period, unread)
    bad = int(failing(masks["rows"], rows.num_rows).sum())
    return Validation(project.project, period, rows.num_rows, bad, checks, decision)


def _examine(
    project: Project,
    period: str,
    rows: pa.Table | Spilled,
    outcomes: pa.Table | Spilled | None,
    outcomes_period: str | None,
    unread: Mapping[Kind, tuple[Unread, ...]],
    folder: Path | None = None,
) -> tuple[tuple[Check, ...], Masks, Decision]:
    """All checks of a batch, which rows go to quarantine for which reason, and the verdict over it."""
    checks, masks = validate(project, period, rows, outcomes, outcomes_period, folder)
    for kind, found in unread.items():
        for one in found:
            masks[kind][one.reason] = masks[kind].get(one.reason, one.rows) | one.rows
        checks += _unread(kind, found)
    decision = judge(project, checks, masks, rows, outcomes)
    if decision and outcomes is not None and outcomes_period == period:
        lonely = unmatched(project.key, rows, failing(masks["rows"], rows.num_rows), outcomes, folder)
        decision = judge(project, checks, {**masks, "outcomes": {**masks["outcomes"], ORPHAN: lonely[ORPHAN]}}, rows, outcomes)
        masks["outcomes"].update(lonely)
    return checks, masks, decision


def judge(
    project: Project, checks: tuple[Check, ...], masks: Masks, rows: pa.Table | Spilled, outcomes: pa.Table | Spilled | None
) -> Decision:
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


def _read(stores: Stores, collected: Collected) -> dict[Kind, pa.Table | Spilled]:
    """What was collected, by table; a large one stays in its file."""
    came: dict[Kind, tuple[str, str, int]] = {"rows": (collected.rows_path, collected.rows_sha256, collected.rows)}
    if collected.outcomes_path is not None and collected.outcomes_sha256 is not None:
        came["outcomes"] = (collected.outcomes_path, collected.outcomes_sha256, collected.outcomes)
    return {
        kind: open_collected(stores, path, sha256) if rows > stores.large_rows else read_collected(stores, path, sha256)
        for kind, (path, sha256, rows) in came.items()
    }


def _unread(kind: Kind, unread: tuple[Unread, ...]) -> tuple[Check, ...]:
    """What cannot be read, as checks beside the others."""
    return tuple(
        Check(
            expectation="values_can_be_read",
            column=("" if kind == "rows" else "outcomes: ") + one.column,
            severity="critical",
            quarantine=True,
            status="failed",
            unexpected=int(one.rows.sum()),
            unexpected_share=_mean(one.rows),
            observed="",
            detail=one.reason,
        )
        for one in unread
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


def _digest(project: Project, collected: Collected) -> str:
    """What a prepared batch follows from, as 16 hex characters."""
    parts = [collected.rows_sha256, collected.outcomes_sha256, project.section_digest(*project.rules)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _write_rejected(stores: Stores, project: Project, collected: Collected, validation: Validation, name: str) -> Prepared:
    """Keep the batch whole, as it was collected, with the reason beside it."""
    for kind, path in (("rows", collected.rows_path), ("outcomes", collected.outcomes_path)):
        if path:
            sealing.put_again(stores, path, f"rejected/{name}/{kind}.parquet", seal=project.sealed)
    sealing.write(stores, f"rejected/{name}/reason.txt", f"{validation.decision.reason}\n".encode(), seal=False)
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


def _grouped(project: Project, rows: pa.Table | Spilled, bad: np.ndarray) -> Anonymised | None:
    """The quasi-identifiers of the rows that are kept, coarsened; None where none are declared."""
    said = project.privacy
    if said.k is None:
        return None
    looked_at = rows.select([*said.quasi, *([said.subject] if said.subject else [])])
    return anonymise(project, looked_at.filter(pa.array(~bad)))


def _write_prepared(
    stores: Stores,
    project: Project,
    collected: Collected,
    validation: Validation,
    name: str,
    ready: Mapping[Kind, Ready],
    masks: Masks,
    coarse: pa.Table | None,
    folder: Path | None,
) -> Prepared:
    """Write kept rows and outcomes, and what is set aside; in place of columns of the kept rows those of `coarse`.

    Raises:
        SourceBroken: the books do not balance; nothing may be published.
    """
    kept: dict[str, int] = {}
    aside: list[pa.Table] = []
    for kind, made in ready.items():
        bad = failing(masks[kind], made.table.num_rows)
        kept[kind] = _write_kept(
            stores, project, f"staging/{name}/{kind}.parquet", made.table, bad, coarse if kind == "rows" else None, folder
        )
        aside += [set_aside(kind, bad, masks[kind], made.came), with_reason(kind, made.beaten, BEATEN)]
    flagged = [made.flagged for made in ready.values() if made.flagged.num_rows]
    if flagged:
        sealing.write(stores, f"flagged/{name}.parquet", parquet_bytes(joined(flagged)), seal=project.sealed)
    quarantined = joined([part for part in aside if part.num_rows] or aside[:1])
    if collected.rows + collected.outcomes != sum(kept.values()) + quarantined.num_rows:
        books = f"{collected.rows} rows and {collected.outcomes} outcomes came in, {kept} were kept, {quarantined.num_rows} set aside"
        raise SourceBroken(project.source.name, collected.period, books)
    if quarantined.num_rows:
        sealing.write(stores, f"quarantine/{name}.parquet", parquet_bytes(quarantined), seal=project.sealed)
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
        flagged_path=f"flagged/{name}.parquet" if flagged else "",
    )


def _write_kept(
    stores: Stores, project: Project, path: str, table: pa.Table | Spilled, bad: np.ndarray, coarse: pa.Table | None, folder: Path | None
) -> int:
    """Write the rows that are kept to `path`, sealed where the data set is; how many they are."""
    if not isinstance(table, Spilled):
        content = io.BytesIO()
        rows = put_kept(content, project, table, bad, coarse, folder)
        at_rest.write(stores, project, path, content.getvalue())
        return rows
    assert folder is not None
    with replacing(folder / "kept.parquet", private=True) as handle:
        rows = put_kept(handle, project, table, bad, coarse, folder)
    at_rest.write_file(stores, project, path, folder / "kept.parquet")
    return rows


def put_kept(
    handle: BinaryIO, project: Project, table: pa.Table | Spilled, bad: np.ndarray, coarse: pa.Table | None, folder: Path | None
) -> int:
    """Put the rows that are not `bad` (n,), sorted by key, into a file as Parquet, with columns of `coarse` (kept,) in place of theirs.

    Returns:
        How many they are.
    """
    columns = {} if coarse is None else {name: coarse.column(name) for name in project.privacy.quasi}
    if not isinstance(table, Spilled):
        good = table.filter(pa.array(~bad))
        for name, values in columns.items():
            good = good.set_column(good.schema.get_field_index(name), name, values)
        handle.write(parquet_bytes(good.sort_by([(k, "ascending") for k in project.key])))
        return int(good.num_rows)
    assert folder is not None
    place = np.cumsum(~bad) - 1  # of a row among the kept ones
    columns = {name: values.combine_chunks() for name, values in columns.items()}

    def pieces() -> Iterator[pa.Table]:
        for piece, at in sorted_by(folder, table, project.key, np.flatnonzero(bad)):
            for name, values in columns.items():
                piece = piece.set_column(piece.schema.get_field_index(name), name, values.take(pa.array(place[at])))
            yield piece

    return write_pieces(handle, table.schema, pieces())
