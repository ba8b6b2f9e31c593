"""Servers and stores that do not answer, or accept and never say a word: bounded waiting, one sentence, the old state."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pillars.tracking import RETRIES, TIMEOUT_S, quiet_mlflow
from tests.bad_days.peers import closed_port
from tests.bad_days.world import NEXT, git, perform, pillars, record, refuses
from tests.proofs.stage import Stage

pytestmark = [pytest.mark.flow]


def with_(**environ: str) -> Callable[[], None]:
    """Variables for a forked command."""
    return lambda: os.environ.update(environ)


HASTY = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


def test_an_mlflow_that_is_not_there(stage: Stage):
    before, url = record(stage.root), f"http://user:hunter2@127.0.0.1:{closed_port()}"
    ended = perform(stage, "deploy", "small", before=with_(PILLARS_MLFLOW_URI=url, **HASTY))
    refuses(ended, 6, "MLflow: no answer from http://127.0.0.1:", "Connection refused", "The ledger is as it was", "PILLARS_MLFLOW_URI")
    assert "hunter2" not in ended.said
    assert record(stage.root) == before


def test_an_mlflow_that_never_answers(stage: Stage, silent: str):
    before = record(stage.root)
    ended = perform(stage, "deploy", "small", before=with_(PILLARS_MLFLOW_URI=f"http://{silent}", **HASTY))
    refuses(ended, 6, f"MLflow: no answer from http://{silent}", "timed out", "The ledger is as it was")
    assert record(stage.root) == before


def test_mlflow_is_not_waited_for_as_long_as_it_would_itself(monkeypatch: pytest.MonkeyPatch):
    """Its own bounds are 120 s and 7 tries; those of the user stay."""
    for name in HASTY:
        monkeypatch.delenv(name, raising=False)
    quiet_mlflow()
    from mlflow import environment_variables as known

    assert int(known.MLFLOW_HTTP_REQUEST_TIMEOUT.get()) == TIMEOUT_S <= 30
    assert int(known.MLFLOW_HTTP_REQUEST_MAX_RETRIES.get()) == RETRIES <= 3
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    quiet_mlflow()
    assert int(known.MLFLOW_HTTP_REQUEST_TIMEOUT.get()) == 7


def test_a_prefect_that_is_not_there(clone: Path):
    before = record(clone)
    said = pillars(clone, "cycle", "small", PREFECT_API_URL=f"http://127.0.0.1:{closed_port()}/api")
    said.refuses(6, "Prefect: Failed to reach API", "What is on record stays", "pillars up")
    assert record(clone) == before


def test_a_prefect_that_never_answers(clone: Path, silent: str):
    before = record(clone)
    said = pillars(clone, "cycle", "small", PREFECT_API_URL=f"http://{silent}/api", PREFECT_API_REQUEST_TIMEOUT="2")
    said.refuses(6, f"Prefect: http://{silent}/api takes requests and gives no answer for 2 s", "What is on record stays")
    assert record(clone) == before


@pytest.mark.parametrize(
    ("remote", "words"),
    [
        pytest.param("/proc/nowhere", ["DVC: ", "/proc/nowhere", "Nothing was changed in the data set"], id="a folder that is gone"),
        pytest.param("s3://bucket/x", ["DVC: ", "/bucket", "Nothing was changed in the data set"], id="an S3 that is not there"),
    ],
)
def test_a_remote_that_is_gone_is_never_named_by_git(stage: Stage, remote: str, words: list[str]):
    before, version = record(stage.root), git(stage.root, "rev-parse", "dvc-data/small")
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{closed_port()}"}
    refuses(perform(stage, "ingest", "small", NEXT, before=with_(PILLARS_REMOTE=remote, **keys)), 6, *words)
    assert (record(stage.root), git(stage.root, "rev-parse", "dvc-data/small")) == (before, version)
    assert perform(stage, "ingest", "small", NEXT).code == 0


@pytest.mark.parametrize("peer", ["closed", "silent"])
def test_a_ledger_server_that_does_not_answer(clone: Path, peer: str, silent: str):
    pytest.importorskip("psycopg")
    host = silent if peer == "silent" else f"127.0.0.1:{closed_port()}"
    url = f"postgresql+psycopg://u:hunter2@{host}/x" + ("?connect_timeout=2" if peer == "silent" else "")
    said = pillars(clone, "status", "small", PILLARS_LEDGER_URI=url)
    said.refuses(6, "the ledger: ", "Nothing was written", "PILLARS_LEDGER_URI")
    assert "hunter2" not in said.err
