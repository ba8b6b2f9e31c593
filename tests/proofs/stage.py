"""Where proofs are played: a clone with a tiny project, put back as it was before each try, and commands in processes of their own.

A try costs what the command costs: the processes are forked from one that has already imported everything, and the clone comes back from a
copy, to the same place (MLflow writes absolute paths into its database).
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.clone import make_clone
from tests.small import write_tiny

PROJECT = "small"


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: the signal that killed it), and all that it said."""

    code: int
    said: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def well(self) -> bool:
        """It did what it was asked to, or refused with one clear sentence."""
        return self.code in (0, 1, 2, 3, 4, 7) and not self.unclear

    @property
    def unclear(self) -> list[str]:
        """What no user should read."""
        return [word for word in ("Traceback", "database is locked", "Unable to acquire lock", "LockError") if word in self.said]


@dataclass(frozen=True)
class Stage:
    """A clone at `root` and the copy it comes back from."""

    root: Path
    copy: Path

    def keep(self) -> None:
        """What is there now is what `restore` brings back."""
        if self.copy.exists():
            shutil.rmtree(self.copy)
        _copy(self.root, self.copy)

    def restore(self) -> None:
        if self.root.exists():
            shutil.rmtree(self.root)
        _copy(self.copy, self.root)

    def start(self, *arguments: str, before: Callable[[], None] = lambda: None) -> Running:
        """The command in a process of its own; `before` is called there first."""
        said = self.root.parent / f"said-{time.monotonic_ns()}"
        pid = os.fork()
        if pid == 0:
            _be_the_command(self.root, said, arguments, before)
        return Running(pid, said)

    def perform(self, *arguments: str, before: Callable[[], None] = lambda: None) -> Ended:
        """Start the command and wait for its end."""
        return self.start(*arguments, before=before).wait()


@dataclass(frozen=True)
class Running:
    """A command that was started."""

    pid: int
    said: Path

    def wait(self) -> Ended:
        _, status = os.waitpid(self.pid, 0)
        return self._ended(status)

    def kill(self) -> Ended:
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def _ended(self, status: int) -> Ended:
        said = self.said.read_text(errors="replace") if self.said.exists() else ""
        self.said.unlink(missing_ok=True)
        return Ended(os.waitstatus_to_exitcode(status), said)


def build(folder: Path, slices: Path) -> Stage:
    """A new clone with the tiny project, nothing done yet."""
    stage = Stage(folder / "clone", folder / "copy")
    shutil.rmtree(folder, ignore_errors=True)
    write_tiny(make_clone(stage.root), slices)
    stage.keep()
    return stage


def warm(stage: Stage) -> None:
    """Import in this process what the command imports, as one of its processes found it, so that those to come need not."""
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"  # as the command sets it, before Prefect is imported
    names = stage.root.parent / "modules"

    def listing() -> None:
        import atexit

        atexit.register(lambda: names.write_text("\n".join(sys.modules)))

    for _ in range(2):  # drift comes with the second period
        ended = stage.perform("cycle", PROJECT, before=listing)
        assert ended.code == 0, ended.said
    for name in names.read_text().split():
        if name not in sys.modules and name.split(".")[0] not in ("small_source", "__main__"):
            try:
                importlib.import_module(name)
            except Exception:  # a name that only its package can make
                continue
    from mlflow.utils.requirements_utils import _init_modules_to_packages_map

    _init_modules_to_packages_map()  # a second of every process that logs a model
    stage.restore()


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)


def _be_the_command(root: Path, said: Path, arguments: Sequence[str], before: Callable[[], None]) -> None:
    """The rest of this (forked) process's life."""
    import atexit
    import random

    code = 70
    try:
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ |= {"PILLARS_ROOT": str(root), "PILLARS_THREADS": "1", "OMP_NUM_THREADS": "1"}
        os.environ.pop("PILLARS_VAR", None)
        os.chdir(root)
        sys.path.insert(0, str(root))
        random.seed()
        from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        from flows.__main__ import main

        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):  # each flow would wait 1 s for its heart to stop
            before()  # here: Prefect reads its profile again for the line above, which another user may not
            main([*arguments], prog_name="pillars")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        atexit._run_exitfuncs()
        os._exit(code)
