"""A training on record in MLflow: one run with its parameters, measures, leaderboard, plots and the data version it saw."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pillars.config import Project, digest
from pillars.development import writers
from pillars.errors import StoreUnavailable
from pillars.stores import Stores, locked, opening_mlflow, quiet_mlflow
from pillars.vocabulary import DataVersion, Judged, Tuned

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

CONTENT, PROCESS = "pillars.content", "pillars.process"  # tags: what the run is a function of, and who writes it
PARAM_LENGTH = 500  # longer values go to the artifacts alone; MLflow cuts at 6,000 and does not say so


def log_training(
    stores: Stores,
    project: Project,
    version: DataVersion,
    tuned: Tuned,
    judged: Judged,
    plots: Mapping[str, bytes],
    bundle_path: Path,
    tags: Mapping[str, str],
) -> str:
    """The MLflow run id of this training: one finished run per (project, data version, period, config digest), whatever dies on the way.

    `plots` are PNGs by name; `tags` are the lineage that the caller knows (code, lock, Prefect run). Of `bundle_path` the manifest is kept:
    the model itself comes with `registry.register`.

    Raises:
        StoreUnavailable: MLflow does not answer; a run that was begun is FAILED, and a repeat makes another.
        Busy: another run of this project is being logged.
    """
    content = digest([project.project, version.id, judged.period, project.digest()])
    with locked(stores.folder("mlflow") / f"{project.project}.lock", f"the MLflow experiment of {project.project}"), _translated():
        client, experiment = _open(stores, project)
        earlier = client.search_runs([experiment], f"tags.`{CONTENT}` = '{content}'", order_by=["attributes.start_time ASC"])
        _kill(client, [run for run in earlier if _left_behind(run)])
        if finished := [run for run in earlier if run.info.status == "FINISHED"]:
            return finished[0].info.run_id
        own = {CONTENT: content, PROCESS: json.dumps(writers.this_process()), "mlflow.source.name": "train", "mlflow.user": _user()}
        run = client.create_run(experiment, run_name=f"{judged.period} {judged.recipe.name}", tags={**tags, **own})
        try:
            _log(client, run.info.run_id, project, version, tuned, judged)
            _log_files(client, run.info.run_id, project, version, tuned, plots, bundle_path)
        except BaseException:
            client.set_terminated(run.info.run_id, "FAILED")
            raise
        client.set_terminated(run.info.run_id, "FINISHED")
        return run.info.run_id


def sweep(stores: Stores, project: Project) -> tuple[str, ...]:
    """Ids of the project's runs that were RUNNING though their process on this machine is dead; they are KILLED now.

    MLflow has no heartbeat: a killed run stays RUNNING for ever. Runs of other machines, and those logged by hand, are left alone.
    """
    with _translated():
        client, experiment = _open(stores, project)
        return _kill(
            client, [run for run in client.search_runs([experiment], "attributes.status = 'RUNNING'") if writers.dead(_writer(run))]
        )


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


def _log(client: MlflowClient, run_id: str, project: Project, version: DataVersion, tuned: Tuned, judged: Judged) -> None:
    """Parameters, tags, measures and the data version, in as few calls as MLflow allows: over HTTP each costs 60 to 90 ms."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

    source = json.dumps({"tags": {"dvc.branch": f"dvc-data/{project.project}", "dvc.commit": version.commit, "dvc.id": version.id}})
    profile = json.dumps({"rows": version.rows, "size_bytes": version.size_bytes, "periods": list(version.periods)})
    seen = Dataset(name=project.project, digest=version.id, source_type="code", source=source, profile=profile)
    client.log_inputs(run_id, [DatasetInput(seen, [InputTag("mlflow.data.context", "training")])])
    params = [Param(name, value) for name, value in _params(project, version, judged).items() if len(value) <= PARAM_LENGTH]
    said = {
        "decision.recipe": f"{judged.recipe_decision.outcome}: {judged.recipe_decision.reason}",
        "decision.refresh": f"{judged.refresh_decision.outcome}: {judged.refresh_decision.reason}",
        "search.verdict": tuned.verdict,
        "mlflow.note.content": _note(tuned, judged),
        "mlflow.loggedArtifacts": json.dumps([{"path": "leaderboard.json", "type": "table"}]),
    }
    now = int(time.time() * 1000)
    metrics = [*_measures(judged, now), *_search(tuned, now)]
    client.log_batch(run_id, metrics[:800], params[:90], [RunTag(k, v) for k, v in said.items()])
    for start in range(800, len(metrics), 1000):
        client.log_batch(run_id, metrics[start : start + 1000])
    for start in range(90, len(params), 100):
        client.log_batch(run_id, params=params[start : start + 100])


