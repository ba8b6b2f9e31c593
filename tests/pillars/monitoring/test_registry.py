"""One version per bundle, and it is a model that anybody's MLflow can load, far from this project."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from pillars.bundle.bundle import Bundle
from pillars.errors import BundleRefused, StoreUnavailable, UnknownName
from pillars.monitoring import packaging, registry
from pillars.stores import Stores
from pillars.vocabulary import ModelVersion
from tests.releases import DATA, small_columns, small_project, write_small_bundle
from tests.waiting import wait_until

PROJECT = small_project()
TAGS = {"data.version": DATA.id, "data.commit": DATA.commit, "fitted_through": "2013-02", "recipe": '{"name":"stock"}', "seed": "7"}


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two bundles with other boosters, and one with the boosters of the first and another threshold."""
    folder = tmp_path_factory.mktemp("bundles")
    for name, seed, threshold in (("one", 0, 0.5), ("two", 1, 0.5), ("one again", 0, 0.3)):
        write_small_bundle(folder / name, seed, threshold)
    return [folder / "one", folder / "two", folder / "one again"]


@pytest.fixture
def stores(mlflow_stores: Stores) -> Stores:
    return mlflow_stores


def client(stores: Stores) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(stores.tracking_uri, stores.tracking_uri)


@pytest.fixture
def run_id(stores: Stores) -> str:
    """A training's run that saw a data version and measured a loss."""
    from mlflow.entities import Dataset, DatasetInput

    opened = client(stores)
    run = opened.create_run(opened.create_experiment("small", stores.artifacts_uri))
    opened.log_metric(run.info.run_id, "challenger/log_loss", 0.41)
    opened.log_inputs(run.info.run_id, [DatasetInput(Dataset("small", DATA.id, "code", '{"tags": {}}'), [])])
    opened.set_terminated(run.info.run_id)
    return run.info.run_id


def register(stores: Stores, run_id: str, bundle: Path) -> ModelVersion:
    return registry.register(stores, PROJECT, run_id, bundle, TAGS)


def logged_models(stores: Stores) -> list[str]:
    opened = client(stores)
    return [m.status.value for m in opened.search_logged_models([opened.get_experiment_by_name("small").experiment_id])]


def test_a_version_names_its_model_its_data_and_its_run(stores: Stores, run_id: str, bundles: list[Path]) -> None:
    made = register(stores, run_id, bundles[0])
    assert made == ModelVersion("small", 1, Bundle.load(bundles[0]).identity, run_id, DATA.id, "2013-02", '{"name":"stock"}')
    tags = client(stores).get_model_version("small", "1").tags
    assert {**TAGS, "model.sha256": made.sha256}.items() <= tags.items()
    assert registry.find(stores, "small", 1) == made
    assert registry.versions(stores, "small") == (made,)


def test_a_model_is_found_by_the_data_version_it_saw(stores: Stores, run_id: str, bundles: list[Path]) -> None:
    register(stores, run_id, bundles[0])
    opened = client(stores)
    seen = [{"dataset_name": "small", "dataset_digest": DATA.id}]
    experiment = opened.get_experiment_by_name("small").experiment_id
    (found,) = opened.search_logged_models([experiment], datasets=seen)
    assert found.source_run_id == run_id


def test_registering_twice_makes_one_version_and_one_model(stores: Stores, run_id: str, bundles: list[Path]) -> None:
    assert register(stores, run_id, bundles[0]) == register(stores, run_id, bundles[0])
    assert len(registry.versions(stores, "small")) == len(logged_models(stores)) == 1


def test_other_boosters_and_another_threshold_are_other_versions(stores: Stores, run_id: str, bundles: list[Path]) -> None:
    made = [register(stores, run_id, bundle) for bundle in bundles]
    assert [v.version for v in made] == [1, 2, 3]
    assert made[0].sha256 == made[2].sha256 != made[1].sha256


class Died(BaseException):
    """Nothing catches it: what a kill leaves, but in one process."""


@pytest.mark.parametrize(
    "at", ["log_model_artifacts", "log_outputs", "finalize_logged_model", "create_registered_model", "create_model_version"]
)
def test_a_registration_that_died_anywhere_is_mended_by_its_repeat(
    stores: Stores, run_id: str, bundles: list[Path], at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, at, die)
        with pytest.raises(Died):
            register(stores, run_id, bundles[0])
    assert register(stores, run_id, bundles[0]).version == 1
    assert logged_models(stores) == ["READY"]


