"""The year without a platform: one script over the same libraries, as somebody writes it who needs the numbers and not the promises.

    python -m bench.plain flights 2013-03        # in a clone of its own: it makes data/, data.dvc and a DVC repository

In it is the loop's whole work, by month: Great Expectations over the same suite with its page and quarantine; the same Parquet partitions
added to DVC, pushed and committed; predictions of the month by the champion; Evidently's drift and quality into the same workspace;
Optuna's trials, XGBoost's fits and refits, calibration, threshold, bootstraps and baselines; one MLflow run with the same content, pictures
and model, registered and aliased. Formulas are the pillars' pure functions. What was fitted once is remembered, tables stay in memory.

Left out is what makes it a platform: Prefect, ledger, locks, refusals and their counterfactuals on record, recall of finished steps, a
journal of the search, files written so that a kill leaves no half of one, hashes checked before reading, exported releases and a traffic
policy. It believes in the schema, retrains every month, and cannot be run twice.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.found import Month
from pillars import project_file
from pillars.bundle import booster
from pillars.bundle.bundle import Bundle
from pillars.bundle.calibration import apply
from pillars.config import Project, Range
from pillars.data import cleaning, collection, validation, validation_page
from pillars.data.parquet import parquet_bytes
from pillars.data.quarantine import failing, set_aside, unmatched
from pillars.data.ready import Came
from pillars.data.schema import alike, conform
from pillars.development import features, models, run_content
from pillars.monitoring import drift as evidently
from pillars.monitoring import packaging, performance
from pillars.stores import Stores
from pillars.training import baselines, calibrating, gate, metrics, plots, refitting, tuning
from pillars.training.fitting import Ground, fit, fit_until_stopped
from pillars.training.judging import recipe_of
from pillars.training.rows import Rows, gather, newest
from pillars.training.splits import Part, Plan, plan
from pillars.vocabulary import DataVersion, Decision, Judged, Recipe, Scorecard, Tried, Tuned, Validation


@dataclass
class Desk:
    """What the script keeps in memory: tables by kind and period, held-out probabilities, and who answers."""

    stores: Stores
    project: Project
    repo: Any
    tables: dict[str, dict[str, pa.Table]] = field(default_factory=lambda: {"rows": {}, "outcomes": {}})
    predicted: dict[str, np.ndarray] = field(default_factory=dict)
    stopped: dict[str, tuple[Recipe, np.ndarray]] = field(default_factory=dict)
    champion: Bundle | None = None

    def read(self, kind: str, periods: Sequence[str]) -> pa.Table:
        """Some months of one kind."""
        return pa.concat_tables([self.tables[kind][p] for p in periods], promote_options="permissive")

    def rows(self, part: Part) -> Rows:
        """Labelled rows of a part; each month is designed once."""
        return gather(features.reader(self.project, str(id(self)), self.read), part)


def year(stores: Stores, name: str, last: str) -> list[Month]:
    """Every month through `last`."""
    project = project_file.load(stores.config_file(name))
    source, desk, found = collection.open_source(stores, project), Desk(stores, project, dvc_repository(stores)), []
    for period in [p for p in source.periods() if p <= last]:
        rows, outcomes = collect(desk, source, period)
        version = publish(desk, period, *check(desk, period, rows, outcomes))
        predictions = score(desk, period) if desk.champion else None
        drift(desk, period)
        card = quality(desk, period, predictions) if predictions else None
        tuned = search(desk, period)
        judged, sides, y = judge(desk, period, tuned)
        model = refit(desk, period, judged)
        run_id = log(desk, period, version, tuned, judged, sides, y, model)
        register(desk, run_id, model, judged)
        found.append(Month(period, version.id, model.identity, card.measures["log_loss"].value if card else None))
    return found


# ------------------------------------------------------------------------------------------------------------------------------ data
def dvc_repository(stores: Stores) -> Any:
    """`dvc init` and `dvc remote add -d local var/remote` in the clone."""
    from dvc.repo import Repo

    with Repo.init(str(stores.root)) as repo, repo.config.edit() as edited:
        edited["core"] |= {"remote": "local", "analytics": False, "check_update": False}
        edited["remote"]["local"] = {"url": str(stores.folder("remote"))}
    return Repo(str(stores.root))


def collect(desk: Desk, source: collection.Source, period: str) -> tuple[pa.Table, pa.Table]:
    """What the source gives, kept as it came."""
    return kept(desk, period, "rows", source.rows(period)), kept(desk, period, "outcomes", source.outcomes(period))


def kept(desk: Desk, period: str, kind: str, table: pa.Table) -> pa.Table:
    """A table as Parquet holds it."""
    path = desk.stores.folder("raw") / f"{period}-{kind}.parquet"
    pq.write_table(table, path, compression="zstd")
    return pq.read_table(path)


def check(desk: Desk, period: str, rows: pa.Table, outcomes: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows and outcomes that passed, sorted by key; the others in one file."""
    project = desk.project
    rows = conform(project, rows, project.row_columns)
    outcomes = alike(conform(project, outcomes, project.outcome_columns), rows.schema, project.key)
    checks, masks = validation.validate(project, period, rows, outcomes, period)
    bad = failing(masks["rows"], rows.num_rows)
    masks["outcomes"].update(unmatched(project.key, rows, bad, outcomes))
    decision = cleaning.judge(project, checks, masks, rows, outcomes)
    assert decision, decision.reason
    validation_page.write_page(desk.stores, Validation(project.project, period, rows.num_rows, int(bad.sum()), checks, decision))
    order = [(name, "ascending") for name in project.key]
    good: list[pa.Table] = []
    aside: list[pa.Table] = []
    for kind, table in (("rows", rows), ("outcomes", outcomes)):
        fails = failing(masks["rows" if kind == "rows" else "outcomes"], table.num_rows)
        good.append(table.filter(pa.array(~fails)).sort_by(order))
        aside.append(set_aside(kind, fails, masks["rows" if kind == "rows" else "outcomes"], Came(table, lambda rows: rows)))
    both = pa.concat_tables(aside, promote_options="permissive")
    if both.num_rows:
        pq.write_table(both, desk.stores.folder("quarantine") / f"{period}.parquet")
    return good[0], good[1]


