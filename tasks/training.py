"""Pillar 3: search, judge, refit. No retries: the same seed gives the same answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pillars.bundle import folder
from pillars.bundle.bundle import Bundle
from pillars.data import versions
from pillars.deployment import release
from pillars.development import features, models
from pillars.errors import BundleRefused
from pillars.monitoring import lineage, worktree
from pillars.training import backtest as backtesting
from pillars.training import behaving, conditions, judging, own, refitting, rows, tuning
from pillars.training import leakage as leaks
from pillars.training.splits import Part
from pillars.vocabulary import Backtest, Candidate, Condition, DataVersion, Decision, Json, Judged, Leakage, Tuned
from tasks import progress, show
from tasks.opened import Opened
from tasks.policy import step


@dataclass(frozen=True)
class Fitted:
    """A bundle that may be released: `path` relative to `var`, `sha256` its identity, `passed` the checks on it."""

    path: str
    sha256: str
    fitted_through: str
    passed: Decision
    conditions: tuple[Condition, ...] = ()  # what the YAML asks of the bundle itself


def champion_of(opened: Opened) -> Bundle | None:
    """The bundle that answers now."""
    rollout = opened.answering()
    return release.load(opened.stores, rollout.champion) if rollout else None


def kept(opened: Opened, candidate: Candidate) -> bool:
    """Whether a candidate still is what was put on record, or went on to the registry; else its folder is taken away, to be made again.

    One from uncommitted code is made again, too, where the YAML refuses those and the code is committed now.
    """
    path = opened.stores.var / candidate.path
    try:
        found = Bundle.load(path).held_to(candidate.sha256, candidate.digest)
        strict = opened.config.registry.dirty_tree == "refuse"
        return not strict or bool(lineage.committed(found.lineage)) or not lineage.committed(lineage.code_state(opened.stores.root))
    except BundleRefused:
        if opened.past.judged(candidate):
            return True
        folder.clear(path)
        return False


def replacing(lost: Candidate | None, made: Candidate) -> dict[str, Json]:
    """What the inputs of a candidate say beside its own, when it takes the place of another one that was lost."""
    return {"replaces": lost.digest} if lost and lost.digest != made.digest else {}


def labelled(opened: Opened, version: DataVersion) -> rows.Read:
    """Rows with known outcomes of one data version."""
    return features.reader(opened.config, version.id, opened.read(version), versions.contents(opened.stores, version))


@step("look for leaks")
def look_for_leaks(opened: Opened, version: DataVersion, until: str) -> Leakage:
    """Every feature held against the outcomes of the newest rows."""
    return leaks.look(opened.config, opened.read(version), opened.known(version, until), until)


def leakage(opened: Opened, version: DataVersion, until: str) -> Leakage:
    """Whether a feature tells the outcome too well; a refusal is put on record, once for each state of data and settings."""
    settings = opened.config.section_digest(*opened.config.learning, "leakage")
    inputs: dict[str, Json] = {"period": until, "data_version": version.id, "settings": settings}
    found = opened.recall("leakage", inputs, Leakage)
    if found is None:
        found = look_for_leaks(opened, version, until)
    if not found:
        opened.record("leakage", inputs, found.decision, found)
        show.leakage(found)
    return found


@step("search")
def tune(opened: Opened, version: DataVersion, until: str) -> Tuned:
    """Recipes by their loss on the newest period that the judges will not use."""
    champion, stock, fixed = champion_of(opened), models.stock_recipe(opened.config), [models.prior_recipe(opened.config)]
    if champion:
        fixed.append(judging.recipe_of(champion))
    if opened.config.search.recipe:
        fixed.append(own.recipe(opened.config))
    tell = progress.search(f"search {opened.name} {until}")
    return tuning.tune(opened.stores, opened.config, labelled(opened, version), opened.known(version, until), until, stock, fixed, tell)


@step("judge challenger")
def judge(opened: Opened, version: DataVersion, until: str, tuned: Tuned, against_champion: bool = True) -> Judged:
    """Recipe and refresh decisions on rows that neither side has seen."""
    champion = champion_of(opened) if against_champion else None
    through = str(champion.lineage["fitted_through"]) if champion else None
    periods = opened.known(version, until)
    read, live_read, gone = labelled(opened, version), None, list[str]()
    if champion:
        takes = features.taken_by(opened.config, champion.encoder)
        if takes.features.named - opened.config.features.named:  # rare, and the rows have to be read once more
            gone = features.lacking(takes, opened.read(version)("rows", [until]))
            live_read = features.reader(takes, version.id, opened.read(version), versions.contents(opened.stores, version))
    return judging.judge(opened.stores, opened.config, read, periods, until, tuned, champion, through, opened.write, live_read, gone)


@step("backtest")
def _backtest(opened: Opened, version: DataVersion, until: str, tuned: Tuned, judged: Judged) -> Backtest:
    config, given = opened.config, (opened.stores, opened.config, labelled(opened, version), opened.known(version, until), until)
    origins = backtesting.backtest(*given, judged.recipe)
    stock, fixed = models.stock_recipe(config), [models.prior_recipe(config)]
    return backtesting.joined(
        config, origins, backtesting.nested(*given, tuned, stock, fixed, lambda at: progress.search(f"nested search {opened.name} {at}"))
    )


def backtest(opened: Opened, version: DataVersion, until: str, tuned: Tuned, judged: Judged) -> Judged:
    """With how the winner, and where that is asked for the search, would have done at earlier moments."""
    asked = opened.config.backtest
    return replace(judged, backtest=_backtest(opened, version, until, tuned, judged)) if asked.origins or asked.nested else judged


@step("refit through newest period")
def refit(opened: Opened, version: DataVersion, until: str, judged: Judged) -> Fitted:
    """The winning recipe fitted on everything known, as a bundle that passed its checks or says why not."""
    made_by = {"data_version": version.id, "config": opened.config.digest(), **lineage.code_state(opened.stores.root)}
    if made_by["dirty"]:
        made_by["patch"] = worktree.keep(opened.stores, opened.name)
    periods = opened.known(version, until)
    read = labelled(opened, version)
    fitted = Fitted(*refitting.refit(opened.stores, opened.config, read, periods, until, judged, made_by))
    bundle = Bundle.load(opened.stores.var / fitted.path, opened.stores.threads)
    behaved = behaving.behaved(opened.config, bundle, rows.gather(read, Part((until,)))) if opened.config.behaviour else ()
    return replace(fitted, conditions=(*conditions.of_bundle(opened.config, bundle), *behaved))
