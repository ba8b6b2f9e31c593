"""The MLflow registry: release bundles as ordinary MLflow models, one version per bundle. Who is champion, the ledger decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from pillars.bundle.bundle import Bundle
from pillars.config import Project
from pillars.errors import UnknownName
from pillars.monitoring import packaging
from pillars.stores import Stores, locked, scratch
from pillars.tracking import mlflow_errors, opening_mlflow
from pillars.vocabulary import ModelVersion

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion
    from mlflow.entities.model_registry import RegisteredModel

ALIAS = "champion"
LEFT = "The ledger is as it was"
SHA256, DIGEST = "model.sha256", "bundle.sha256"  # tags: the boosters' identity, and everything in the bundle
THREADS = "threads"  # tag of run and version: in no bundle, for it changes no byte
LINEAGE, PATCH = "lineage", "uncommitted.patch"  # in a model's folder: what its code had beyond its commit
POINTED = "pillars.champion"  # tag of the registered model: where we set the alias last
NOTE = (
    "The alias `champion` follows this project's ledger: use `pillars promote` and `pillars rollback`. "
    "MLflow lets a version be deleted while it is champion, and drops the alias without a word: do not delete versions here."
)


def writing(stores: Stores, project_name: str) -> AbstractContextManager[None]:
    """One writer on this machine. Raises: Busy."""
    return locked(stores.folder("mlflow") / f"{project_name}.writing", f"the registry of {project_name}")


def register(
    stores: Stores, project: Project, run_id: str, bundle_dir: Path, tags: Mapping[str, str], beside: Mapping[str, bytes] | None = None
) -> ModelVersion:
    """Log the bundle as an MLflow model of the run and make it a version of the registered model `project`; a repeat makes nothing.

    `tags` go to the version, as its run may be deleted: data.version, data.commit, fitted_through, recipe (JSON), seed, config, commit,
    dirty, patch, code, lock, python, machine, packages (JSON); `threads` is taken over from the run. Files `beside` the bundle go to
    `lineage/` in the model's folder.

    Raises:
        BundleRefused: the bundle does not load; nothing was registered.
        UnknownName: there is no such run.
        StoreUnavailable: MLflow does not answer; a repeat goes on from what was made.
        Busy: somebody else registers a model of this project.
    """
    bundle = Bundle.load(bundle_dir)
    with writing(stores, project.project), mlflow_errors(LEFT):
        client = _open(stores)
        if found := _same(client, project.project, bundle):
            return _to_version(found)
        run = _run(client, run_id)
        tags = {**tags, THREADS: run.data.tags.get(THREADS, ""), SHA256: bundle.identity, DIGEST: bundle.digest}
        model_id = _logged(client, run, bundle) or _log(client, run, bundle_dir, bundle, tags, beside or {})
        _make_model(client, project)
        made = client.create_model_version(project.project, f"models:/{model_id}", run_id=run_id, tags=tags, model_id=model_id)
        return _to_version(made)


def point(stores: Stores, project_name: str, version: int) -> None:
    """Set the alias `champion`. MLflow keeps no history of it and the last writer wins: call it after the ledger has decided.

    Raises:
        UnknownName: there is no such version.
        StoreUnavailable: MLflow does not answer.
    """
    find(stores, project_name, version)
    with mlflow_errors(LEFT):
        client = _open(stores)
        client.set_registered_model_alias(project_name, ALIAS, str(version))
        client.set_registered_model_tag(project_name, POINTED, str(version))


def follow(stores: Stores, project_name: str, decided: Callable[[], int | None]) -> None:
    """Set the alias to the version that `decided()` names, and again until it names the same: another machine may decide meanwhile.

    Nothing is set where it names none. Raises: as `point`.
    """
    pointed = None
    while (version := decided()) != pointed and version is not None:
        point(stores, project_name, version)
        pointed = version


def unpoint(stores: Stores, project_name: str) -> None:
    """Take the alias `champion` away; nothing happens where there is none.

    Raises:
        StoreUnavailable: MLflow does not answer.
    """
    if champion(stores, project_name) is not None:
        with mlflow_errors(LEFT):
            _open(stores).delete_registered_model_alias(project_name, ALIAS)


def champion(stores: Stores, project_name: str) -> int | None:
    """The version that the alias names."""
    with mlflow_errors(LEFT):
        model = _model(_open(stores), project_name)
        return int(model.aliases[ALIAS]) if model and ALIAS in model.aliases else None


def external_change(stores: Stores, project: Project, champions: Sequence[int]) -> int | None:
    """The version to which somebody else moved the alias: a request by that person. None: it is where we put it, or gone.

    `champions` by the ledger, newest first: a run that died, or found no server, has not pointed to the newest yet. A missing alias asks
    for nothing (its version was deleted): `point` again.
    """
    with mlflow_errors(LEFT):
        model = _model(_open(stores), project.project)
    found = int(model.aliases[ALIAS]) if model and ALIAS in model.aliases else None
    pointed = int(model.tags[POINTED]) if model and POINTED in model.tags else None
    ours = champions[:1] if pointed in champions[:1] else (*champions[:2], pointed)  # died before the tag: on the one before
    return None if found in ours else found


def request(project_name: str, found: int, champion: int, *, passed: bool) -> str:
    """What somebody asks for who moved the alias to version `found`, and how to answer."""
    answer = f"Accept it: pillars deploy {project_name} --version {found}" if passed else f"v{found} has not passed its gate"
    return f"in MLflow somebody moved the alias to v{found}; v{champion} answers. {answer}"


def versions(stores: Stores, project_name: str) -> tuple[ModelVersion, ...]:
    """All registered versions, oldest first."""
    with mlflow_errors(LEFT):
        return tuple(sorted((_to_version(v) for v in _all(_open(stores), f"name = '{project_name}'")), key=lambda v: v.version))


def find(stores: Stores, project_name: str, version: int) -> ModelVersion:
    """A registered version.

    Raises:
        UnknownName: there is no such version.
    """
    known = {v.version: v for v in versions(stores, project_name)}
    if version not in known:
        raise UnknownName(f"version of {project_name}", str(version), [str(v) for v in known])
    return known[version]


def bundle_dir(stores: Stores, project_name: str, version: int) -> Path:
    """The folder of a version's bundle: where MLflow keeps it, or fetched from its server to `var/mlflow/fetched`.

    Raises:
        UnknownName: there is no such version.
        StoreUnavailable: MLflow does not answer, or its files are gone.
    """
    return part(stores, project_name, version, packaging.BUNDLE)


def tags(stores: Stores, project_name: str, version: int) -> dict[str, str]:
    """A version's tags. Raises: UnknownName, StoreUnavailable."""
    find(stores, project_name, version)
    with mlflow_errors(LEFT):
        return dict(_open(stores).get_model_version(project_name, str(version)).tags)


