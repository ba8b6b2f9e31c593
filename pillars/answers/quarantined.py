"""What was set aside, period by period, and why: rows in quarantine, and batches that were rejected whole."""

from __future__ import annotations

import glob
from collections import Counter
from dataclasses import dataclass, replace

import pyarrow as pa

from pillars.answers.history import facts_of
from pillars.answers.retained import dropped
from pillars.data import sealing
from pillars.data.parquet import read_parquet
from pillars.errors import UnknownName
from pillars.monitoring.ledger import Entry, Ledger
from pillars.stores import Stores
from pillars.vocabulary import Batch, Collected


@dataclass(frozen=True)
class Held:
    """One period's newest batch with rows that are not in the data set.

    `rules` is the digest of the columns and expectations that it was checked by; `path` is relative to `var`: a Parquet file of the rows
    with their reasons, or the folder of a batch that was `rejected`. `reasons`: rows by reason, most first; of a rejected batch one, with
    all its rows. `collected` is what was kept of the source; None in records of earlier releases.
    """

    project: str
    period: str
    rejected: bool
    rows: int
    reasons: dict[str, int]
    path: str
    rules: str
    collected: Collected | None


def held(stores: Stores, project: str, period: str | None = None) -> tuple[Held, ...]:
    """All that is set aside now, oldest period first; of one period where it is named. What retention deleted is not.

    Raises:
        UnknownName: nothing of the named period is set aside.
        StoreUnavailable: a file with rows in quarantine is not there.
        DataCorrupt: such a file is no Parquet file.
    """
    told = Ledger(stores).entries(project)
    newest = {str(entry.inputs["period"]): entry for entry in told if entry.decision == "ingest"}
    gone = dropped(told)["collected"]
    found = {name: facts_of(entry, Batch) for name, entry in sorted(newest.items())}
    aside = [name for name, batch in found.items() if name not in gone and (not batch.decision or batch.quarantine_path)]
    if period is not None and period not in aside:
        raise UnknownName("period with rows in quarantine", period, aside)
    return tuple(_held(stores, newest[name], found[name]) for name in aside if period in (None, name))


def lying(stores: Stores, project: str, period: str) -> Held:
    """The newest file of a period that is set aside, for a reader who may not see the record: it may say that the file no longer counts.

    Raises:
        UnknownName: there is none.
        StoreUnavailable, DataCorrupt: see `rows`.
    """
    found = dict.fromkeys((stores.var / "quarantine" / project).glob(f"{glob.escape(period)}-*.parquet"), False)
    found |= {path.parent: True for path in (stores.var / "rejected" / project).glob(f"{glob.escape(period)}-*/rows.parquet")}
    if not found:
        raise UnknownName("period with rows in quarantine", period, [])
    newest = max(found, key=lambda path: (path.stat().st_mtime_ns, path.name))
    what = Held(project, period, found[newest], 0, {}, stores.relative(newest), "", None)
    table = rows(stores, what)
    reasons = Counter(reason for reasons in table["reasons"].to_pylist() for reason in reasons) if "reasons" in table.column_names else {}
    return replace(what, rows=table.num_rows, reasons=dict(reasons))


def rows(stores: Stores, what: Held) -> pa.Table:
    """The rows that are set aside, as they came: those in quarantine with `quarantined_from` and `reasons` (list of text).

    Raises:
        StoreUnavailable: the file is not there, or its key is not on the ring.
        DataCorrupt: it was changed.
    """
    path = f"{what.path}/rows.parquet" if what.rejected else what.path
    return read_parquet(sealing.read(stores, path), path)


def _held(stores: Stores, entry: Entry, batch: Batch) -> Held:
    rules = str(entry.inputs["rules"])
    if not batch.decision:
        what = Held(batch.project, batch.period, True, 0, {}, batch.kept_at, rules, batch.collected)
        count = rows(stores, what).num_rows
        return replace(what, rows=count, reasons={entry.reason: count})
    what = Held(batch.project, batch.period, False, 0, {}, batch.quarantine_path, rules, batch.collected)
    table = rows(stores, what)
    counts = Counter(reason for reasons in table["reasons"].to_pylist() for reason in reasons)
    return replace(what, rows=table.num_rows, reasons=dict(counts.most_common()))