def test_a_changed_bundle_is_not_registered(stores: Stores, run_id: str, tmp_path: Path) -> None:
    write_small_bundle(tmp_path / "bundle")
    (tmp_path / "bundle" / "decision.json").write_text('{"threshold":0.1}')
    with pytest.raises(BundleRefused):
        register(stores, run_id, tmp_path / "bundle")
    assert registry.versions(stores, "small") == ()


def test_an_unknown_run_is_named(stores: Stores, bundles: list[Path]) -> None:
    with pytest.raises(UnknownName, match="MLflow run"):
        register(stores, "f" * 32, bundles[0])


def test_the_alias_follows_and_a_move_by_hand_is_seen(stores: Stores, run_id: str, bundles: list[Path]) -> None:
    assert registry.champion(stores, "small") is None
    register(stores, run_id, bundles[0]), register(stores, run_id, bundles[1])
    registry.point(stores, "small", 1)
    registry.point(stores, "small", 1)
    assert registry.champion(stores, "small") == 1
    assert registry.external_change(stores, PROJECT, [1]) is None
    client(stores).set_registered_model_alias("small", "champion", "2")
    assert registry.external_change(stores, PROJECT, [1]) == 2
    assert registry.external_change(stores, PROJECT, [1, 2]) == 2, "we had followed"


def test_the_alias_is_set_again_where_somebody_decides_meanwhile(stores: Stores, run_id: str, bundles: list[Path]) -> None:
    register(stores, run_id, bundles[0]), register(stores, run_id, bundles[1])
    decided: list[int | None] = [1, 2, 2]
    registry.follow(stores, "small", lambda: decided.pop(0))
    assert (registry.champion(stores, "small"), decided) == (2, [])
    registry.follow(stores, "small", lambda: None)
    assert registry.champion(stores, "small") == 2, "nobody has decided anything"


def test_an_alias_that_has_not_followed_yet_is_nobody_s_request(stores: Stores, run_id: str, bundles: list[Path]) -> None:
    """MLflow was down at a rollback, and one more decision came; or the run died before it had put down where it pointed."""
    register(stores, run_id, bundles[0]), register(stores, run_id, bundles[1])
    registry.point(stores, "small", 1)
    assert registry.external_change(stores, PROJECT, [3, 2, 1]) is None
    client(stores).set_registered_model_alias("small", "champion", "2")
    assert registry.external_change(stores, PROJECT, [3, 2, 1]) is None
    assert registry.external_change(stores, PROJECT, [4, 3, 2, 1]) == 2


def test_an_alias_that_went_with_its_version_asks_for_nothing(stores: Stores, run_id: str, bundles: list[Path]) -> None:
    register(stores, run_id, bundles[0]), register(stores, run_id, bundles[1])
    registry.point(stores, "small", 2)
    client(stores).delete_model_version("small", "2")
    assert registry.champion(stores, "small") is None
    assert registry.external_change(stores, PROJECT, [2]) is None


def test_pointing_at_a_version_that_is_not_there_is_an_unknown_name(stores: Stores, run_id: str, bundles: list[Path]) -> None:
    register(stores, run_id, bundles[0])
    with pytest.raises(UnknownName, match="There are: 1"):
        registry.point(stores, "small", 7)


def test_a_version_gives_its_bundle_back(stores: Stores, run_id: str, bundles: list[Path]) -> None:
    made = register(stores, run_id, bundles[0])
    back = Bundle.load(registry.bundle_dir(stores, "small", made.version))
    assert back.digest == Bundle.load(bundles[0]).digest


def test_a_name_that_is_a_filter_is_only_a_name(stores: Stores) -> None:
    assert registry.champion(stores, "nobody") is None
    assert registry.versions(stores, "nobody") == ()


def test_a_server_that_does_not_answer_says_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreUnavailable, match="PILLARS_MLFLOW_URI"):
        registry.champion(Stores(root=tmp_path, var=tmp_path / "var", mlflow_uri="http://127.0.0.1:9"), "small")


def test_saving_a_model_leaves_nothing_imported(stores: Stores, run_id: str, bundles: list[Path]) -> None:
    path = list(sys.path)
    register(stores, run_id, bundles[0])
    assert sys.path == path
    assert not [name for name in sys.modules if name.startswith("pillars_release")]


def test_the_code_beside_a_model_is_named_by_its_content(tmp_path: Path) -> None:
    first, second = packaging.stage_code(tmp_path / "a"), packaging.stage_code(tmp_path / "b")
    assert first.name == second.name
    assert first.name.startswith("pillars_release_")
    assert sorted(p.name for p in first.iterdir()) == ["__init__.py", "bundle", "errors.py"]


