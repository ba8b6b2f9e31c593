"""The watch sees what a process changes, by names that do not differ from run to run, and kills it where it was told to."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.proofs.points import Point, common

CHANGES = """
import os, shutil, subprocess, sys
from pathlib import Path
from tests.proofs.points import Point, Watch

root, fatal = Path(sys.argv[1]), Point(sys.argv[2], int(sys.argv[3])) if len(sys.argv) > 2 else None
Watch(root, lambda point: print(point, flush=True), fatal).install()
(root / "folder").mkdir()
(root / "folder").mkdir(exist_ok=True)
for content in "ab":
    draft = root / f".policy.json.{os.getpid()}.0123abcd"
    draft.write_text(content)
    os.replace(draft, root / "policy.json")
os.link(root / "policy.json", root / "linked")
(root / "linked").unlink()
(root / "policy.json").read_text()
Path(sys.argv[0]).parent.joinpath("elsewhere").write_text("not ours")
subprocess.run(["git", "init", "-q", str(root)], check=True)
subprocess.run(["git", "hash-object", "-w", "--stdin"], input=b"x", cwd=root, check=True, capture_output=True)
from sqlalchemy import create_engine, text
with create_engine(f"sqlite:///{root}/ledger.db").begin() as connection:
    connection.execute(text("create table t (x int)"))
    connection.execute(text("insert into t values (1)"))
with create_engine(f"sqlite:///{root}/ledger.db").begin() as connection:
    connection.execute(text("select * from t"))
shutil.rmtree(root / "folder")
"""
SEEN = [
    "file mkdir folder #1",
    "file write .policy.json #1",
    "file begun .policy.json #1",
    "file rename policy.json #1",
    "file write .policy.json #2",
    "file begun .policy.json #2",
    "file rename policy.json #2",
    "file link linked #1",
    "file remove linked #1",
    "git hash-object #1",
    "sql open ledger.db #1",
    "sql create ledger.db #1",
    "sql commit ledger.db #1",
    "file rmdir folder #1",
]


def change(root: Path, *fatal: str) -> subprocess.CompletedProcess[str]:
    """Make the changes in `root` in a process of its own, which dies at the point named by `fatal`."""
    root.mkdir()
    program = root.parent / "changes.py"
    program.write_text(CHANGES)
    return subprocess.run([sys.executable, str(program), str(root), *fatal], capture_output=True, text=True, env={"PYTHONPATH": "."})


def test_every_change_is_a_point_and_nothing_else_is(tmp_path: Path):
    done = change(tmp_path / "root")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == SEEN


@pytest.mark.parametrize(
    ("fatal", "content", "drafts"),
    [
        pytest.param(("file write .policy.json", "2"), "a", [], id="before the draft is opened"),
        pytest.param(("file begun .policy.json", "2"), "a", [""], id="the draft is there and empty"),
        pytest.param(("file rename policy.json", "2"), "a", ["b"], id="the draft is whole and has not its name"),
        pytest.param(("file link linked", "1"), "b", [], id="after the rename"),
    ],
)
def test_a_kill_leaves_what_was_there_at_its_point(tmp_path: Path, fatal: tuple[str, str], content: str, drafts: list[str]):
    root = tmp_path / "root"
    assert change(root, *fatal).returncode == -signal.SIGKILL
    assert (root / "policy.json").read_text() == content
    assert [p.read_text() for p in root.glob(".policy.json.*")] == drafts


@pytest.mark.parametrize(
    ("path", "named"),
    [
        pytest.param("var/dvc/cache/files/md5/6b/0123456789abcdef0123456789abcd", "var/dvc/cache/files/md5/<hash>", id="an object of DVC"),
        pytest.param(
            "/api/flow_runs/0b1c2d3e-1111-4222-8333-444455556666/set_state", "/api/flow_runs/<id>/set_state", id="a run of Prefect"
        ),
        pytest.param("var/.ledger.anchor.4711.0123abcd", "var/.ledger.anchor", id="a draft"),
        pytest.param("var/candidates/.b.4711.e109b73f/golden.json", "var/candidates/.b/golden.json", id="in a bundle's draft"),
        pytest.param("var/keys/.secret-471-98765abc", "var/keys/.secret-<number>-<hash>", id="a draft of the key"),
        pytest.param("var/predictions/small/2013-03.parquet", "var/predictions/small/<number>-03.parquet", id="a period"),
    ],
)
def test_names_leave_out_what_differs_from_run_to_run(path: str, named: str):
    assert common(path) == named


def test_a_points_kind_is_its_first_word():
    assert Point("sql commit ledger.db", 3).kind == "sql"