def publish(desk: Desk, period: str, rows: pa.Table, outcomes: pa.Table) -> DataVersion:
    """Two partitions more; `dvc add data`, `dvc push`, `git commit data.dvc`."""
    root, name = desk.stores.root, desk.project.project
    for kind, table in (("rows", rows), ("outcomes", outcomes)):
        path = root / "data" / name / kind / f"{period}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(parquet_bytes(table))
        desk.tables[kind][period] = pq.read_table(path)
    (stage,) = desk.repo.add(str(root / "data"))
    desk.repo.push()
    who = ["-c", "user.name=A User", "-c", "user.email=user@example.org"]
    for command in (["add", "data.dvc", ".dvc/config"], [*who, "commit", "-q", "-m", f"{name} {period}"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, check=True, capture_output=True, text=True).stdout.strip()
    (out,) = stage.outs
    known = desk.tables["rows"]
    return DataVersion(name, out.hash_info.value, commit, None, sum(t.num_rows for t in known.values()), out.meta.size, tuple(known))


# ------------------------------------------------------------------------------------------------------------------------ monitoring
def score(desk: Desk, period: str) -> pa.Table:
    """The month's predictions by the champion, written before anybody looks at its outcomes."""
    assert desk.champion
    rows = desk.tables["rows"][period]
    predicted = desk.champion.predict(features.design(desk.project, rows))
    key = dict.fromkeys((*desk.project.key, desk.project.time))
    table = pa.table({**{k: rows[k] for k in key}, "score": pa.array(predicted.score), "decision": pa.array(predicted.decision)})
    pq.write_table(table, desk.stores.folder("predictions") / f"{period}.parquet", compression="zstd")
    return table


def drift(desk: Desk, period: str) -> None:
    """Evidently against all earlier months."""
    if earlier := [p for p in desk.tables["rows"] if p < period]:
        reference, current = desk.read("rows", earlier), desk.read("rows", [period])
        evidently.compare(desk.stores, desk.project, period, reference, current, f"{earlier[0]} to {earlier[-1]}")


def quality(desk: Desk, period: str, predictions: pa.Table) -> Scorecard | None:
    """How good the predictions turned out to be: Evidently's report, and measures with their intervals."""
    project, outcomes, champion = desk.project, desk.tables["outcomes"][period], desk.champion
    assert champion
    evidently.quality(desk.stores, project, period, performance.joined(project, predictions, outcomes))

    def card(y: np.ndarray, p: np.ndarray, blocks: np.ndarray) -> Scorecard:
        bootstrap = project.search.seed, project.gate.resamples
        return metrics.scorecard("champion", period, y, p, blocks, champion.threshold, project.cost, *bootstrap)

    return performance.realized(project, predictions, outcomes, card)


# -------------------------------------------------------------------------------------------------------------------------- training
def parts_of(desk: Desk, until: str) -> Plan:
    """Which months are searched, fitted and judged on."""
    return plan(desk.project, list(desk.tables["outcomes"]), until)


def search(desk: Desk, period: str) -> Tuned:
    """Optuna's trials on the newest rows, then the best one against stock, prior and the champion's recipe on all rows."""
    project, settings, parts = desk.project, desk.project.search, parts_of(desk, period)
    fit_rows, valid = desk.rows(parts.search_fit), desk.rows(parts.validate)
    ground, sample = Ground(project, fit_rows), Ground(project, newest(fit_rows, settings.rows))
    fixed, stock = [models.prior_recipe(project)], models.stock_recipe(project)
    if desk.champion and not tuning.same(recipe_of(desk.champion), fixed[0]):
        fixed.append(recipe_of(desk.champion))
    asked = sample.encoder.encode(valid.columns)
    sample.matrix(stock, desk.stores.threads)

    def trial(params: dict[str, Any]) -> Tried:
        recipe = Recipe("trial", {"max_bin": settings.max_bin, **params}, settings.max_rounds, settings.seed)
        stopped, p = early(desk, sample, valid, asked, recipe, 1)
        return Tried(stopped, loss(project, valid, p), False, 0.0)

    trials = [replace(t, recipe=replace(t.recipe, name=f"trial {i}")) for i, t in enumerate(optimised(project, trial))]
    best = min(trials, key=lambda one: one.loss).recipe
    standing = [(recipe, held_out(desk, ground, valid, recipe)) for recipe in fixed]
    encoded = ground.encoder.encode(valid.columns)
    for recipe in (stock, replace(best, name="searched", rounds=settings.max_rounds)):
        stopped, p = early(desk, ground, valid, encoded, recipe, desk.stores.threads)
        desk.predicted[named(ground, valid, stopped)] = p
        standing.append((replace(stopped, name=recipe.name), p))
    standing.sort(key=lambda one: loss(project, valid, one[1]))
    searched = next(one for one in standing if one[0].name == "searched")
    known = next(one for one in standing if one is not searched)
    gain = gate.paired_gain(project.gate, valid.y, known[1], searched[1], valid.blocks, settings.seed)
    first = searched if gain.low > project.gate.margin else known
    board = [Tried(r, loss(project, valid, p), True, 0.0) for r, p in [first, *(one for one in standing if one is not first)]]
    return Tuned(project.project, period, (*board, *sorted(trials, key=lambda one: one.loss)), f"gain {gain} over {known[0].name}", "")


def optimised(project: Project, trial: Any) -> Iterator[Tried]:
    """Optuna in batches of threads: ask, fit, tell."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings, study = project.search, optuna.create_study(direction="minimize")
    space = {name: distribution(one) for name, one in settings.space.items()}
    with ThreadPoolExecutor(settings.workers) as threads:
        for start in range(0, settings.trials, settings.batch):
            asked = []
            for place in range(start, min(start + settings.batch, settings.trials)):
                seed = int(np.random.default_rng([settings.seed, place]).integers(2**31))
                study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, multivariate=True, constant_liar=True)
                asked.append(study.ask(space))
            for one, tried in zip(asked, list(threads.map(trial, [a.params for a in asked])), strict=True):
                study.tell(one, tried.loss)
                yield tried


def distribution(one: Range) -> Any:
    """A range of the YAML as Optuna's."""
    from optuna.distributions import FloatDistribution, IntDistribution

    whole = isinstance(one.low, int) and isinstance(one.high, int)
    return IntDistribution(one.low, one.high, log=one.log) if whole else FloatDistribution(one.low, one.high, log=one.log)


def loss(project: Project, valid: Rows, p: np.ndarray) -> float:
    """Mean loss of probabilities, shape (n,)."""
    return float(metrics.losses(project.gate.loss, valid.y, p).mean())


def named(on: Ground, judged: Rows, recipe: Recipe) -> str:
    """A fit's name: this month's twin is the next month's candidate."""
    return json.dumps([recipe.params, recipe.rounds, recipe.seed, on.rows.digest, judged.digest], sort_keys=True)


def early(desk: Desk, on: Ground, valid: Rows, asked: np.ndarray, recipe: Recipe, threads: int) -> tuple[Recipe, np.ndarray]:
    """The recipe stopped early, and its probabilities; a sample that is all rows is not fitted twice."""
    name = named(on, valid, recipe)
    if name not in desk.stopped:
        desk.stopped[name] = fit_until_stopped(on, asked, valid.y, recipe, desk.project.search.early_stopping, threads)
    return desk.stopped[name]


def held_out(desk: Desk, on: Ground, judged: Rows, recipe: Recipe) -> np.ndarray:
    """Probabilities of rows that the recipe was not fitted on."""
    name = named(on, judged, recipe)
    if name not in desk.predicted:
        boosters = booster.load(fit(on, recipe, desk.stores.threads))
        desk.predicted[name] = booster.scores(boosters, on.encoder.encode(judged.columns))
    return desk.predicted[name]


def judge(desk: Desk, period: str, tuned: Tuned) -> tuple[Judged, dict[str, np.ndarray], np.ndarray]:
    """Is the new recipe better, and may the winner be released? With the probabilities of all sides and the outcomes, for the pictures."""
    project, parts, champion = desk.project, parts_of(desk, period), desk.champion
    ground, judged, seed = Ground(project, desk.rows(parts.twin_fit)), desk.rows(parts.judge_on), project.search.seed
    live = champion.predict(judged.columns).score if champion else None
    if champion and champion.lineage["fit_digest"] == ground.rows.digest:
        desk.predicted[named(ground, judged, recipe_of(champion))] = champion.raw(judged.columns)
    winner = tuned.recipe
    twin = held_out(desk, ground, judged, winner)
    if champion and tuning.same(winner, recipe_of(champion)):
        winner, recipe_decision = recipe_of(champion), Decision.refuse("the champion's own recipe")
    else:
        base = held_out(desk, ground, judged, recipe_of(champion)) if champion else baselines.constant(project, ground.rows, len(judged.y))
        recipe_decision = gate.judge_recipe(project.gate, judged.y, base, twin, judged.blocks, seed, "the known one")
        if champion and not recipe_decision:
            winner, twin = recipe_of(champion), base
    seen = next(outlooks(desk, parts, winner))
    calibration = calibrating.chosen(project.gate, outlooks(desk, parts, winner), seed)
    acting = calibrating.threshold(project.cost, project.gate.min_rows, seen.y, apply(calibration, seen.p))
    sides = {"challenger": (apply(calibration, twin), acting)}
    refresh = recipe_decision
    if champion and live is not None:
        sides["champion"] = live, champion.threshold
        refresh = gate.judge_refresh(project.gate, judged.y, live, sides["challenger"][0], judged.blocks, seed)
    theory = calibrating.theoretical(project.cost)
    sides["logistic"] = baselines.linear(project, ground.rows, judged), theory
    sides["majority"] = baselines.constant(project, ground.rows, len(judged.y)), theory
    bootstrap = project.cost, seed, project.gate.resamples
    cards = tuple(metrics.scorecard(n, period, judged.y, p, judged.blocks, at, *bootstrap) for n, (p, at) in sides.items())
    made = Judged(project.project, period, winner, recipe_decision, refresh, cards, calibration, acting, "")
    return made, {name: p for name, (p, _) in sides.items()}, judged.y


def outlooks(desk: Desk, parts: Plan, recipe: Recipe) -> Iterator[calibrating.Outlook]:
    """Held-out predictions of the validation month, the one before it, and so on."""
    while True:
        valid, ground = desk.rows(parts.validate), Ground(desk.project, desk.rows(parts.search_fit))
        yield calibrating.Outlook(valid.y, held_out(desk, ground, valid, recipe), valid.blocks)
        if parts.validate.cuts:
            return
        parts = parts_of(desk, parts.validate.periods[-1])


def refit(desk: Desk, period: str, judged: Judged) -> Bundle:
    """The winner fitted on everything known, saved with its encoder, calibration and threshold."""
    known, read = list(desk.tables["outcomes"]), features.reader(desk.project, str(id(desk)), desk.read)
    path, *_, passed = refitting.refit(desk.stores, desk.project, read, known, period, judged, {})
    assert passed, passed.reason
    return Bundle.load(desk.stores.var / path)


# ----------------------------------------------------------------------------------------------------------------------- experiments
def log(
    desk: Desk, period: str, version: DataVersion, tuned: Tuned, judged: Judged, sides: dict[str, np.ndarray], y: np.ndarray, model: Bundle
) -> str:
    """One MLflow run with parameters, measures, data version, leaderboard and pictures; its id."""
    import mlflow
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric

    mlflow.set_tracking_uri(desk.stores.tracking_uri)
    if mlflow.get_experiment_by_name(version.project) is None:
        mlflow.create_experiment(version.project, desk.stores.artifacts_uri)
    mlflow.set_experiment(version.project)
    with mlflow.start_run(run_name=f"{period} {judged.recipe.name}") as run, tempfile.TemporaryDirectory() as folder:
        client, run_id = mlflow.MlflowClient(), run.info.run_id
        seen = Dataset(version.project, version.id, "code", json.dumps({"dvc.commit": version.commit}))
        client.log_inputs(run_id, [DatasetInput(seen, [InputTag("mlflow.data.context", "training")])])
        mlflow.log_params(run_content.params(desk.project, version, judged))
        points = [*run_content.measures(judged), *run_content.search(tuned)]
        client.log_batch(run_id, [Metric(name, value, run.info.start_time, step) for name, value, step in points])
        mlflow.set_tag("mlflow.note.content", run_content.note(tuned, judged))
        for name, content in files(desk, version, tuned, judged, sides, y, model).items():
            Path(folder, name).parent.mkdir(exist_ok=True)
            Path(folder, name).write_bytes(content)
        mlflow.log_artifacts(folder)
    return run_id


def files(
    desk: Desk, version: DataVersion, tuned: Tuned, judged: Judged, sides: dict[str, np.ndarray], y: np.ndarray, model: Bundle
) -> dict[str, bytes]:
    """Files of a run by path."""
    return {
        "leaderboard.json": json.dumps(run_content.leaderboard(tuned)).encode(),
        "config.json": desk.project.model_dump_json(indent=1).encode(),
        "lineage/data.dvc": run_content.data_dvc(version).encode(),
        "bundle/manifest.json": (model.path / "manifest.json").read_bytes(),
        "plots/reliability.png": plots.reliability(y, sides, judged.period),
        "plots/roc_pr.png": plots.roc_pr(y, sides, judged.period),
        "plots/importance.png": plots.importance(model.gains()),
        "plots/search.png": plots.search_history(tuned.leaderboard),
    }


def register(desk: Desk, run_id: str, model: Bundle, judged: Judged) -> None:
    """The model in MLflow, as code that loads without this project; the alias and the champion move when the gate says so."""
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        package, script = packaging.stage_code(Path(folder)), Path(folder, "served_model.py")
        script.write_text(packaging.model_code(package.name))
        sys.path.insert(0, folder)
        with mlflow.start_run(run_id=run_id):
            made = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(script),
                artifacts={"bundle": str(model.path)},
                code_paths=[str(package)],
                pip_requirements=packaging.requirements(),
                signature=packaging.signature(model),
                registered_model_name=desk.project.project,
            )
        sys.path.remove(folder)
        for name in [n for n in sys.modules if n.startswith(package.name)]:
            del sys.modules[name]
    if judged.refresh_decision:
        mlflow.MlflowClient().set_registered_model_alias(desk.project.project, "champion", made.registered_model_version)
        desk.champion = model


if __name__ == "__main__":
    for month in year(Stores(), *sys.argv[1:]):
        print(month)
