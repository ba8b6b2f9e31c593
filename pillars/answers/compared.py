"""Two registered versions side by side: what each was made from, how each was judged, and both on the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from pydantic import ValidationError

from pillars.answers import history
from pillars.bundle.bundle import Bundle
from pillars.config import Project
from pillars.data import versions
from pillars.development import experiments, features, settings
from pillars.errors import BundleRefused, ConfigInvalid, InputInvalid, StoreUnavailable, UnknownName
from pillars.monitoring import origin, registry
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from pillars.training import metrics, pairing
from pillars.training.rows import Rows
from pillars.vocabulary import Candidate, Change, DataVersion, Gain, ModelVersion, Origin, Scorecard

WORDS = ("champion", "newest")


@dataclass(frozen=True)
class Fact:
    """One thing that both versions say of themselves."""

    name: str
    one: str
    other: str

    @property
    def differs(self) -> bool:
        """Whether they say something else."""
        return self.one != self.other


@dataclass(frozen=True)
class Compared:
    """Two versions. `trained`: each one's scorecard from its own training, on rows of its own. `judged`: both on the same rows."""

    project: str
    one: int
    other: int
    facts: tuple[Fact, ...]
    changes: tuple[Change, ...]  # of the YAML
    trained: tuple[Scorecard, ...]
    judged: tuple[Scorecard, ...]
    gain: Gain  # of the other over the one
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Ground:
    """Rows that are judged on: those of one period of a data version; why there are none, where there are none."""

    version: DataVersion | None
    period: str
    missing: str = ""


def numbered(stores: Stores, project: Project, word: str) -> int:
    """The number of a version: `3`, `v3`, `champion` or `newest`.

    Raises:
        UnknownName: there is no such version.
    """
    known = registry.versions(stores, project.project)
    answering = history.read(stores, project.project).rollout
    named = {"champion": answering.champion.version if answering else None, "newest": known[-1].version if known else None}
    wanted = str(named.get(word, word.removeprefix("v")))
    if wanted not in {str(version.version) for version in known}:
        raise UnknownName(f"version of {project.project}", word, [*(str(version.version) for version in known), *WORDS])
    return int(wanted)


def unseen(stores: Stores, project: Project, *fitted_through: str) -> Ground:
    """The newest period with outcomes, of the newest data version, that no model fitted through one of those has seen."""
    version, last = versions.head(stores, project), max(fitted_through)
    known = versions.with_outcomes(stores, version) if version else ()
    newer = [period for period in known if period > last and period in version.periods] if version else []
    if not newer:
        return Ground(version, "", f"no rows with outcomes are newer than {last}, through which one of them was fitted")
    return Ground(version, newer[-1])


def compared(stores: Stores, project: Project, one: int, other: int) -> Compared:
    """Both versions, read from registry, ledger and data; nothing is fitted, nothing changed.

    Raises:
        UnknownName: there is no such version.
        BundleRefused: its tags hold no lineage.
        StoreUnavailable: MLflow, git or the remote does not answer.
    """
    both = [registry.find(stores, project.project, number) for number in (one, other)]
    origins = [origin.read(stores, project.project, version.version) for version in both]
    notes: list[str] = []
    bundles = [_bundle(stores, made_from, notes) for made_from in origins]
    configs = [_config(stores, project, version, made_from, notes) for version, made_from in zip(both, origins, strict=True)]
    trained = [_trained(stores, version, notes) for version in both]
    judged, gain = _on_the_same_rows(stores, project, origins, bundles)
    return Compared(
        project=project.project,
        one=one,
        other=other,
        facts=tuple(_facts(stores, project, origins, bundles)),
        changes=settings.changes(configs[0], configs[1]) if configs[0] and configs[1] else (),
        trained=tuple(card for card in trained if card),
        judged=judged,
        gain=gain,
        notes=tuple(notes),
    )


def _facts(stores: Stores, project: Project, origins: list[Origin], bundles: list[Bundle | None]) -> Iterable[Fact]:
    told = [_told(stores, project, made_from, bundle) for made_from, bundle in zip(origins, bundles, strict=True)]
    packages = {name for made_from in origins for name in made_from.environment if name.startswith("package.")}
    other = sorted(name for name in packages if len({made_from.environment.get(name) for made_from in origins}) > 1)
    for made_from, said in zip(origins, told, strict=True):
        said |= {name.removeprefix("package."): made_from.environment.get(name, "") for name in other}
    return [Fact(name, told[0][name], told[1][name]) for name in told[0]]


