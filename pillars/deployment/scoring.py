"""A period scored by the release that answers: one prediction per row, joined to it by key for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from pillars.bundle.bundle import Bundle
from pillars.stores import Stores, Write, as_it_is, parquet_bytes
from pillars.vocabulary import Rollout, Scored


def score(
    stores: Stores,
    project_name: str,
    period: str,
    rows: pa.Table,
    columns: Mapping[str, np.ndarray],
    bundle: Bundle,
    rollout: Rollout,
    data_version: str,
    key: Sequence[str],
    write: Write | None = None,
) -> Scored:
    """Write the period's predictions to `predictions/<project>/<period>-<sha16>.parquet`: a repeat writes the same bytes to the same file.
    Named by their content, however `write` puts them on the disk.

    Raises:
        StoreUnavailable: the disk refuses; nothing was written.
    """
    content = parquet_bytes(predictions(rows, columns, bundle, rollout, data_version, key))
    sha256 = hashlib.sha256(content).hexdigest()
    path = f"predictions/{project_name}/{period}-{sha256[:16]}.parquet"
    (write or as_it_is(stores))(path, content)
    return Scored(project_name, period, rollout.champion.version, data_version, rows.num_rows, path, sha256)


def predictions(
    rows: pa.Table, columns: Mapping[str, np.ndarray], bundle: Bundle, rollout: Rollout, data_version: str, key: Sequence[str]
) -> pa.Table:
    """The key columns of `rows`; `score` and `decision` as `Predictions` has them; `model_version`, `generation` (int64), `data_version`.

    `columns` are the features of `rows`, in their order; `bundle` is the champion's of `rollout`. Row i of the table is row i of `rows`.
    """
    predicted = bundle.predict(columns)
    answers = {
        **{name: pa.array(values) for name, values in predicted.columns(bundle.classes).items()},
        "model_version": pa.repeat(pa.scalar(rollout.champion.version, pa.int64()), rows.num_rows),
        "data_version": pa.repeat(pa.scalar(data_version, pa.string()), rows.num_rows),
        "generation": pa.repeat(pa.scalar(rollout.generation, pa.int64()), rows.num_rows),
    }
    return pa.table({**{name: rows[name] for name in key}, **answers})
