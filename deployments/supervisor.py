"""Honcho with three things added: a process that ends is started again, the worker stops first, nothing outlives the supervisor."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TextIO

import psutil
from honcho.compat import ProcessManager
from honcho.manager import Manager
from honcho.printer import Printer
from honcho.process import Process

ATTEMPTS = 3  # a process that ends so often in a row, each time within LONG_S, ends the whole stack
LONG_S = 60.0
KILL_WAIT_S = 10.0


class Persistent(Process):
    """A process that honcho sees as one, however often it has to be started. Its output goes where its command says."""

    def __init__(self, cmd: str, stopping: Any, **more: Any) -> None:
        super().__init__(cmd, **more)
        self.stopping, self.returncode = stopping, 0

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        """Runs in honcho's child process, until told to stop, orphaned, or out of attempts."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stay)  # not SIG_IGN, which the service would inherit
        supervisor, attempt = os.getppid(), 0
        threading.Thread(target=self._follow, args=(supervisor,), daemon=True).start()
        while not self.stopping.is_set() and attempt < ATTEMPTS:
            began = time.monotonic()
            super().run(events, ignore_signals=False)
            if self.stopping.is_set() or os.getppid() != supervisor:
                break
            attempt = 1 if time.monotonic() - began > LONG_S else attempt + 1
            again = "started again" if attempt < ATTEMPTS else f"given up after {attempt} times"
            self._send_message(f"ended with {self.returncode}, {again}")
            self.stopping.wait(attempt)
        super()._send_message({"returncode": self.returncode}, type="stop")

    def _send_message(self, data: Any, type: str = "line") -> None:
        if type == "stop":  # for honcho a stop is the end of the whole stack
            self.returncode = data["returncode"]
        else:
            super()._send_message(data, type)

    def _follow(self, supervisor: int) -> None:
        """A supervisor that was killed cannot stop its services: each then ends its own."""
        while os.getppid() == supervisor:
            time.sleep(0.5)
        self.stopping.set()
        if self._child is not None:
            ProcessManager().terminate(self._child.pid)


class Supervisor(Manager):
    """Honcho's manager; `first` names the process that is stopped before the others, `started` is called once all run.

    After `loop()`, `asked` says whether somebody wanted the end; else a process gave up.
    """

    def __init__(self, printer: Printer, first: str, started: Callable[[], None]) -> None:
        super().__init__(printer)
        self.stopping = multiprocessing.Event()
        self._process_ctor = partial(Persistent, stopping=self.stopping)
        self._first, self._started, self.asked, self._early = first, started, False, False
        signal.signal(signal.SIGHUP, lambda *_: self.terminate())  # the terminal was closed

    def _start(self) -> None:
        super()._start()
        threading.Thread(target=self._started, daemon=True).start()

    def _all_started(self) -> bool:
        """Honcho's loop asks ten times a second."""
        started = super()._all_started()
        if started and self._early:
            self._early = False
            self.terminate()
        return started

    def terminate(self) -> None:
        """Stop all: first the worker's runs, while the server can still be told (each reports itself as crashed, killed
        by the worker it would stay Running), then the worker (asked while its server goes down it does not listen), then the rest.

        Asked before all have said that they run, it waits for that: honcho ends only what has told it its number.
        """
        if not super()._all_started():
            self.asked = self._early = True
            return
        if not self.stopping.is_set():
            self.asked = self.asked or not self._any_stopped()
            self.stopping.set()
            worker = _family(self._processes[self._first].get("pid"))
            end(worker[1:], KILL_WAIT_S)
            end(worker[:1], KILL_WAIT_S)
        super().terminate()


class Quiet(Printer):
    """Honcho's own lines into a log, the services' into the terminal."""

    def __init__(self, log: TextIO) -> None:
        super().__init__()
        self._log = Printer(log)

    def write(self, message: Any) -> None:
        """One message of honcho's queue."""
        if message.name == "system":
            self._log.write(message)
        else:
            super().write(message)


def end(processes: list[psutil.Process], patience_s: float) -> None:
    """Ask processes to end, and make those end that have not after `patience_s` seconds."""
    for ask in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                ask(process)
        patience = time.monotonic() + patience_s
        while (processes := [p for p in processes if not _gone(p)]) and time.monotonic() < patience:
            time.sleep(0.1)


def _gone(process: psutil.Process) -> bool:
    """Whether it has ended; a dead process that nobody collects (the first process of many containers does not) counts."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _family(pid: int | None) -> list[psutil.Process]:
    """A process and everything below it; empty when it is gone."""
    try:
        top = psutil.Process(pid or -1)
        return [top, *top.children(recursive=True)]
    except (psutil.NoSuchProcess, ValueError):
        return []


def _stay(*_: object) -> None:
    """A signal for the supervisor's group: the supervisor decides."""
