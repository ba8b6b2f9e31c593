"""A training on record in MLflow: a run with parameters, measures, leaderboard, plots and the data version it saw; its trials below it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pillars.config import Project, digest
from pillars.development import run_content, writers
from pillars.stores import Stores, locked, scratch, user_name
from pillars.tracking import mlflow_errors, opening_mlflow
from pillars.vocabulary import Change, DataVersion, Gain, Judged, Tuned

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

CONTENT, PROCESS = "pillars.content", "pillars.process"  # tags: what the run is a function of, and who writes it
PARENT = "mlflow.parentRunId"  # tag by which MLflow shows one run below another
LEFT = "Nothing was logged as finished"
EXPERIMENT = "experiment"  # tag of a run whose settings are not those of the YAML
MOST_TRIALS = 100  # runs below a training's, the best: one costs 14 ms on SQLite, 60 to 80 over HTTP; the leaderboard holds all
PARAM_LENGTH = 500  # longer values go to the artifacts alone; MLflow cuts at 6,000 and does not say so


def log_training(
    stores: Stores,
    project: Project,
    version: DataVersion,
    tuned: Tuned,
    judged: Judged,
    plots: Mapping[str, bytes],
    bundle_path: Path | None,
    tags: Mapping[str, str],
    changes: Sequence[Change] = (),
    gains: Sequence[Gain] = (),
) -> str:
    """The MLflow run id of this training: one finished run per (project, data version, period, config, bundle), whatever dies on the way.

    Each line of the leaderboard is a run of its own below it, for MLflow to compare. `plots` are PNGs by name; `tags` are the lineage that
    the caller knows (code, lock, Prefect run). Of `bundle_path` the manifest is kept: the model itself comes with `registry.register`.
    `changes` make it an experiment, which has no bundle; `gains` are what it was compared with.

    Raises:
        StoreUnavailable: MLflow does not answer; a run that was begun is FAILED, and a repeat makes another.
        Busy: another run of this project is being logged.
    """
    manifest = _manifest(bundle_path) if bundle_path else b""
    compared = [[*map(asdict, changes), *map(asdict, gains)]] if changes else []
    content = digest([project.project, version.id, judged.period, project.digest(), hashlib.sha256(manifest).hexdigest(), *compared])
    with locked(stores.folder("mlflow") / f"{project.project}.writing", f"the MLflow experiment of {project.project}"), mlflow_errors(LEFT):
        client, experiment = _open(stores, project)
        _kill(client, experiment, [run for run in _running(client, experiment) if _left_behind(run)])
        earlier = client.search_runs([experiment], f"tags.`{CONTENT}` = '{content}'", order_by=["attributes.start_time ASC"])
        if finished := [run for run in earlier if run.info.status == "FINISHED"]:
            return finished[0].info.run_id
        own = {CONTENT: content, **_ours(), **({EXPERIMENT: run_content.changed(changes)} if changes else {})}
        name = f"{judged.period} {'experiment' if changes else judged.recipe.name}"
        run = client.create_run(experiment, run_name=name, tags={**tags, **own})
        try:
            _log(client, run, project, version, tuned, judged, changes, gains)
            for rank in range(min(len(tuned.leaderboard), MOST_TRIALS)):
                _log_trial(client, run, tuned, rank)
            _log_files(client, run.info.run_id, _files(project, version, tuned, judged, plots, manifest))
        except BaseException:
            _fail(client, run.info.run_id)
            raise
        client.set_terminated(run.info.run_id, "FINISHED")
        return run.info.run_id


def sweep(stores: Stores, project: Project) -> tuple[str, ...]:
    """Ids of the project's runs that were RUNNING though their process on this machine is dead; they are KILLED now.

    MLflow has no heartbeat: a killed run stays RUNNING for ever. Runs of other machines, and those logged by hand, are left alone.
    """
    with mlflow_errors(LEFT):
        client, experiment = _open(stores, project)
        return _kill(client, experiment, [run for run in _running(client, experiment) if writers.dead(_writer(run))])


def config_of(stores: Stores, run_id: str) -> dict[str, Any]:
    """The settings of a training, as its run has them; empty where it has none, or is gone. Raises: StoreUnavailable."""
    with opening_mlflow(stores) as uri:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        client = MlflowClient(uri, uri)
    with mlflow_errors("Nothing was changed"), scratch("config") as folder:
        try:
            content = Path(client.download_artifacts(run_id, "config.json", str(folder))).read_bytes()
            found: dict[str, Any] = json.loads(content)
            return found
        except (MlflowException, OSError, ValueError):
            return {}


def _open(stores: Stores, project: Project) -> tuple[MlflowClient, str]:
    """A client, and the id of the project's experiment."""
    with opening_mlflow(stores) as uri:
        from mlflow import MlflowClient

        client = MlflowClient(uri, uri)
        found = client.get_experiment_by_name(project.project)
        if found is None:
            kind = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": project.description}
            return client, client.create_experiment(project.project, stores.artifacts_uri, kind)
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return client, found.experiment_id


