"""A clone that has lived through January, made once; each test finds it as it was."""

from __future__ import annotations

import atexit
import importlib
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import flows
from tests.bad_days.peers import postgresql_server, refusing_server, silent_server
from tests.bad_days.world import NEXT, Disk, perform, quiet
from tests.proofs.stage import PROJECT, Stage, build
from tests.proofs.state import told

ALONE = "commands are forked from the tests' own process, which XGBoost's threads of other tests would hang: pytest tests/bad_days"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With tests of other folders in the same process, these are skipped; `make tests` runs them in one of their own."""
    here = Path(__file__).parent
    if not all(here in item.path.parents for item in items):
        for item in items:
            if here in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=ALONE))


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory, slices: Path, prefect_server: str) -> Stage:
    """January has been through the loop: one champion answers."""
    stage = build(tmp_path_factory.mktemp("bad days"), slices)
    tools = ("mlflow.tracking", "great_expectations", "evidently", "optuna", "xgboost", "dvc.repo")  # not twice, there and here
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from 3.12 on, Evidently's regular expressions
        for name in (*(f"flows.{module.name}" for module in pkgutil.iter_modules(flows.__path__)), *tools):
            importlib.import_module(name)  # a second user may not be able to read them
    names = stage.root.parent / "modules"

    def listing() -> None:
        quiet()
        atexit.register(lambda: names.write_text("\n".join(sys.modules)))

    done = stage.perform("cycle", PROJECT, before=listing)
    assert done.code == 0, done.said
    stage.keep()
    for name in names.read_text().split():  # what the command imports, those to come find imported
        if name not in sys.modules and name.split(".")[0] not in ("small_source", "__main__"):
            with suppress(Exception):  # a name that only its package can make
                importlib.import_module(name)
    return stage


@pytest.fixture(scope="session")
def undisturbed(lived: Stage) -> dict[str, Any]:
    """The state after the next period on a good day."""
    lived.restore()
    done = perform(lived, "cycle", PROJECT, NEXT)
    assert done.code == 0, done.said
    return told(lived.root, PROJECT)


@pytest.fixture
def stage(lived: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """That clone as it was."""
    monkeypatch.delenv("PILLARS_VAR", raising=False)
    lived.restore()
    return lived


@pytest.fixture
def clone(stage: Stage) -> Path:
    return stage.root


@pytest.fixture
def disk(stage: Stage) -> Iterator[Callable[[int], Disk]]:
    """`disk(megabytes)`: the clone on a small disk of its own."""
    made: list[Disk] = []

    def make(size_mb: int) -> Disk:
        made.append(Disk(stage, size_mb))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def refusing() -> Iterator[str]:
    """Address of a server that answers 401."""
    with refusing_server() as address:
        yield address


@pytest.fixture
def silent() -> Iterator[str]:
    """Host and port of a server that never answers."""
    with silent_server() as address:
        yield address


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a PostgreSQL whose users need passwords."""
    with postgresql_server(tmp_path_factory.mktemp("postgresql")) as port:
        yield port
