"""Columns that are likely known only with the outcome: found by name, before a search is paid for.

What a source computes from history is tried elsewhere, by another future (docs/validation.md). Here the columns are there already,
and there is no function to give another future to: what is left is to see which of them knows too much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import log

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project, Task
from pillars.targets import is_known, truth
from pillars.telling import BINS, TELLING, telling
from pillars.vocabulary import Decision, Leak, Leakage

# The newest. Of columns that are missing in 1 % of the late flights half as many rows showed 7 of 30, these 26; the flights' own 61 columns
# raised no alarm in 8 months. They take half a second on a busy machine (docs/validation.md).
ROWS = 20_000
FEWEST = 100  # rows below which nobody can say
RAREST = 30  # rows that the rarer outcome must have; below, one column in many separates them by luck
LIMITS: dict[Task, float] = {"binary": 0.99, "multiclass": 0.97, "regression": 0.99}  # above what `pillars init` warns of: this one refuses
PURE = 0.99  # share of a column's gaps (or of its values) with one and the same outcome
LUCK = log(1e-9)  # how likely that may be by chance
SAME = 0.999  # share of rows in which two columns are equal

Read = Callable[[str, Sequence[str]], pa.Table]


def look(project: Project, read: Read, periods: Sequence[str], until: str) -> Leakage:
    """Every feature held against the outcomes of the newest rows with one; `read("rows" | "outcomes", periods)`, `periods` oldest first."""
    parts: list[pa.Table] = []
    for period in reversed(periods):
        parts.insert(0, joined(project, read("rows", [period]), read("outcomes", [period])))
        if sum(part.num_rows for part in parts) >= ROWS:
            break
    told = pa.concat_tables(parts).combine_chunks() if parts else None
    if told is None or told.num_rows < FEWEST:
        few = told.num_rows if told else 0
        return Leakage(project.project, until, few, Decision.accept(f"{few} rows with an outcome: too few to see a leak"))
    found = leaks(project, told.slice(max(0, told.num_rows - ROWS)))
    rows = min(told.num_rows, ROWS)
    if not found:
        return Leakage(project.project, until, rows, Decision.accept(f"no feature tells the outcome of {rows} rows"))
    reason = "; ".join(f"{one.column}: {one.said}" for one in found)
    hint = "take it out of features, or name it under leakage.allow if it is known in time"
    return Leakage(project.project, until, rows, Decision.refuse(f"{reason} ({hint})"), found)


def joined(project: Project, rows: pa.Table, outcomes: pa.Table) -> pa.Table:
    """Rows with a known target and, beside their features, all that became known later, sorted by key."""
    key, later = list(project.key), [name for name in project.outcome_columns if name not in project.key]
    known = outcomes.filter(is_known(project, outcomes.column(project.target)))
    one, other = (
        table.select(key).append_column(f"__{of}", pa.array(np.arange(table.num_rows))) for of, table in (("row", rows), ("its", known))
    )
    places = one.join(other, keys=key, join_type="inner").sort_by([(name, "ascending") for name in key])
    kept = rows.select(list(_features(project))).take(places.column("__row"))
    for name in later:
        kept = kept.append_column(name, known.column(name).take(places.column("__its")))
    return kept


def leaks(project: Project, told: pa.Table) -> tuple[Leak, ...]:
    """Features that know too much, in the order of the YAML; those it allows are not looked at. `told`: as `joined` gives it."""
    y = truth(project, told.column(project.target))
    y = y.astype(np.int64 if project.task == "multiclass" else np.float64)
    found = []
    for name in _features(project):
        if name not in project.leakage.allow and (said := next(_suspicions(project, told, y, name), "")):
            found.append(Leak(name, said))
    return tuple(found)


def _suspicions(project: Project, told: pa.Table, y: np.ndarray, name: str) -> Iterator[str]:
    values = _plain(told.column(name))
    limit = project.leakage.limit or LIMITS[project.task]
    if _enough(project, y) and (figure := _alone(values, y, project.task)) >= limit:
        yield f"alone it tells {project.target}: {TELLING[project.task][1].format(figure)}, limit {limit:g}"
    yield from _gaps(values, y, project)
    for other in project.outcome_columns:
        if other not in project.key and _equal(values, _plain(told.column(other))):
            yield f"equal to {other}, which is known only later"


def _alone(values: pa.ChunkedArray, y: np.ndarray, task: Task) -> float:
    """The lower of both halves' figures, every second row each: what both show is not luck."""
    halves = [pa.array(np.arange(len(y)) % 2 == half) for half in (0, 1)]
    return min(_told(values.filter(half), y[half.to_numpy(zero_copy_only=False)], task) for half in halves)