def test_a_model_whose_bytes_changed_does_not_load(stores: Stores, run_id: str, bundles: list[Path]) -> None:
    import mlflow

    version = register(stores, run_id, bundles[0]).version
    (registry.bundle_dir(stores, "small", version) / "decision.json").write_text('{"threshold":0.1}')
    with pytest.raises(Exception, match=r"decision\.json was changed"):
        mlflow.pyfunc.load_model(f"models:/small/{version}")


# ---- far from this project


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A python that has our dependencies and not this project: their folder on its path, its `.pth` files unread."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "venv", symlinks=True)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    packages = Path(pytest.__file__).parents[1]
    (site / "ours.pth").write_text(f"{packages}\n")
    python = folder / "venv" / "bin" / "python"
    uvicorn = python.with_name("uvicorn")
    uvicorn.write_text(f"#!{python}\nfrom uvicorn.main import main\n\nmain()\n")
    uvicorn.chmod(0o755)
    assert subprocess.run([python, "-c", "import pillars"], cwd=folder, capture_output=True, check=False).returncode == 1
    return python


def environment(stores: Stores, python: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PILLARS_", "MLFLOW_"))}
    return {
        **kept,
        "MLFLOW_TRACKING_URI": stores.tracking_uri,
        "PATH": f"{python.parent}:{kept['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


@pytest.fixture
def champion(stores: Stores, run_id: str, bundles: list[Path]) -> Bundle:
    """The bundle of the registered champion."""
    registry.point(stores, "small", register(stores, run_id, bundles[0]).version)
    return Bundle.load(bundles[0])


LOAD = """
import json, sys
import mlflow.pyfunc, pandas
model = mlflow.pyfunc.load_model("models:/small@champion")
assert not any(name == "pillars" or name.startswith("pillars.") for name in sys.modules)
columns = json.loads(sys.argv[1])
frame = pandas.DataFrame({"distance": pandas.array(columns["distance"], dtype="float64"), "carrier": columns["carrier"]})
answer = model.predict(frame)
if sys.argv[2] == "here":
    import pillars
    print(pillars.__file__)
print(json.dumps([answer["score"].tolist(), answer["decision"].tolist()]))
"""


def rows_as_json(rows: int = 20) -> str:
    columns = small_columns(rows, seed=3)
    return json.dumps({"distance": [float(v) for v in columns["distance"]], "carrier": columns["carrier"].tolist()})


def load_in(python: Path, stores: Stores, where: str) -> list[str]:
    command = [str(python), "-c", LOAD, rows_as_json(), where]
    done = subprocess.run(command, cwd=python.parent, env=environment(stores, python), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_the_champion_loads_and_scores_the_same_bits_where_this_project_is_not(stores: Stores, champion: Bundle, elsewhere: Path) -> None:
    expected = champion.predict(small_columns(20, seed=3))
    assert json.loads(load_in(elsewhere, stores, "elsewhere")[-1]) == [expected.score.tolist(), expected.decision.tolist()]


@pytest.mark.slow
def test_a_model_loaded_first_does_not_hide_this_project(stores: Stores, champion: Bundle) -> None:
    lines = load_in(Path(sys.executable), stores, "here")
    assert lines[-2] == str(Path(registry.__file__).parents[1] / "__init__.py")


@pytest.fixture
def served(stores: Stores, champion: Bundle, elsewhere: Path, tmp_path: Path) -> Iterator[str]:
    """Address of `mlflow models serve` on the champion, in the environment without this project."""
    port = free_port()
    command = [str(elsewhere), "-m", "mlflow", "models", "serve", "-m", "models:/small@champion", "--env-manager", "local"]
    with (tmp_path / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=tmp_path,
            env=environment(stores, elsewhere),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(lambda: ready(f"http://127.0.0.1:{port}/ping"), deadline_s=120, what="mlflow models serve")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ready(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (URLError, OSError):
        return False


@pytest.mark.slow
def test_mlflow_serves_the_champion_where_this_project_is_not(served: str, champion: Bundle) -> None:
    columns = small_columns(20, seed=3)
    records = [
        {"distance": None if d != d else float(d), "carrier": c}
        for d, c in zip(columns["distance"], columns["carrier"].tolist(), strict=True)
    ]
    body = json.dumps({"dataframe_records": records}).encode()
    with urlopen(Request(f"{served}/invocations", body, {"Content-Type": "application/json"}), timeout=60) as answer:
        predictions = json.load(answer)["predictions"]
    assert [p["score"] for p in predictions] == champion.predict(columns).score.tolist()
