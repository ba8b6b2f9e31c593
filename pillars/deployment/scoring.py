"""A period scored by the release that answers: one prediction per row, joined to it by key for ever."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.bundle.bundle import Bundle
from pillars.bundle.encoder import Words
from pillars.deployment import split
from pillars.stores import Stores, Write, as_it_is, parquet_of
from pillars.vocabulary import Rollout, Scored

PIECE = 20_000  # rows encoded and scored at a time: 5 MB of 60 features; their number changes no bit
Columns = Mapping[str, "np.ndarray | Words"]
Design = Callable[[pa.Table], Columns]  # what a model sees of rows


@dataclass(frozen=True)
class Beside:
    """The bundle of the release on trial, and the columns that name an entity."""

    bundle: Bundle
    entity: tuple[str, ...]


def score(
    stores: Stores,
    project_name: str,
    period: str,
    pieces: Iterable[pa.Table],
    design: Design,
    bundle: Bundle,
    rollout: Rollout,
    data_version: str,
    key: Sequence[str],
    write: Write | None = None,
    beside: Beside | None = None,
) -> Scored:
    """Write the period's predictions to `predictions/<project>/<period>-<sha16>.parquet`: a repeat writes the same bytes to the same file.
    Named by their content, however `write` puts them on the disk. Its rows come as pieces, of any size; a few are in memory at a time.

    Raises:
        StoreUnavailable: the disk refuses; nothing was written.
    """

    def said(piece: pa.Table) -> pa.Table:
        return predictions(piece, design(piece), bundle, rollout, data_version, key, beside)

    content, rows = parquet_of(_in_turn(said, pieces, stores.threads))
    sha256 = hashlib.sha256(content).hexdigest()
    path = f"predictions/{project_name}/{period}-{sha256[:16]}.parquet"
    (write or as_it_is(stores))(path, content)
    return Scored(project_name, period, rollout.champion.version, data_version, rows, path, sha256)


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
    said, version = _said(bundle, columns), np.full(rows.num_rows, rollout.champion.version, dtype=np.int64)
    told: dict[str, pa.Array] = {}
    if rollout.trial is not None and beside is not None:
        its = split.challengers(rollout.trial, split.entities(rows, beside.entity))
        its_own = _said(beside.bundle, columns)
        told["champion"] = pa.repeat(pa.scalar(rollout.champion.version, pa.int64()), rows.num_rows)
        if rollout.trial.mode == "shadow":
            said |= {f"shadow_{name}": its_own[name] for name in ("score", "decision") if name in its_own}
        elif its_own.keys() == said.keys():  # one that says less or more, such as intervals, cannot stand in one column with the other
            said = {name: pc.if_else(pa.array(its), its_own[name], said[name]) for name in said}
            version[its] = rollout.trial.challenger.version
    answers = {
        **said,
        "model_version": pa.array(version),
        "data_version": pa.repeat(pa.scalar(data_version, pa.string()), rows.num_rows),
        "generation": pa.repeat(pa.scalar(rollout.generation, pa.int64()), rows.num_rows),
        **told,
    }
    return pa.table({**{name: rows[name] for name in key}, **answers})


def _in_turn(said: Callable[[pa.Table], pa.Table], pieces: Iterable[pa.Table], threads: int) -> Iterator[pa.Table]:
    """Each piece's answers, in order, worked on by so many threads: a booster's own threads would wait while a piece is encoded."""
    with ThreadPoolExecutor(threads, "score") as pool:
        waiting: deque[Future[pa.Table]] = deque()
        try:
            for piece in pieces:
                waiting.append(pool.submit(said, piece))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def _said(bundle: Bundle, columns: Columns) -> dict[str, pa.Array]:
    return {name: pa.array(values) for name, values in bundle.predict(columns).columns(bundle.classes).items()}