def _told(stores: Stores, project: Project, made_from: Origin, bundle: Bundle | None) -> dict[str, str]:
    recipe, around = made_from.recipe, made_from.environment
    data = versions.named(stores, project, made_from.data_version, made_from.data_commit)
    return {
        "boosters": made_from.sha256[:12],
        "data version": made_from.data_version[:12],
        "data rows": f"{data.rows:,}" if data else "dropped",
        "fitted through": made_from.fitted_through,
        "code commit": made_from.commit[:12],
        "uncommitted changes": made_from.dirty[:12] or "none",
        "code that ran": made_from.code[:12],
        "config": made_from.config[:12],
        "recipe": recipe.name,
        "parameters": json.dumps({**recipe.params, **recipe.beyond}, sort_keys=True),
        "rounds": str(recipe.rounds),
        "bags": str(recipe.bags),
        "seed": str(recipe.seed),
        "calibration": _short(bundle.calibration) if bundle else "",
        "threshold": f"{bundle.threshold:g}" if bundle else "",
        "threads": str(made_from.threads),
        "lock": around.get("lock", "")[:12],
        "python": around.get("python", ""),
        "machine": around.get("machine", ""),
    }


def _short(calibration: object) -> str:
    text = json.dumps(calibration, sort_keys=True)
    return text if len(text) <= 60 else text[:57] + "..."


def _bundle(stores: Stores, made_from: Origin, notes: list[str]) -> Bundle | None:
    try:
        return Bundle.load(registry.bundle_dir(stores, made_from.project, made_from.version)).held_to(made_from.sha256)
    except (BundleRefused, StoreUnavailable) as err:
        notes.append(f"the files of v{made_from.version} cannot be read ({err})")
        return None


def _config(stores: Stores, project: Project, version: ModelVersion, made_from: Origin, notes: list[str]) -> Project | None:
    """The YAML of a version: that of its digest, in the ledger, here, or with its MLflow run."""
    facts = [entry.facts for entry in Ledger(stores).entries(project.project, "configure", every_epoch=True)]
    for content in [*facts, project.model_dump(mode="json"), experiments.config_of(stores, version.run_id)]:
        try:
            found = Project.model_validate(content)
        except ValidationError:  # of a release whose YAML was another
            continue
        if found.digest() == made_from.config:
            return found
    notes.append(f"no YAML of v{version.version}'s digest is on record: what of it differs cannot be said")
    return None


def _trained(stores: Stores, version: ModelVersion, notes: list[str]) -> Scorecard | None:
    """The scorecard of a version's own training, by the ledger."""
    entries = Ledger(stores).entries(version.project, "train", every_epoch=True)
    found = [history.facts_of(entry, Candidate) for entry in entries if entry.facts["sha256"] == version.sha256]
    cards = [card for candidate in found[-1:] for card in candidate.scorecards if card.model == "challenger"]
    if not cards:
        notes.append(f"the ledger has no scorecard of v{version.version}")
        return None
    card = cards[0]
    return Scorecard(f"v{version.version}", card.rows_of, card.rows, card.positives, card.measures)


def _on_the_same_rows(
    stores: Stores, project: Project, origins: list[Origin], bundles: list[Bundle | None]
) -> tuple[tuple[Scorecard, ...], Gain]:
    """Scorecards of both on the newest rows that neither was fitted on, and the other's gain over the one."""
    one, other = bundles
    against = f"v{origins[0].version}"
    ground = unseen(stores, project, *(made_from.fitted_through for made_from in origins))
    if not one or not other or ground.version is None or ground.missing:
        why = ground.missing or "the files of one of them cannot be read"
        return (), Gain(against, project.gate.loss, 0, None, f"not judged on the same rows: {why}")
    table, outcomes = (versions.read(stores, ground.version, kind, [ground.period]) for kind in ("rows", "outcomes"))
    try:
        table, y, blocks = features.labelled(project, table, outcomes)
        weights = features.weights(project, table)
        designs = [features.design(features.taken_by(project, bundle.encoder), table) for bundle in (one, other)]
        said = [bundle.scores(columns) for bundle, columns in zip((one, other), designs, strict=True)]
        bounds = [
            bundle.predict(columns).bounds if bundle.interval else None for bundle, columns in zip((one, other), designs, strict=True)
        ]
    except (ConfigInvalid, InputInvalid) as err:
        return (), Gain(against, project.gate.loss, 0, None, f"not judged on the same rows: {' '.join(str(err).split())}")
    if not len(y):
        return (), Gain(against, project.gate.loss, 0, None, f"not judged on the same rows: no outcome of {ground.period} is known")
    keys = table.select(list(project.key)).combine_chunks()
    rows = Rows(keys, {}, y, blocks, "", weights)
    cards = tuple(
        metrics.card(project, f"v{made_from.version}", ground.period, y, p, blocks, bundle.threshold, weights, ends)
        for made_from, bundle, p, ends in zip(origins, (one, other), said, bounds, strict=True)
    )
    sides = [pairing.Side(keys, np.asarray(p)) for p in said]
    return cards, pairing.gain(project, rows, against, sides[1], sides[0])