def part(stores: Stores, project_name: str, version: int, part: str) -> Path:
    """A folder of a version's model: where MLflow keeps it, or fetched from its server to `var/mlflow/fetched`. Raises: as `bundle_dir`."""
    sha256 = find(stores, project_name, version).sha256
    with mlflow_errors(LEFT):
        client = _open(stores)
        from mlflow.artifacts import download_artifacts

        source = client.get_model_version_download_uri(project_name, str(version))
        local = Path(source.removeprefix("file://"))
        if local.is_dir():
            return local / part
        target = stores.folder("mlflow", "fetched", sha256)
        return Path(download_artifacts(f"{source}/{part}", dst_path=str(target), tracking_uri=stores.tracking_uri))


def _open(stores: Stores) -> MlflowClient:
    with opening_mlflow(stores) as uri:
        from mlflow import MlflowClient, set_tracking_uri

        set_tracking_uri(uri)  # a version's model is looked up in the process's store, whatever client one has
        client = MlflowClient(uri, uri)
        client.search_registered_models(max_results=1)  # makes the database where there is none
        return client


def _run(client: MlflowClient, run_id: str) -> Run:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as err:
        if err.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise UnknownName("MLflow run", run_id, []) from err
        raise


def _same(client: MlflowClient, name: str, bundle: Bundle) -> MlflowVersion | None:
    """The version of this very bundle. The boosters alone do not tell: another threshold on them is another release."""
    found = _all(client, f"name = '{name}' and tags.`{SHA256}` = '{bundle.identity}'")
    return next((v for v in found if v.tags.get(DIGEST) == bundle.digest), None)


def _all(client: MlflowClient, condition: str) -> Iterator[MlflowVersion]:
    token: str | None = ""
    while token is not None:
        page = client.search_model_versions(condition, max_results=500, page_token=token or None)
        yield from page
        token = page.token or None


def _logged(client: MlflowClient, run: Run, bundle: Bundle) -> str | None:
    """The id of a model that was logged whole and not registered: somebody died in between. Those logged in part are deleted."""
    condition = f"source_run_id = '{run.info.run_id}' AND tags.`{DIGEST}` = '{bundle.digest}'"
    ready = None
    for model in client.search_logged_models([run.info.experiment_id], condition):
        if model.status.value == "READY":
            ready = model.model_id
        else:
            client.delete_logged_model(model.model_id)
    return ready


def _log(client: MlflowClient, run: Run, bundle_dir: Path, bundle: Bundle, tags: Mapping[str, str], beside: Mapping[str, bytes]) -> str:
    """Log the model, with the run's measures on its data version: MLflow finds models by data set through them alone."""
    from mlflow.entities import LoggedModelOutput, Metric

    model = client.create_logged_model(run.info.experiment_id, "model", run.info.run_id, dict(tags))
    with scratch("model") as folder:
        packaging.save_model(folder, bundle_dir, bundle, model)
        for name, content in beside.items():
            (folder / "model" / LINEAGE).mkdir(exist_ok=True)
            (folder / "model" / LINEAGE / name).write_bytes(content)
        client.log_model_artifacts(model.model_id, str(folder / "model"))
    client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
    for seen in run.inputs.dataset_inputs:
        data = {"dataset_name": seen.dataset.name, "dataset_digest": seen.dataset.digest, "run_id": run.info.run_id}
        values = [(k, v) for k, v in run.data.metrics.items() if not k.startswith("search/")][:1000]
        measured = [Metric(k, v, run.info.start_time, 0, model_id=model.model_id, **data) for k, v in values]
        client.log_batch(run.info.run_id, measured)
    client.finalize_logged_model(model.model_id, "READY")
    return model.model_id


def _model(client: MlflowClient, name: str) -> RegisteredModel | None:
    return next(iter(client.search_registered_models(f"name = '{name}'")), None)


def _make_model(client: MlflowClient, project: Project) -> None:
    if _model(client, project.project) is None:
        client.create_registered_model(project.project, description=f"{project.description}\n\n{NOTE}".strip())


def _to_version(found: MlflowVersion) -> ModelVersion:
    tags = found.tags
    return ModelVersion(
        project=found.name,
        version=int(found.version),
        sha256=tags.get(SHA256, ""),
        run_id=found.run_id or "",
        data_version=tags.get("data.version", ""),
        fitted_through=tags.get("fitted_through", ""),
        recipe=tags.get("recipe", ""),
    )
