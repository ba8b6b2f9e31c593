"""What is older than its time: which files and rows go, what is held back and for whom, and how it goes.

By periods, never by the clock, so that a replay decides the same. Order: a version without the rows, the row in the ledger (by the caller),
the note of what is deleted, the deletion. Killed anywhere, the same call again ends in the same state: what goes follows from the periods
on record and the versions of the branch, not from what still lies on the disk.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from pillars.config import Project
from pillars.data import branch, dropped, objects, versions
from pillars.data.record import Record, period_of
from pillars.data.sealing import FOLDERS
from pillars.errors import StoreUnavailable
from pillars.stores import Stores
from pillars.vocabulary import DataVersion

Kind = Literal["collected", "rows"]
BATCH = re.compile(r"-[0-9a-f]{16}(\.parquet)?\Z")  # the end of a batch's name, after its period
NEWEST_BATCH = "the newest batch made it, and may be learned from"


@dataclass(frozen=True)
class Held:
    """A data version that is needed whole: its files of `periods` stay, though their time is over."""

    version: str
    why: str
    periods: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What goes. `collected`: periods whose raw, rejected, quarantined and flagged `files` are deleted (paths under `var`, cleaned copies
    among them). `rows`: periods that the data set has no more; `objects` are their files in cache and remote that no needed version
    names, md5 to path. Periods are all whose time is over, whether they went before or go now. `requests`: files of the log of requests
    (under `var`) with nothing in them that is younger than `requests_before` (ISO 8601; empty where they are kept for good).
    """

    project: str
    newest: str
    collected: tuple[str, ...]
    rows: tuple[str, ...]
    files: tuple[str, ...]
    objects: Mapping[str, str]
    held: tuple[Held, ...]
    requests: tuple[str, ...] = ()
    requests_before: str = ""


def beyond(periods: Iterable[str], newest: str, limit: int | None) -> tuple[str, ...]:
    """Those of `periods` that lie more than `limit` periods before `newest`, which is one of them; none without a limit."""
    known = sorted({*periods, newest})
    return () if limit is None else tuple(known[: max(0, known.index(newest) - limit)])


def over(stores: Stores, project: Project, periods: Sequence[str], newest: str) -> dict[Kind, tuple[str, ...]]:
    """Periods whose time is over by `project.retention`, of what was collected and of rows. `periods` are those on record, `newest` the
    newest of them with rows; older epochs' periods, which the branch still has, count as well.

    Raises:
        StoreUnavailable: no git repository.
    """
    return _over(project, periods, newest, versions.records(stores, project.project))


def plan(stores: Stores, project: Project, periods: Sequence[str], newest: str, needed: Mapping[str, str]) -> Plan:
    """What goes, of the same as in `over`. Nothing is changed. `needed`: data versions (ids) that something needs whole, and what.

    Raises:
        StoreUnavailable: no git repository.
    """
    name, told = project.project, versions.records(stores, project.project)
    ended = _over(project, periods, newest, told)
    collected, rows = ended["collected"], ended["rows"]
    needed = {**_newest_batch(told), **needed} if rows else {}
    doomed = {f.md5: path for record in told for path, f in record.files.items() if period_of(path) in rows}
    kept = {f.md5 for path, f in (told[0].files.items() if told else ()) if period_of(path) not in rows} | _of_others(stores, name)
    held: dict[str, Held] = {}
    for record in told:
        if record.id in needed and record.id not in held:
            inside = {f.md5: period_of(path) for path, f in record.files.items() if f.md5 in doomed}
            if inside:
                held[record.id] = Held(record.id, needed[record.id], tuple(sorted(set(inside.values()))))
            kept |= inside.keys()
    return Plan(
        project=name,
        newest=newest,
        collected=collected,
        rows=rows,
        files=tuple(_files(stores, name, collected, rows)),
        objects={md5: path for md5, path in sorted(doomed.items(), key=lambda one: one[1]) if md5 not in kept},
        held=tuple(held.values()),
    )


def drop(stores: Stores, project: Project, what: Plan, now: datetime) -> DataVersion | None:
    """The newest version without the rows and outcomes of `what.rows`; itself where it has none. None before the first.

    Raises: as `versions.publish`.
    """
    return versions.without(stores, project, what.rows, now)


def delete(stores: Stores, what: Plan, row: int) -> Plan:
    """Delete files and objects of `what`, which is on record in the ledger's `row`. Returns what was still there.

    Raises:
        StoreUnavailable: a disk or the remote refuses; the same call again goes on.
        Busy: somebody else has been writing for five minutes.
    """  # requests are `pillars.deployment.aging`'s
    files = tuple(path for path in what.files if (stores.var / path).exists())
    for path in files:
        _delete(stores, path)
    gone: frozenset[str] = frozenset()
    if what.objects:
        with objects.writing(stores, what.project):
            told = versions.records(stores, what.project)
            named = {f.md5 for record in told[:1] for f in record.files.values()} | _of_others(stores, what.project)
            doomed = [md5 for md5 in what.objects if md5 not in named]  # somebody may have published them meanwhile
            dropped.write(stores, what.project, doomed, row)
            gone = objects.remove(stores, what.project, doomed)
    return replace(what, files=files, objects={md5: path for md5, path in what.objects.items() if md5 in gone})


def _over(project: Project, periods: Sequence[str], newest: str, told: Sequence[Record]) -> dict[Kind, tuple[str, ...]]:
    known = {*periods, *(period for record in told for period in record.periods)}
    limits = project.retention
    return {"collected": beyond(known, newest, limits.collected), "rows": beyond(known, newest, limits.rows)}


def _newest_batch(told: Sequence[Record]) -> dict[str, str]:
    """The version that the newest batch made, below those that retention made of it: whoever began with it goes on reading it."""
    at = 0
    while at + 1 < len(told) and told[at].parent == told[at + 1].id and told[at].files.items() < told[at + 1].files.items():
        at += 1
    return {told[at].id: NEWEST_BATCH} if told else {}


def _of_others(stores: Stores, project: str) -> set[str]:
    """Objects that other projects name, in any version: cache and remote are shared."""
    names = [name.partition("/")[2] for name in branch.tips(stores.root)]
    return {f.md5 for name in names if name != project for record in versions.records(stores, name) for f in record.files.values()}


def _files(stores: Stores, project: str, collected: Sequence[str], rows: Sequence[str]) -> Iterator[str]:
    for folder in (*FOLDERS, "staging"):
        periods = sorted({*collected, *rows}) if folder == "staging" else collected  # there lie copies of both
        for period in periods:
            base = stores.var / folder / project
            tops = [base / period] if folder == "raw" else [f for f in base.glob(f"{glob.escape(period)}-*") if _is_of(f.name, period)]
            for top in sorted(tops):
                inside = sorted(f for f in top.rglob("*") if not f.is_dir()) if top.is_dir() else [top]
                yield from (stores.relative(f) for f in inside if f.exists())


def _is_of(name: str, period: str) -> bool:
    return BATCH.sub("", name) == period


def _delete(stores: Stores, path: str) -> None:
    file = stores.var / path
    try:
        file.unlink(missing_ok=True)
    except OSError as err:
        raise StoreUnavailable.refused(str(file), err, "Mend the disk and run again: it goes on.", "deleted") from err
    with suppress(OSError):  # the folder has other files
        file.parent.rmdir()
