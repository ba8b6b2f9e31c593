"""From the origin of a registered version to the verdict on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pillars.bundle.bundle import Bundle
from pillars.config import Project
from pillars.data import versions
from pillars.errors import BundleRefused, StoreUnavailable
from pillars.monitoring import lineage, origin, registry
from pillars.reproduction import comparing, remaking
from pillars.reproduction.remaking import Remade
from pillars.stores import Stores, scratch
from pillars.vocabulary import DataVersion, ModelVersion, Origin, Recipe, Reproduction

SCRATCH = "reproduce"


def reproduce(
    stores: Stores, project: Project, version: int, witness: ModelVersion | None, recorded: Iterable[Mapping[str, Any]], epsilon: float
) -> Reproduction:
    """Make a registered version again, and compare. Its boosters are read at the very end, its search is not repeated.

    `witness`: what the ledger says of the version; where the registry says something else, the registry is followed and the difference
    is a factor. `recorded`: the YAMLs that are on record, newest first.

    Raises:
        UnknownName: there is no such version.
        BundleRefused: its tags hold no lineage.
        DataCorrupt: a file of its data has other bytes, in both copies.
        RebuildFailed: the process that fitted it ended without a model.
        StoreUnavailable: MLflow, git or the remote does not answer.
    """
    made_from = origin.read(stores, project.project, version)
    notes = []
    if witness is not None and witness.sha256 != made_from.sha256:
        notes.append(f"the registry names the boosters {made_from.sha256[:12]}, the ledger {witness.sha256[:12]}; the ledger was followed")
        made_from = replace(made_from, sha256=witness.sha256)
    data = versions.named(stores, project, made_from.data_version, made_from.data_commit)
    if data is None:
        return _erased(made_from, f"data version {made_from.data_version} is neither on its branch nor in a commit of its own", epsilon)
    if lost := versions.lost(stores, data, made_from.fitted_through):
        more = f" and {len(lost) - 2} more" if len(lost) > 2 else ""
        rows = sorted({row for path, row in versions.gone(stores, project.project, [data]).get(data.id, {}).items() if path in lost})
        why = f" (dropped by retention on ledger row {rows[-1]})" if rows else ""
        return _erased(made_from, f"neither cache nor remote has {', '.join(lost[:2])}{more}, of data version {data.id}{why}", epsilon)
    with scratch(SCRATCH) as folder:
        found, added = _compared(stores, project, made_from, witness, recorded, data, folder, epsilon)
    return replace(found, notes=(*notes, *added))


def _compared(
    stores: Stores,
    project: Project,
    made_from: Origin,
    witness: ModelVersion | None,
    recorded: Iterable[Mapping[str, Any]],
    data: DataVersion,
    folder: Path,
    epsilon: float,
) -> tuple[Reproduction, list[str]]:
    """The verdict, and what a reader should know beside it."""
    versions.checkout(stores, data, folder / "data", through=made_from.fitted_through, plain=True)
    code = remaking.code_of(stores, made_from, origin.patch(stores, made_from), folder / "code")
    settings = remaking.settings_of(stores, made_from, code, recorded, project)

    def again(recipe: Recipe, threads: int) -> Remade:
        return remaking.remake(folder, code, data, settings, made_from, recipe, threads)

    remade = again(made_from.recipe, stores.threads)
    here = lineage.environment(lineage.code_state(stores.root))
    factors = comparing.factors_of(made_from, witness, code, settings, here, stores.threads, remade.source)
    registered, refused = _registered(stores, made_from)
    found = comparing.compare(made_from, remade, registered, epsilon, factors)
    if found.verdict != "IDENTICAL" and factors:
        tried = comparing.proven(made_from, witness, factors, again, stores.threads)
        found = comparing.compare(made_from, remade, registered, epsilon, tried)
    same_code = f"{code.missing}; the code here is the recorded one" if code.missing and "code" not in {f.name for f in factors} else ""
    return found, [note for note in (refused, same_code) if note]


def _registered(stores: Stores, made_from: Origin) -> tuple[Bundle | None, str]:
    """The registered bundle, and why there is none."""
    try:
        return Bundle.load(registry.bundle_dir(stores, made_from.project, made_from.version)).held_to(made_from.sha256), ""
    except (BundleRefused, StoreUnavailable) as err:
        return None, f"the registered files cannot be read ({err})"


def _erased(made_from: Origin, why: str, epsilon: float) -> Reproduction:
    return Reproduction(made_from.project, made_from.version, "ERASED", why, made_from.sha256, epsilon=epsilon)
