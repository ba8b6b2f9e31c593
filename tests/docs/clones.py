"""Commands in a clone, with the clone's own code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run(clone: Path, *arguments: str) -> str:
    """What `python -m ...` says in a clone, whose code comes first on the import path. It talks to the Prefect server of these tests."""
    places = {"PILLARS_ROOT": str(clone), "PILLARS_VAR": str(clone / "var"), "PYTHONPATH": str(clone), "COLUMNS": "140"}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(
        command, cwd=clone, env={**os.environ, **places}, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
