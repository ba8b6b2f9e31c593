"""A period scored by the releases that answer: one prediction per row, joined to it by key for ever."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.bundle.bundle import Bundle
from pillars.bundle.encoder import Words
from pillars.deployment import split
from pillars.stores import Stores, Write, as_it_is, parquet_of
from pillars.vocabulary import Rollout, Scored

Of = TypeVar("Of")
SHOWN = ("score", "decision")  # of a shadow's answers, what is kept
PIECE = 20_000  # rows encoded and scored at a time: 5 MB of 60 features; their number changes no bit
Columns = Mapping[str, "np.ndarray | Words"]  # what a model sees of rows
Answers = Mapping[int, Mapping[str, pa.Array]]  # version -> score and decision of each row, as `Predictions` has them


@dataclass(frozen=True)
class Beside:
    """The bundle of the release on trial, the columns that name an entity, and those that name a row, for rows that are of none. No
    bundle: it does not load, and answers nobody."""

    bundle: Bundle | None
    entity: tuple[str, ...]
    key: tuple[str, ...]


@dataclass(frozen=True)
class Made:
    """Predictions as the bytes of a Parquet file, and how many rows each version answered, oldest first."""

    content: bytes
    by: Mapping[int, int]


def made(tables: Iterable[pa.Table]) -> Made:
    """Tables of `answered`, one below the other; how they are cut changes no byte, and a few are in memory at a time.

    Raises:
        ValueError: there is no table.
    """
    by = Counter[int]()

    def counted() -> Iterator[pa.Table]:
        for table in tables:
            by.update({one["values"]: one["counts"] for one in pc.value_counts(table["model_version"]).to_pylist()})
            yield table

    content, _ = parquet_of(counted())
    return Made(content, dict(sorted(by.items())))


def predicted(
    pieces: Iterable[pa.Table],
    design: Callable[[pa.Table], Columns],
    bundle: Bundle,
    rollout: Rollout,
    data_version: str,
    key: Sequence[str],
    threads: int,
    beside: Beside | None = None,
) -> Made:
    """The predictions of a period's rows, which come as pieces of any size; `design` says what a model sees of some. See `predictions`."""
    return made(in_turn(lambda piece: predictions(piece, design(piece), bundle, rollout, data_version, key, beside), pieces, threads))


def keep(
    stores: Stores, project_name: str, period: str, version: int, data_version: str, predicted: Made, write: Write | None = None
) -> Scored:
    """Write predictions to `predictions/<project>/<period>-<sha16>.parquet`: a repeat writes the same bytes to the same file.
    Named by their content, however `write` puts them on the disk.

    Raises:
        StoreUnavailable: the disk refuses; nothing was written.
    """
    sha256 = hashlib.sha256(predicted.content).hexdigest()
    path = f"predictions/{project_name}/{period}-{sha256[:16]}.parquet"
    (write or as_it_is(stores))(path, predicted.content)
    return Scored(project_name, period, version, data_version, sum(predicted.by.values()), path, sha256)


def predictions(
    rows: pa.Table,
    columns: Columns,
    bundle: Bundle,
    rollout: Rollout,
    data_version: str,
    key: Sequence[str],
    beside: Beside | None = None,
) -> pa.Table:
    """The key columns of `rows`; `score` and `decision` as `Predictions` has them; `model_version`, `generation` (int64), `data_version`.

    `columns` are the features of `rows`, in their order; `bundle` is the champion's of `rollout`. Row i of the table is row i of `rows`.
    While a release is on trial it answers the rows of its entities (`model_version` beside `champion`), or as a shadow none of them: then
    `shadow_score` and `shadow_decision` are what it would have said.
    """
    return answered(rows, answers(columns, bundle, rollout, beside), rollout, data_version, key, beside)


def answers(columns: Columns, bundle: Bundle, rollout: Rollout, beside: Beside | None) -> Answers:
    """What the champion says of all rows, and what is on trial, if anything is and it loads."""
    said = {rollout.champion.version: _said(bundle, columns)}
    if rollout.trial is not None and beside is not None and beside.bundle is not None:
        said[rollout.trial.challenger.version] = _said(beside.bundle, columns)
    return said


def answers_of(all_rows: Answers, places: np.ndarray) -> Answers:
    """The answers for some rows."""
    return {version: {name: column.take(pa.array(places)) for name, column in said.items()} for version, said in all_rows.items()}


def answered(
    rows: pa.Table, given: Answers, rollout: Rollout, data_version: str, key: Sequence[str], beside: Beside | None = None
) -> pa.Table:
    """Who of those who know an answer gives it, by `rollout`: the table of `predictions`. With `beside` it has the columns of a trial,
    whether or not one is in force."""
    champion = rollout.champion.version
    said, version = dict(given[champion]), np.full(rows.num_rows, champion, dtype=np.int64)
    told: dict[str, pa.Array] = {}
    if beside is not None:
        told["champion"] = pa.repeat(pa.scalar(champion, pa.int64()), rows.num_rows)
    trial = rollout.trial
    its_own = given.get(trial.challenger.version) if trial is not None and beside is not None else None
    if trial is not None and its_own is not None and beside is not None:
        if trial.mode == "shadow":
            said |= {f"shadow_{name}": its_own[name] for name in SHOWN if name in its_own}
        elif its_own.keys() == said.keys():  # one that says less or more, such as intervals, cannot stand in one column with the other
            its = split.challengers(trial, split.entities(rows, beside.entity, beside.key))
            said = {name: pc.if_else(pa.array(its), its_own[name], said[name]) for name in said}
            version[its] = trial.challenger.version
    answers = {
        **said,
        "model_version": pa.array(version),
        "data_version": pa.repeat(pa.scalar(data_version, pa.string()), rows.num_rows),
        "generation": pa.repeat(pa.scalar(rollout.generation, pa.int64()), rows.num_rows),
        **told,
    }
    return pa.table({**{name: rows[name] for name in key}, **answers})


def in_turn(of: Callable[[pa.Table], Of], pieces: Iterable[pa.Table], threads: int) -> Iterator[Of]:
    """What is made of each piece, in order, worked on by so many threads: a booster's own threads would wait while a piece is encoded."""
    with ThreadPoolExecutor(threads, "score") as pool:
        waiting: deque[Future[Of]] = deque()
        try:
            for piece in pieces:
                waiting.append(pool.submit(of, piece))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def together(of: Iterable[tuple[pa.Table, Answers]]) -> tuple[pa.Table, Answers]:
    """Rows and answers of pieces, as those of the whole."""
    pieces = list(of)
    named = {version: list(said) for version, said in pieces[0][1].items()}
    return pa.concat_tables([rows for rows, _ in pieces]).combine_chunks(), {
        version: {name: pa.concat_arrays([said[version][name] for _, said in pieces]) for name in names} for version, names in named.items()
    }


def _said(bundle: Bundle, columns: Columns) -> dict[str, pa.Array]:
    return {name: pa.array(values) for name, values in bundle.predict(columns).columns(bundle.classes).items()}
