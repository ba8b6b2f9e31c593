"""Waiting for a condition, never for a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], deadline_s: float = 60, every_s: float = 0.2, what: str = "") -> T:
    """The first true answer of `condition`, asked every `every_s` seconds.

    Raises:
        TimeoutError: it stayed false for `deadline_s` seconds.
    """
    pause = threading.Event()
    end = time.monotonic() + deadline_s
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline_s:.0f} s for {what or getattr(condition, '__name__', 'a condition')}")
        pause.wait(every_s)