def _told(values: pa.ChunkedArray, y: np.ndarray, task: Task) -> float:
    """As `telling`; of numbers with few values by each value as well, as codes have no order; a number's by ranks as well, bent or not."""
    figure = telling(values, y, task)
    if task == "regression" and not pa.types.is_string(values.type) and values.null_count < len(values) / 2:
        there = values.is_valid().to_numpy()
        one, other = _ranks(values.filter(pa.array(there)).to_numpy()), _ranks(y[there])
        return max(figure, float(np.corrcoef(one, other)[0, 1] ** 2)) if one.std() and other.std() else figure
    if task == "binary" and not pa.types.is_string(values.type) and 2 < len(pc.unique(values)) <= BINS:
        return max(figure, telling(values.cast(pa.string()), y, task))
    return figure


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, equal ones of equal values."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - counts / 2)[place])


def _gaps(values: pa.ChunkedArray, y: np.ndarray, project: Project) -> Iterator[str]:
    """Missing values, or those that are there, whose outcome is nearly always the same, beyond chance and beyond what all rows have."""
    missing = values.is_null().to_numpy()
    for side, rows in (("missing", missing), ("there", ~missing)):
        if not RAREST <= (n := int(rows.sum())) <= len(y) - RAREST:
            continue
        outcomes, counts = np.unique(y[rows], return_counts=True)
        of, share = outcomes[counts.argmax()], float(counts.max() / n)
        overall = float((y == of).mean())
        if share >= PURE and _divergence(share, overall) * n >= -LUCK:
            said = project.classes[int(of)] if project.task == "multiclass" else f"{of:g}"
            yield f"where it is {side} ({n} rows), {project.target} is {said} in {share:.1%}, of all rows in {overall:.1%}"


def _divergence(share: float, overall: float) -> float:
    """Kullback and Leibler's, in nats: n times it bounds the probability of such a share among n rows (Chernoff 1952)."""
    if share <= overall:
        return 0.0
    rest = (1 - share) * log((1 - share) / (1 - overall)) if share < 1 else 0.0
    return share * log(share / overall) + rest


def _equal(values: pa.ChunkedArray, later: pa.ChunkedArray) -> bool:
    """Whether two columns hold the same numbers or words wherever both hold any; not of ones with hardly more than one value."""
    if pa.types.is_string(values.type) != pa.types.is_string(later.type):
        return False
    both = pc.and_(values.is_valid(), later.is_valid())
    one, other = values.filter(both), later.filter(both)
    if len(one) < FEWEST or _most(other) > PURE * len(one):
        return False
    return bool(pc.mean(pc.equal(one, other).cast(pa.float64())).as_py() >= SAME)


def _most(values: pa.ChunkedArray) -> int:
    """How often the most frequent value occurs."""
    counts = pc.value_counts(values.combine_chunks())
    return int(pc.max(counts.field("counts")).as_py())


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Words as strings; numbers, truths and times as float64, NaN as null."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return values.cast(pa.string())
    whole = values.cast(pa.int64(), safe=False) if pa.types.is_timestamp(values.type) else values
    numbers = whole.cast(pa.float64(), safe=False)
    return pc.if_else(pc.fill_null(pc.is_nan(numbers), False), pa.scalar(None, pa.float64()), numbers)


def _enough(project: Project, y: np.ndarray) -> bool:
    """Whether every outcome but one has been seen often enough; numbers are."""
    return project.task != "binary" or min(int((y > 0.5).sum()), int((y <= 0.5).sum())) >= RAREST


def _features(project: Project) -> tuple[str, ...]:
    return (*project.features.numeric, *project.features.categorical)
