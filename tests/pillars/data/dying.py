"""A process that kills itself at the nth call of a function: what a power cut leaves, at a place that is named."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable
from itertools import count
from typing import Any


def dying(function: Callable[..., Any], nth: int, calls: count[int] | None = None) -> Callable[..., Any]:
    """`function`, whose nth call is the end. Several that share `calls` are counted together."""
    calls = calls or count(1)

    def wrapped(*given: Any, **named: Any) -> Any:
        if next(calls) == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*given, **named)

    return wrapped


def die_at(place: str, nth: int) -> None:
    """Have the nth call of the function `place` (module and attribute) end this process; nothing where no place is named."""
    if place:
        module, name = place.rsplit(".", 1)
        within = importlib.import_module(module)
        setattr(within, name, dying(getattr(within, name), nth))
