"""A registered version laid out in a folder, ready to be fitted again, and what of two such versions differs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pillars import git
from pillars.bundle.bundle import Bundle
from pillars.config import Project, digest
from pillars.data import versions
from pillars.errors import RebuildFailed, TooFewRows
from pillars.monitoring import lineage, origin, registry
from pillars.reproduction import remaking
from pillars.reproduction.remaking import Code, Settings
from pillars.stores import Stores
from pillars.vocabulary import DataVersion, Origin, Recipe

FACTORS = ("data", "code", "config", "parameters", "seed", "calibration")


@dataclass(frozen=True)
class Made:
    """All that one of the versions was made from, laid out in `folder`; `through` is the newest period that is fitted on."""

    origin: Origin
    data: DataVersion
    contents: str  # digest of the periods that are fitted on
    through: str
    folder: Path
    code: Code
    settings: Settings
    calibration: Mapping[str, Any]


def lay_out(
    stores: Stores, project: Project, made_from: Origin, recorded: Sequence[Mapping[str, Any]], judge: str, folder: Path, notes: list[str]
) -> Made:
    """Write a version's data and code into `folder`; `notes` takes what a reader should know.

    Raises:
        RebuildFailed: its data is gone.
        TooFewRows: it has seen the period `judge`, and nothing before it.
        BundleRefused: its files are not those that were registered.
    """
    folder.mkdir()
    data = versions.named(stores, project, made_from.data_version, made_from.data_commit)
    if data is None:
        raise RebuildFailed(project.project, made_from.version, f"its data version {made_from.data_version} was dropped")
    through = made_from.fitted_through
    if through >= judge:
        earlier = [period for period in data.periods if period < judge]
        if not earlier:
            raise TooFewRows(judge, f"it judges, and v{made_from.version} has no rows before it to be fitted on")
        through = earlier[-1]
        notes.append(
            f"v{made_from.version} was fitted through {made_from.fitted_through}; here it is fitted through {through}: {judge} judges"
        )
    if lost := versions.lost(stores, data, through):
        raise RebuildFailed(project.project, made_from.version, f"neither cache nor remote has {', '.join(lost[:2])} of its data")
    versions.checkout(stores, data, folder / "data", through=through, plain=True)
    code = remaking.code_of(stores, made_from, origin.patch(stores, made_from), folder / "code")
    settings = remaking.settings_of(stores, made_from, code, recorded, project)
    if code.missing and made_from.code != lineage.source():
        notes.append(f"v{made_from.version}: {code.missing}; the code here was used")
    if settings.digest != made_from.config:
        notes.append(f"v{made_from.version}: its YAML is not on record; the nearest one was used")
    bundle = Bundle.load(registry.bundle_dir(stores, project.project, made_from.version)).held_to(made_from.sha256)
    contents = {period: content for period, content in versions.contents(stores, data).items() if period <= through}
    return Made(made_from, data, digest(contents), through, folder, code, settings, bundle.calibration)


def differing(stores: Stores, made: tuple[Made, Made]) -> dict[str, tuple[str, str]]:
    """The factors in which the two differ, each as both have it."""
    told = [
        {
            "data": f"{one.data.id[:8]} through {one.through}",
            "code": (one.origin.commit[:8] or "no commit") + (" with changes" if one.origin.dirty else ""),
            "config": one.settings.digest[:12],
            "parameters": _parameters(one.origin.recipe, other.origin.recipe),
            "seed": str(one.origin.recipe.seed),
            "calibration": str(one.calibration.get("kind", "")),
        }
        for one, other in (made, made[::-1])
    ]
    first, last = made
    same = {
        "data": first.contents == last.contents,
        "code": _same_code(stores.root, first.origin, last.origin),
        "config": first.settings.digest == last.settings.digest,
        "parameters": _knobs(first.origin.recipe) == _knobs(last.origin.recipe),
        "seed": first.origin.recipe.seed == last.origin.recipe.seed,
        "calibration": dict(first.calibration) == dict(last.calibration),
    }
    return {name: (told[0][name], told[1][name]) for name in FACTORS if not same[name]}


def _same_code(root: Path, one: Origin, other: Origin) -> bool:
    """Whether both ran the same `pillars`, and their commits hold the same Python."""
    if (one.code, one.dirty) != (other.code, other.dirty):
        return False
    if one.commit == other.commit:
        return True
    asked = (
        git.run(root, ["diff", "--quiet", one.commit, other.commit, "--", "*.py", ":(exclude)tests"])
        if one.commit and other.commit
        else None
    )
    return asked is not None and asked.returncode == 0


def reseeded(recipe: Recipe, seed: int) -> Recipe:
    """The recipe without its name and from another seed; members of an average stay as far from it as they were."""
    members = tuple(replace(one, seed=one.seed - recipe.seed + seed) for one in recipe.members)
    return replace(recipe, name="", seed=seed, members=members)


def _knobs(recipe: Recipe) -> dict[str, float | int | str]:
    """All of a recipe but its seed and its name."""
    style = reseeded(recipe, 0).beyond
    told = {name: content if isinstance(content, str) else json.dumps(content) for name, content in style.items()}
    return {**recipe.params, "rounds": recipe.rounds, "bags": recipe.bags, **told}


def _parameters(recipe: Recipe, beside: Recipe) -> str:
    """What of a recipe differs from the one beside it."""
    mine, its = _knobs(recipe), _knobs(beside)
    told = {name: mine.get(name, "not set") for name in sorted(mine.keys() | its.keys()) if mine.get(name) != its.get(name)}
    return ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in told.items())


def not_tried(origins: Sequence[Origin]) -> Iterator[str]:
    """What else differs, and is as it is here for all fits."""
    one, other = (made_from.environment for made_from in origins)
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    if names:
        told = ", ".join(name.removeprefix("package.") for name in names)
        yield f"they also differ in {told}; every fit was made with what is installed here"
