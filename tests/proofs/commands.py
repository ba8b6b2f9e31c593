"""Commands in quick succession: each forked from a process of its own that has imported everything and has no threads yet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.proofs.stage import Ended, Stage, warm


@dataclass(frozen=True)
class Commands:
    """`pillars` in a stage's clone."""

    stage: Stage
    server: subprocess.Popen[str]

    def __call__(self, *arguments: str) -> Ended:
        """Give a command and wait for its end."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        print(json.dumps(arguments), file=self.server.stdin, flush=True)
        return Ended(*json.loads(self.server.stdout.readline()))

    def well(self, *arguments: str) -> str:
        """Give a command that must do what it is asked to; what it said."""
        ended = self(*arguments)
        assert ended.code == 0, f"pillars {' '.join(arguments)} ended with {ended.code}:\n{ended.said}"
        return ended.said


@contextmanager
def commands(stage: Stage) -> Iterator[Commands]:
    """Have a process that takes commands; it warms up first, and needs the stage as it was built for that."""
    command = [sys.executable, "-m", "tests.proofs.commands", str(stage.root), str(stage.copy), os.environ["PREFECT_API_URL"]]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Commands(stage, server)
    finally:
        server.communicate()


def _serve(stage: Stage) -> None:
    warm(stage)
    for line in sys.stdin:
        ended = stage.perform(*json.loads(line))
        print(json.dumps([ended.code, ended.said]), flush=True)


if __name__ == "__main__":
    os.environ["PREFECT_API_URL"] = sys.argv[3]  # the tests' conftest, imported above, has chosen another port
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"  # as the command sets it before it imports Prefect
    _serve(Stage(Path(sys.argv[1]), Path(sys.argv[2])))
