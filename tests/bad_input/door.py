"""The command as a user enters it, and what it leaves behind."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from flows.__main__ import main
from pillars.monitoring.ledger import Entry, Ledger
from pillars.stores import Stores

KEPT = ("raw", "rejected", "quarantine", "staging", "reports")  # what came in, and what was found out about it: not the state
DRAFT = re.compile(r"\.\d+\.[0-9a-f]{8}$")  # as stores.write_atomically names them
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Said:
    """How a command ended: its exit code and what it said."""

    exit_code: int
    out: str
    err: str


@dataclass(frozen=True)
class State:
    """What a project is: its record, its newest data version, and the files that a decision rests on (cache, remote, traffic)."""

    ledger: tuple[str, ...]
    data: str
    files: tuple[tuple[str, str], ...]


def say(*arguments: str) -> Said:
    """`pillars ARGUMENTS` in this process; an error that is not one message is raised."""
    found = CliRunner().invoke(main, list(arguments), catch_exceptions=False, prog_name="pillars")
    assert "Traceback" not in found.output
    return Said(found.exit_code, found.stdout, found.stderr)


def say_apart(root: Path, *arguments: str) -> Said:
    """`python -m flows ARGUMENTS` in a process of its own, without a terminal."""
    environ = os.environ | {"PYTHONPATH": f"{CHECKOUT}:{root}"}
    command = [sys.executable, "-m", "flows", *arguments]
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
    assert "Traceback" not in done.stdout + done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


def state(project: str = "parcels") -> State:
    """The state of a project of the clone that is entered, and that no write was left half done."""
    stores = Stores()
    files = [(p.relative_to(stores.var), p) for p in sorted(stores.var.rglob("*")) if p.is_file()]
    assert not [str(r) for r, _ in files if DRAFT.search(r.name)], "a draft was left behind"
    held = [
        (r, p) for r, p in files if r.parts[0] not in KEPT and not r.name.startswith(("ledger.", "secret")) and not p.name.endswith(".lock")
    ]
    return State(
        tuple(e.mac for e in entries(project)),
        subprocess.run(["git", "rev-parse", "-q", "--verify", f"dvc-data/{project}"], capture_output=True, text=True).stdout.strip(),
        tuple((r.as_posix(), hashlib.sha256(p.read_bytes()).hexdigest()) for r, p in held),
    )


def entries(project: str = "parcels", decision: str | None = None) -> list[Entry]:
    """The project's record; opening it makes none."""
    stores = Stores()
    return Ledger(stores).entries(project, decision) if (stores.var / "ledger.db").exists() else []
