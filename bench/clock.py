"""Where the time of one process goes: seconds by step, each second counted once. About 2 µs a call, nothing is sampled."""

from __future__ import annotations

import functools
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any


def now() -> tuple[float, float]:
    """Wall seconds, and CPU seconds of this process with its ended children."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), time.process_time() + ended.ru_utime + ended.ru_stime


@dataclass
class Clock:
    """Wall and CPU seconds by step. CPU: all threads of the process, and children that have ended. Only the thread that made it has steps.

    A step inside another stops the outer one's clock, so the sums over steps are those of the outermost block.
    """

    reading: Callable[[], tuple[float, float]] = now
    wall_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    cpu_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _running: list[str] = field(default_factory=list)
    _since: tuple[float, float] = (0.0, 0.0)
    _thread: int = field(default_factory=get_ident)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Count the block as `name`."""
        if get_ident() != self._thread:
            yield
            return
        self._turn()
        self._running.append(name)
        try:
            yield
        finally:
            self._turn()
            self._running.pop()

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, its calls counted as `name`."""

        @functools.wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            with self.step(name):
                return function(*given, **named)

        return call

    def watch(self, owner: Any, name: str, *functions: str) -> None:
        """Count these functions of a module or class as `name` from now on."""
        for function in functions:
            setattr(owner, function, self.counted(name, getattr(owner, function)))

    def _turn(self) -> None:
        """Give the time since the last turn to the step that runs."""
        wall, cpu = self.reading()
        if self._running:
            self.wall_s[self._running[-1]] += wall - self._since[0]
            self.cpu_s[self._running[-1]] += cpu - self._since[1]
        self._since = wall, cpu
