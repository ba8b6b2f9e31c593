"""What all steps share: nothing is cached by Prefect (the ledger remembers), and only faults of the world are retried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from pillars.errors import Busy, StoreUnavailable

PAUSES_S = [1.0, 5.0, 15.0]
P = ParamSpec("P")
R = TypeVar("R")


async def of_the_world(_task: object, _run: TaskRun, state: State[Any]) -> bool:
    """Whether another try can help: a lock, a disk or a server, never a broken promise of our own."""
    try:
        await state.result()
    except (Busy, StoreUnavailable, ConnectionError, TimeoutError):
        return True
    except Exception:  # whatever else ended the step is told by its state; Prefect asks here for yes or no only
        return False
    return False


def step(name: str, retries: int = 0) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A task that runs `name`; `retries` (with growing pauses) only where a repeat is harmless."""
    return task(
        name=name,
        retries=retries,
        retry_delay_seconds=PAUSES_S[:retries] or None,
        retry_condition_fn=of_the_world if retries else None,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
