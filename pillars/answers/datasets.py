"""A data version and all that came of it: when it was made, from what, what was set aside, which models and predictions rest on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pillars.answers import history
from pillars.answers.history import History
from pillars.config import Project
from pillars.data import branch, tags, versions
from pillars.errors import UnknownName
from pillars.stores import Stores
from pillars.vocabulary import DataVersion

NEWEST = "newest"


@dataclass(frozen=True)
class Dataset:
    """One data version. `models` are those registered that were trained on it, `candidates` the periods whose candidates were."""

    project: str
    id: str
    commit: str
    created: str  # ISO 8601, UTC
    parent: str | None
    rows: int
    size_bytes: int
    periods: tuple[str, ...]
    source: str
    description: str  # what it changed, in one line
    tags: tuple[str, ...]
    quarantined: dict[str, int]  # rows by period, where there are any
    repaired: dict[str, int]  # the same of rows that a declared rule put right
    models: tuple[str, ...]
    candidates: tuple[str, ...]
    scored: tuple[str, ...]  # periods that were scored from it
    dropped: dict[str, str]  # files that are gone, and why


def datasets(stores: Stores, project: Project) -> list[Dataset]:
    """All versions of a project, newest first.

    Raises:
        StoreUnavailable: no git repository.
        LedgerBroken: a row that was read is not the one that was written.
    """
    known = versions.history(stores, project)
    made = branch.times(stores.root, known[0].commit) if known else {}
    told, names = history.read(stores, project.project), _names(stores, project)
    gone = versions.gone(stores, project.project, known)
    return [_dataset(stores, version, made.get(version.commit, 0), told, names, gone.get(version.id, {})) for version in known]


def dataset(stores: Stores, project: Project, version_id: str = NEWEST) -> Dataset:
    """One version, by its id, the beginning of one (8 characters or more), or a tag.

    Raises:
        UnknownName: there is none.
    """
    version = resolve(stores, project, version_id)
    made = branch.times(stores.root, version.commit)[version.commit]
    gone = versions.gone(stores, project.project, [version]).get(version.id, {})
    return _dataset(stores, version, made, history.read(stores, project.project), _names(stores, project), gone)


def resolve(stores: Stores, project: Project, version_id: str = NEWEST) -> DataVersion:
    """The version that an id or a tag names; `newest` is a name, too.

    Raises:
        UnknownName: there is none.
    """
    if version_id != NEWEST:
        return versions.find(stores, project, version_id)
    if (found := versions.head(stores, project)) is None:
        raise UnknownName("data version", NEWEST, [])
    return found


def _names(stores: Stores, project: Project) -> dict[str, list[str]]:
    """Tags by the id of the version that they are on."""
    found: dict[str, list[str]] = {}
    for tag in tags.tags(stores, project.project):
        found.setdefault(tag.version, []).append(tag.name)
    return found


def _dataset(
    stores: Stores, version: DataVersion, made: int, told: History, names: Mapping[str, list[str]], gone: Mapping[str, int]
) -> Dataset:
    source, description = versions.origin(stores, version)
    batches = [c.batch for c in told.chapters if c.batch and c.period in version.periods]
    return Dataset(
        project=version.project,
        id=version.id,
        commit=version.commit,
        created=datetime.fromtimestamp(made, UTC).isoformat(),
        parent=version.parent,
        rows=version.rows,
        size_bytes=version.size_bytes,
        periods=version.periods,
        source=source,
        description=description,
        tags=tuple(names.get(version.id, ())),
        quarantined={b.period: b.quarantined for b in batches if b.quarantined},
        repaired={b.period: b.repaired for b in batches if b.repaired},
        models=tuple(f"v{number}" for number, model in sorted(told.versions().items()) if model.data_version == version.id),
        candidates=tuple(c.period for c in told.chapters if c.candidate and c.candidate.data_version == version.id),
        dropped={path: f"dropped by retention on ledger row {row}" for path, row in gone.items()},
        scored=tuple(c.period for c in told.chapters if c.scored and c.scored.rows and c.scored.data_version == version.id),
    )
