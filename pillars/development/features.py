"""What a model sees: feature columns from rows, and rows joined with the outcomes known by now."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.bundle.encoder import Encoder, Words
from pillars.config import Features, Project
from pillars.errors import ConfigInvalid
from pillars.targets import is_known, spread, truth

MEMORY_BYTES = 1 << 30  # of designed periods kept between the steps of one cycle; a year of flights takes a fifth of it
BLOCK_SECONDS = {"day": 86_400, "hour": 3_600}


@dataclass(frozen=True)
class Labelled:
    """Rows whose outcome is known, in key order within each period.

    keys: the key columns. columns: as `design` gives them. y: (n,), as `truth` gives it. blocks: int64 (n,), rows of one block share their
    luck. digest: sha256 over columns, y, blocks, and the weights and groups where there are any. weights: float64 (n,), above 0, how much
    each row counts. groups: objects (n,), str or None, which of `split.folds.group` it belongs to. aside: columns beside the features (str
    or None), by which rows are told apart when they are judged; no model sees them, and no digest.
    """

    keys: pa.Table
    columns: Mapping[str, np.ndarray]
    y: np.ndarray
    blocks: np.ndarray
    digest: str
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None
    aside: Mapping[str, np.ndarray] = field(default_factory=dict)


def design(project: Project, rows: pa.Table) -> dict[str, np.ndarray]:
    """Feature columns of `rows`, each of shape (n,), in the order of the configuration.

    Numbers: float64, null as NaN. Categories: objects, str or None.

    Raises:
        ConfigInvalid: a feature's column is no number, or is not there.
    """
    if missing := lacking(project, rows):
        raise ConfigInvalid(f"{project.project}.yaml", [f"features: the rows have no column {name}" for name in missing])
    numbers = {name: _numbers(project, name, rows.column(name)).copy() for name in project.features.numeric}
    return numbers | {name: _categories(rows.column(name)) for name in project.features.categorical}


def seen(project: Project, rows: pa.Table) -> dict[str, np.ndarray | Words]:
    """What `design` gives, to be encoded at once and not kept: numbers may lie in the rows' own memory, categories are `Words`.

    Raises:
        ConfigInvalid: as `design`.
    """
    if missing := lacking(project, rows):
        raise ConfigInvalid(f"{project.project}.yaml", [f"features: the rows have no column {name}" for name in missing])
    numbers: dict[str, np.ndarray | Words] = {name: _numbers(project, name, rows.column(name)) for name in project.features.numeric}
    return numbers | {name: _words(rows.column(name)) for name in project.features.categorical}


def lacking(project: Project, rows: pa.Table) -> list[str]:
    """Features that the rows have no column of."""
    return sorted({*project.features.numeric, *project.features.categorical} - set(rows.column_names))


def taken_by(project: Project, encoder: Encoder) -> Project:
    """The project with the features that a bundle takes: they may be others than those of today."""
    return project.model_copy(update={"features": Features(numeric=tuple(encoder.numeric), categorical=tuple(encoder.categorical))})


def blocks(project: Project, rows: pa.Table) -> np.ndarray:
    """Block of each row, int64, shape (n,): days or hours since 1970 of the time column, or the row's own number."""
    if project.split.block == "row":
        return np.arange(rows.num_rows, dtype=np.int64)
    seconds = rows.column(project.time).cast(pa.timestamp("s"), safe=False).cast(pa.int64()).to_numpy()
    return np.floor_divide(seconds, BLOCK_SECONDS[project.split.block])


def weights(project: Project, rows: pa.Table) -> np.ndarray | None:
    """How much each row counts, float64, shape (n,); None where no column has that role.

    Raises:
        ConfigInvalid: one is not above 0, or is not there.
    """
    if not (name := project.weight):
        return None
    if name not in rows.column_names:
        raise ConfigInvalid(f"{project.project}.yaml", [f"columns: {name} is the weight, and the rows have no column of that name"])
    found = _numbers(project, name, rows.column(name))
    if wrong := int((~((found > 0) & np.isfinite(found))).sum()):
        raise ConfigInvalid(f"{project.project}.yaml", [f"columns: {name} is a weight, and in {wrong} of {len(found)} rows not above 0"])
    return found


def groups(project: Project, rows: pa.Table) -> np.ndarray | None:
    """The group of each row, objects, str or None, shape (n,); None where the YAML names no column of groups.

    Raises:
        ConfigInvalid: it is not there.
    """
    if (name := project.split.folds.group) is None:
        return None
    if name not in rows.column_names:
        raise ConfigInvalid(f"{project.project}.yaml", [f"split.folds.group: the rows have no column {name}"])
    return _categories(rows.column(name))


def labelled(project: Project, rows: pa.Table, outcomes: pa.Table) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """Rows with a known target, sorted by key; their y (see `truth`) and blocks (int64), each of shape (n,).

    Rows without an outcome, and outcomes that are null or of no declared class, are left out. Blocks of rows that have no time are
    numbered such that consecutive ones have the classes' shares of all: where a period is cut into parts, the cut is stratified.
    """
    key = list(project.key)
    known = outcomes.select([*key, project.target]).filter(is_known(project, outcomes.column(project.target)))
    places = rows.select(key).append_column("__place", pa.array(np.arange(rows.num_rows)))
    joined = places.join(known, keys=key, join_type="inner").sort_by([(name, "ascending") for name in key])
    kept = rows.take(joined.column("__place"))
    y = truth(project, joined.column(project.target))
    return kept, y, blocks(project, kept) if project.time else spread(project, y)


