"""A user's clone with one period behind it, the command in it, and a world that can be made worse."""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from tests.proofs.stage import Ended, Stage

NEXT = "2013-02"  # the period that the tests go on with
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000


@dataclass(frozen=True)
class Said:
    """How a command ended: its exit code, and what it wrote to its two outputs."""

    code: int
    out: str
    err: str

    def refuses(self, code: int, *words: str) -> None:
        """Hold it to one clear sentence and an exit code."""
        assert self.code == code, (self.code, self.out[-500:], self.err[-3000:])
        one_sentence(self.err, *words)


def one_sentence(said: str, *words: str) -> None:
    """Hold what a user reads to one message without a stack that holds these words."""
    assert "Traceback" not in said, said[-3000:]
    assert said.count("pillars: ") == 1, said
    assert "\n" not in said.strip(), said
    assert len(said) < 600, said
    for word in words:
        assert word in said, (word, said)


def refuses(ended: Ended, code: int, *words: str) -> None:
    """The same for a forked command, whose two outputs are one."""
    assert ended.code == code, (ended.code, ended.said[-3000:])
    one_sentence(ended.said, *words)


def pillars(root: Path, *arguments: str, wrapped: tuple[str, ...] = (), shell: str = "", **environ: str | None) -> Said:
    """The command in a process of its own, with a user's few variables and these; None takes one away.

    `wrapped` is a command in front of it; `shell` a line in which "$@" is the command.
    """
    home = root.parent / "home"
    home.mkdir(exist_ok=True)
    usual = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": f"{Path(__file__).parents[2]}:{root}"}
    usual |= {"PREFECT_API_URL": os.environ["PREFECT_API_URL"]}
    given = {name: value for name, value in (usual | environ).items() if value is not None}
    command = [*wrapped, sys.executable, "-m", "flows", *arguments]
    command = ["/bin/bash", "-c", shell, "bash", *command] if shell else command
    done = subprocess.run(command, cwd=root, env=given, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
    return Said(done.returncode, done.stdout, done.stderr)


def quiet() -> None:
    """What `pillars` settles before it imports Prefect comes too late in a fork, and no user is shown warnings as errors."""
    from prefect import Task
    from prefect.logging.handlers import PrefectConsoleHandler

    sys.stdout, sys.stderr = (open(fd, "w", encoding="utf-8", closefd=False) for fd in (1, 2))  # noqa: SIM115, not pytest's
    warnings.simplefilter("ignore")
    PrefectConsoleHandler.emit = lambda *_: None  # type: ignore[method-assign]
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    for module in [module for name, module in sys.modules.items() if name.startswith("tasks.")]:
        for task in [value for value in vars(module).values() if isinstance(value, Task) and value.retries]:
            task.retry_delay_seconds = [0.0] * task.retries  # it still tries as often


def perform(stage: Stage, *arguments: str, before: Callable[[], None] = lambda: None) -> Ended:
    """The command in a fork of this process, where all it imports is imported."""

    def first() -> None:
        quiet()
        before()

    return stage.perform(*arguments, before=first)


def record(root: Path) -> list[str]:
    """The ledger's chain, read and verified by us; [] when there is none."""
    if not (root / "var" / "ledger.db").exists():
        return []
    ledger = Ledger(Stores(root=root, var=root / "var"))
    ledger.verify()
    return [f"{e.decision} {e.outcome} {e.mac}" for e in ledger.entries("small", every_epoch=True)]


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def drafts(root: Path) -> list[str]:
    """Files on which a write was interrupted."""
    return [str(p) for p in (root / "var").rglob(".*") if p.is_file() and p.name.count(".") >= 3]


def fingerprint(folder: Path) -> dict[str, str]:
    """Files by sha256, without lock files."""
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".lock"))
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def ahead_of(name: str, disturb: Callable[[], None]) -> None:
    """Have `disturb` called once, right before the function `name` (module and attribute) is; for a forked process."""
    module, _, attribute = name.rpartition(".")
    holder = importlib.import_module(module)
    wrapped, told_once = getattr(holder, attribute), []

    def disturbed(*given: Any, **named: Any) -> Any:
        if not told_once:
            told_once.append(name)
            disturb()
        return wrapped(*given, **named)

    setattr(holder, attribute, disturbed)


class Disk:
    """A small disk of its own, mounted over a clone in a mount namespace that only commands started here see."""

    def __init__(self, stage: Stage, size_mb: int) -> None:
        unshare = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
        script = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && cp -a "$3/." "$2/" && echo ready && exec cat'
        command = [*unshare, "--propagation", "private", "sh", "-c", script, "sh", f"{size_mb}m", str(stage.root), str(stage.copy)]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if self._holder.stdout is None or self._holder.stdout.readline().strip() != "ready":
            self.close()
            pytest.skip("no mount namespace can be had here")
        self.stage, self.root = stage, stage.root
        self.seen = Path(f"/proc/{self._holder.pid}/root{stage.root}")  # the same files, for us outside

    def enter(self) -> None:
        """Be inside; for a forked process."""
        libc = ctypes.CDLL(None, use_errno=True)
        kinds = [("mnt", CLONE_NEWNS)] if os.getuid() == 0 else [("user", CLONE_NEWUSER), ("mnt", CLONE_NEWNS)]
        for kind, flag in kinds:
            descriptor = os.open(f"/proc/{self._holder.pid}/ns/{kind}", os.O_RDONLY)
            if libc.setns(descriptor, flag) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        os.chdir(self.root)

    def perform(self, *arguments: str, before: Callable[[], None] = lambda: None) -> Ended:
        """The command on this disk."""

        def inside() -> None:
            self.enter()
            before()

        return perform(self.stage, *arguments, before=inside)

    def ask(self, question: Callable[[Path], Any]) -> Any:
        """The answer (JSON) to a question about the clone, asked inside: SQLite reads `seen` as a link to the clone below."""
        reader, writer = os.pipe()
        if (pid := os.fork()) == 0:
            with suppress(BaseException), os.fdopen(writer, "w") as answer:
                self.enter()
                json.dump(question(self.root), answer)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answer:
            text = answer.read()
        os.waitpid(pid, 0)
        return json.loads(text)

    def fill(self) -> None:
        """Take all space; for a command on this disk."""
        with (self.root / "filler").open("ab", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(b"\0" * 4096)

    def free(self) -> None:
        (self.seen / "filler").unlink(missing_ok=True)

    def read_only(self, on: bool) -> None:
        """Remount it."""
        user = [] if os.getuid() == 0 else ["-U", "--preserve-credentials"]
        enter = ["nsenter", "-t", str(self._holder.pid), *user, "-m"]
        subprocess.run([*enter, "mount", "-o", f"remount,{'ro' if on else 'rw'}", str(self.root)], check=True)

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