def _log(
    client: MlflowClient,
    run: Run,
    project: Project,
    version: DataVersion,
    tuned: Tuned,
    judged: Judged,
    changes: Sequence[Change],
    gains: Sequence[Gain],
) -> None:
    """Parameters, tags, measures and the data version, in as few calls as MLflow allows: over HTTP each costs 60 to 90 ms."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    source = json.dumps({"tags": {"dvc.branch": f"dvc-data/{project.project}", "dvc.commit": version.commit, "dvc.id": version.id}})
    profile = json.dumps({"rows": version.rows, "size_bytes": version.size_bytes, "periods": list(version.periods)})
    seen = Dataset(name=project.project, digest=version.id, source_type="code", source=source, profile=profile)
    client.log_inputs(run.info.run_id, [DatasetInput(seen, [InputTag("mlflow.data.context", "training")])])
    told = run_content.params(project, version, judged) | run_content.settings(changes)
    params = [Param(name, value) for name, value in told.items() if len(value) <= PARAM_LENGTH]
    said = {
        "decision.recipe": f"{judged.recipe_decision.outcome}: {judged.recipe_decision.reason}",
        "decision.refresh": f"{judged.refresh_decision.outcome}: {judged.refresh_decision.reason}",
        **{f"condition.{one.name}": f"{one.decision.outcome}: {one.decision.reason}" for one in judged.conditions},
        "search.verdict": tuned.verdict,
        "mlflow.note.content": run_content.note(tuned, judged, changes, gains),
        "mlflow.loggedArtifacts": json.dumps([{"path": "leaderboard.json", "type": "table"}]),
    }
    run_id, at = run.info.run_id, run.info.start_time
    points = [*run_content.measures(judged), *run_content.gains(gains), *run_content.search(tuned), *run_content.backtest(judged.backtest)]
    metrics = [Metric(name, value, at, step) for name, value, step in points]
    client.log_batch(run_id, metrics[:800], params[:90], [RunTag(k, v) for k, v in said.items()])
    for start in range(800, len(metrics), 1000):
        client.log_batch(run_id, metrics[start : start + 1000])
    for start in range(90, len(params), 100):
        client.log_batch(run_id, params=params[start : start + 100])


def _log_trial(client: MlflowClient, parent: Run, tuned: Tuned, rank: int) -> None:
    """One line of the leaderboard as a run below its training's."""
    from mlflow.entities import Metric, Param

    tried = tuned.leaderboard[rank]
    run = client.create_run(parent.info.experiment_id, run_name=tried.recipe.name, tags={PARENT: parent.info.run_id, **_ours()})
    run_id, at = run.info.run_id, run.info.start_time
    try:
        params = [Param(name, value) for name, value in run_content.trial_params(tried).items() if len(value) <= PARAM_LENGTH]
        client.log_batch(run_id, [Metric(name, value, at, 0) for name, value in run_content.trial(tried, rank)], params[:100])
    except BaseException:
        _fail(client, run_id)
        raise
    client.set_terminated(run_id, "FINISHED")


def _files(
    project: Project, version: DataVersion, tuned: Tuned, judged: Judged, plots: Mapping[str, bytes], manifest: bytes
) -> dict[str, bytes]:
    """Content by path in the run's artifacts."""
    texts = {
        "leaderboard.json": json.dumps(run_content.leaderboard(tuned)),
        "config.json": project.model_dump_json(indent=1),
        "lineage/data.dvc": run_content.data_dvc(version),
    }
    if judged.backtest.said:
        texts["backtest.json"] = json.dumps(asdict(judged.backtest), indent=1)
    files = {name: text.encode() for name, text in texts.items()} | {f"plots/{name}.png": png for name, png in plots.items()}
    return files | ({"bundle/manifest.json": manifest} if manifest else {})


def _log_files(client: MlflowClient, run_id: str, files: Mapping[str, bytes]) -> None:
    with scratch("run") as folder:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        client.log_artifacts(run_id, str(folder))


def _manifest(bundle_path: Path) -> bytes:
    """The bundle's manifest: it names every byte of the bundle. Empty where there is none."""
    file = bundle_path / "manifest.json"
    return file.read_bytes() if file.is_file() else b""


def _fail(client: MlflowClient, run_id: str) -> None:
    """Mark the run FAILED, if MLflow still answers; if not, the next attempt or `sweep` kills it."""
    with suppress(Exception):  # why it failed is on its way already
        client.set_terminated(run_id, "FAILED")


def _writer(run: Run) -> list[str]:
    return json.loads(run.data.tags.get(PROCESS, "[]"))


def _left_behind(run: Run) -> bool:
    """RUNNING, and nobody here writes it: the experiment's lock is ours, so even this process has given it up."""
    return run.info.status == "RUNNING" and (writers.dead(_writer(run)) or _writer(run) == writers.this_process())


def _ours() -> dict[str, str]:
    """Tags of every run that we write."""
    return {PROCESS: json.dumps(writers.this_process()), "mlflow.source.name": "train", "mlflow.user": user_name()}


def _running(client: MlflowClient, experiment: str) -> list[Run]:
    return list(client.search_runs([experiment], "attributes.status = 'RUNNING'"))


def _kill(client: MlflowClient, experiment: str, runs: list[Run]) -> tuple[str, ...]:
    """Runs as KILLED; first those below them, finished or not: whoever repeats the training writes them again."""
    for run in runs:
        for below in client.search_runs([experiment], f"tags.`{PARENT}` = '{run.info.run_id}'"):
            client.set_terminated(below.info.run_id, "KILLED")
        client.set_terminated(run.info.run_id, "KILLED")
    return tuple(run.info.run_id for run in runs)