def reader(
    project: Project, version: str, read: Callable[[str, Sequence[str]], pa.Table], contents: Mapping[str, str] | None = None
) -> Callable[[Sequence[str]], Labelled]:
    """A function from periods to their labelled rows; what `tune`, `judge` and `refit` read from.

    `version` is the content address of what `read("rows" | "outcomes", periods)` gives: the steps of one cycle share what they read.
    `contents` are those of single periods, where they are known: then cycles share the periods that did not change, too.
    """
    settings = " ".join((project.section_digest(*project.learning), *project.aside))

    def one(period: str) -> Labelled:
        if project.fit.engine != "local":  # what was read before would be most of the memory
            return _labelled(project, read("rows", [period]), read("outcomes", [period]))
        place = ((contents or {}).get(period, version), settings, period)
        return _memory.get(place) or _memory.keep(place, _labelled(project, read("rows", [period]), read("outcomes", [period])))

    def several(periods: Sequence[str]) -> Labelled:
        return _joined(project, [one(period) for period in periods])

    return several


def _labelled(project: Project, rows: pa.Table, outcomes: pa.Table) -> Labelled:
    kept, y, its_blocks = labelled(project, rows, outcomes)
    columns = design(project, kept)
    content = hashlib.sha256()
    for name, column in columns.items():
        content.update(name.encode())
        content.update("\x1f".join(map(str, column.tolist())).encode() if column.dtype == object else column.tobytes())
    its_weights = weights(project, kept)
    for array in (y, its_blocks, *(() if its_weights is None else (its_weights,))):
        content.update(array.tobytes())
    if (its_groups := groups(project, kept)) is not None:
        content.update("\x1f".join(map(str, its_groups.tolist())).encode())
    aside = {name: _aside(kept, name) for name in project.aside}
    keys = kept.select(list(project.key)).combine_chunks()
    return Labelled(keys, columns, y, its_blocks, content.hexdigest(), its_weights, its_groups, aside)


def _aside(rows: pa.Table, name: str) -> np.ndarray:
    """Nobody fits on it, so periods from before the column was declared are no fault."""
    return _categories(rows.column(name)) if name in rows.column_names else np.full(rows.num_rows, None, dtype=object)


def _joined(project: Project, parts: Sequence[Labelled]) -> Labelled:
    if len(parts) == 1:
        return parts[0]
    y = np.concatenate([part.y for part in parts])
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    its_blocks = np.arange(len(y)) if project.split.block == "row" else np.concatenate([part.blocks for part in parts])
    digest = hashlib.sha256("".join(part.digest for part in parts).encode()).hexdigest()
    its_weights = np.concatenate([part.weights for part in parts if part.weights is not None]) if project.weight else None
    its_groups = np.concatenate([part.groups for part in parts if part.groups is not None]) if project.split.folds.group else None
    aside = {name: np.concatenate([part.aside[name] for part in parts]) for name in project.aside}
    return Labelled(pa.concat_tables([part.keys for part in parts]), columns, y, its_blocks, digest, its_weights, its_groups, aside)


def _numbers(project: Project, name: str, column: pa.ChunkedArray) -> np.ndarray:
    try:
        numbers = column.cast(pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
        raise ConfigInvalid(f"{project.project}.yaml", [f"features.numeric: {name} is {column.type}, which is no number"]) from err
    return numbers.to_numpy()  # null is NaN


def _words(column: pa.ChunkedArray) -> Words:
    coded = column.cast(pa.string()).dictionary_encode().combine_chunks()
    values = (*coded.dictionary.to_pylist(), None)
    return Words(values, pc.fill_null(coded.indices, len(values) - 1).to_numpy(zero_copy_only=False))


def _categories(column: pa.ChunkedArray) -> np.ndarray:
    words = _words(column)
    return np.array(words.values, dtype=object)[words.places]


class _Memory:
    """The designed periods used last, at most `limit` bytes of them. Safe for threads."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held, self.lock = limit, OrderedDict[tuple[str, str, str], Labelled](), Lock()

    def get(self, place: tuple[str, str, str]) -> Labelled | None:
        with self.lock:
            if place in self.held:
                self.held.move_to_end(place)
            return self.held.get(place)

    def keep(self, place: tuple[str, str, str], found: Labelled) -> Labelled:
        with self.lock:
            self.held[place] = found
            while len(self.held) > 1 and sum(_bytes(held) for held in self.held.values()) > self.limit:
                self.held.popitem(last=False)
        return found


def _bytes(held: Labelled) -> int:
    return held.keys.nbytes + sum(column.nbytes for column in (*held.columns.values(), *held.aside.values()))


_memory = _Memory(MEMORY_BYTES)
