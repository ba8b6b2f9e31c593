"""Periods that came again with other rows, and what rests on the rows they had before."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from pillars.answers import history
from pillars.answers.history import facts_of
from pillars.config import Project
from pillars.data import versions
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from pillars.vocabulary import Batch, DataVersion, ModelVersion, Scored


@dataclass(frozen=True)
class Revision:
    """One period's replacement. `models` were fitted on the rows it had before, `predictions` (files, relative to `var`) made from them."""

    project: str
    period: str
    at: str  # ISO 8601, UTC
    old: str  # data version
    new: str
    rows_before: int
    rows: int
    models: tuple[str, ...]
    predictions: tuple[str, ...]


def revisions(stores: Stores, project: Project) -> tuple[Revision, ...]:
    """All revisions of a project's current epoch that are in the data set, oldest first.

    Raises:
        StoreUnavailable: no git repository, or the commit of a version is gone.
        LedgerBroken: a row that was read is not the one that was written.
    """
    told = [entry for entry in Ledger(stores).entries(project.project) if entry.decision in ("ingest", "score")]
    known = {version.id: version for version in versions.history(stores, project)}
    models = history.read(stores, project.project).versions()
    scored = [facts_of(entry, Scored) for entry in told if entry.decision == "score"]
    held: dict[str, Batch] = {}
    found = []
    for entry in told:
        if entry.decision != "ingest" or (batch := facts_of(entry, Batch)).version is None:
            continue
        before = held.get(batch.period)
        held[batch.period] = batch
        if before is None or before.version is None:
            continue
        had = partial(_content, stores, known, batch.period)
        content = had(before.version.id)
        if content == had(batch.version.id):
            continue  # other bytes of the source, the same rows after cleaning
        found.append(
            Revision(
                project=project.project,
                period=batch.period,
                at=entry.at,
                old=before.version.id,
                new=batch.version.id,
                rows_before=before.rows,
                rows=batch.rows,
                models=tuple(f"v{n}" for n, m in sorted(models.items()) if _fitted_on(m, batch.period) and had(m.data_version) == content),
                predictions=tuple(s.path for s in scored if s.period == batch.period and s.rows and had(s.data_version) == content),
            )
        )
    return tuple(found)


def _content(stores: Stores, known: dict[str, DataVersion], period: str, version_id: str) -> str:
    """What a version holds of a period; empty where the version is of another epoch or branch."""
    return versions.contents(stores, known[version_id]).get(period, "") if version_id in known else ""


def _fitted_on(model: ModelVersion, period: str) -> bool:
    return period <= model.fitted_through
