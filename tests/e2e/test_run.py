"""The command as a user has it: a clone, an empty HOME, no server. One run tells everything, a second one changes nothing."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clone import make_clone
from tests.small import edit_config, write_tiny

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, slices: Path) -> Path:
    """A clone in which `pillars run small` has been through January and February."""
    root = write_tiny(make_clone(tmp_path_factory.mktemp("a user's folder") / "project"), slices)
    edit_config(root, source={"python": "small_source", "options": {"last": "2013-02"}})
    done = pillars(root, "run", "small")
    assert done.returncode == 0, done.stderr
    (root / "output.txt").write_text(done.stdout)
    return root


def pillars(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a clone, with nothing of this session's settings."""
    home = root.parent / "home"
    home.mkdir(exist_ok=True)
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "COLUMNS": "140", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "flows", *arguments]
    return subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=500)


def test_run_ends_with_the_table_the_page_and_the_way_on(clone: Path):
    said = (clone / "output.txt").read_text()
    assert re.search(r"2013-01 +│.*\bv1\b", said)
    assert re.search(r"2013-02 +│ +\d+ +│ +\d+ +│.*0\.\d{4}.*\bv2\b", said)
    assert "pillars up" in said
    page = (clone / "var" / "report" / "index.html").read_text()
    assert "2013-02" in page
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)


def test_runs_show_in_prefects_database_afterwards(clone: Path):
    with sqlite3.connect(clone / "var" / "prefect" / "prefect.db") as database:
        states = database.execute("select state_type, count(*) from flow_run group by 1").fetchall()
    assert dict(states)["COMPLETED"] >= 10
    assert set(dict(states)) == {"COMPLETED"}


def test_a_second_run_changes_nothing(clone: Path):
    def state() -> list[tuple[str, int]]:
        kept = (p for name in ("dvc", "releases", "predictions", "reports", "candidates") for p in (clone / "var" / name).rglob("*"))
        return sorted((str(p), p.stat().st_mtime_ns) for p in kept if p.is_file() and ".lock" not in p.name)

    before = state()
    again = pillars(clone, "run", "small", "--json")
    assert again.returncode == 0, again.stderr
    assert [row["period"] for row in json.loads(again.stdout)] == ["2013-01", "2013-02"]
    assert state() == before


def test_status_names_champion_data_and_verdict(clone: Path):
    told = pillars(clone, "status", "small", "--json")
    assert told.returncode == 0, told.stdout
    found = json.loads(told.stdout)
    assert (found["champion"], found["last_period"], found["healthy"]) == ("v2", "2013-02", True)
    assert found["data_version"].endswith(".dir")
    assert "retrain" in found["last_verdict"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["run", "smal"], 2, "no project named 'smal'. Did you mean small?", id="unknown project"),
        pytest.param(["ingest", "small", "2013-13"], 2, "no period named '2013-13'", id="unknown period"),
    ],
)
def test_a_wrong_name_is_one_sentence_and_an_exit_code(clone: Path, arguments: list[str], code: int, words: str):
    done = pillars(clone, *arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