def _params(project: Project, version: DataVersion, judged: Judged) -> dict[str, str]:
    recipe = judged.recipe
    fixed: dict[str, Any] = {
        "period": judged.period,
        "recipe": recipe.name,
        "rounds": recipe.rounds,
        "bags": recipe.bags,
        "seed": recipe.seed,
        "threshold": judged.threshold,
        "calibration": judged.calibration.get("kind", ""),
        "data.version": version.id,
        "data.rows": version.rows,
        "config": project.digest()[:12],
        "features": len(project.features.numeric) + len(project.features.categorical),
        "search.trials": project.search.trials,
        "search.seed": project.search.seed,
    }
    return {name: str(value) for name, value in {**fixed, **{f"xgboost.{k}": v for k, v in recipe.params.items()}}.items()}


def _measures(judged: Judged, now: int) -> Iterator[Metric]:
    """`<model>/<measure>` with the ends of its interval; what is not finite is not logged (MLflow keeps infinity as 1.8e308)."""
    from mlflow.entities import Metric

    for card in judged.scorecards:
        for name, measure in card.measures.items():
            for suffix, value in (("", measure.value), (".low", measure.low), (".high", measure.high)):
                if math.isfinite(value):
                    yield Metric(_named(f"{card.model}/{name}{suffix}"), value, now, 0)
        yield Metric(_named(f"{card.model}/rows"), float(card.rows), now, 0)


def _search(tuned: Tuned, now: int) -> Iterator[Metric]:
    """Loss and seconds of the leaderboard's lines, best first: step is the rank."""
    from mlflow.entities import Metric

    for rank, tried in enumerate(tuned.leaderboard):
        if math.isfinite(tried.loss):
            yield Metric("search/loss", tried.loss, now, rank)
        yield Metric("search/seconds", tried.seconds, now, rank)


def _named(name: str) -> str:
    """As MLflow allows metric names: letters, digits and `_-. :/`."""
    return "".join(c if c.isalnum() or c in "_-. :/" else "_" for c in name)


def _log_files(
    client: MlflowClient, run_id: str, project: Project, version: DataVersion, tuned: Tuned, plots: Mapping[str, bytes], bundle_path: Path
) -> None:
    with TemporaryDirectory(prefix="pillars-run-") as folder:
        root = Path(folder)
        texts = {
            "leaderboard.json": json.dumps(_leaderboard(tuned)),
            "config.json": project.model_dump_json(indent=1),
            "lineage/data.dvc": data_dvc(version),
        }
        files = {name: text.encode() for name, text in texts.items()} | {f"plots/{name}.png": png for name, png in plots.items()}
        if (manifest := bundle_path / "manifest.json").is_file():
            files["bundle/manifest.json"] = manifest.read_bytes()
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        client.log_artifacts(run_id, folder)


def _leaderboard(tuned: Tuned) -> dict[str, Any]:
    """As MLflow's table viewer reads it (pandas' `split`)."""
    knobs = sorted({name for tried in tuned.leaderboard for name in tried.recipe.params})
    lines = [
        [rank, t.recipe.name, t.loss if math.isfinite(t.loss) else None, t.full, t.recipe.rounds, round(t.seconds, 3)]
        + [t.recipe.params.get(knob) for knob in knobs]
        for rank, t in enumerate(tuned.leaderboard)
    ]
    return {"columns": ["rank", "recipe", "loss", "full", "rounds", "seconds", *knobs], "data": lines}


def data_dvc(version: DataVersion) -> str:
    """The text that, with the remote alone, gives the data back: an empty `dvc init --no-scm` folder, this file, `dvc pull`."""
    return f"outs:\n- md5: {version.id}\n  size: {version.size_bytes}\n  hash: md5\n  path: data\n"


def _note(tuned: Tuned, judged: Judged) -> str:
    """What the run's page says first."""
    lines = [
        f"**Recipe**: {judged.recipe_decision.outcome}. {judged.recipe_decision.reason}",
        f"**Refresh**: {judged.refresh_decision.outcome}. {judged.refresh_decision.reason}",
        f"**Search**: {tuned.verdict}",
    ]
    return "\n\n".join(lines)


def _writer(run: Run) -> list[str]:
    return json.loads(run.data.tags.get(PROCESS, "[]"))


def _left_behind(run: Run) -> bool:
    """RUNNING, and nobody here writes it: the experiment's lock is ours, so even this process has given it up."""
    return run.info.status == "RUNNING" and (writers.dead(_writer(run)) or _writer(run) == writers.this_process())


def _kill(client: MlflowClient, runs: list[Run]) -> tuple[str, ...]:
    for run in runs:
        client.set_terminated(run.info.run_id, "KILLED")
    return tuple(run.info.run_id for run in runs)


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


@contextmanager
def _translated() -> Iterator[None]:
    """MLflow's errors as ours. Raises: StoreUnavailable."""
    quiet_mlflow()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as err:
        problem = " ".join(str(err).split())[:500]
        raise StoreUnavailable("MLflow", problem, "Nothing was logged as finished; see PILLARS_MLFLOW_URI, and run again.") from err
