"""What all flows and steps share: nothing is cached by Prefect (the ledger remembers), only faults of the world are retried, and what is
raised tells no secret: Prefect keeps its words in logs, states and results."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import flow_run

from pillars import masking, project_file
from pillars.config import Project
from pillars.errors import Busy, PillarsError, StoreUnavailable
from pillars.stores import Stores

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
    as_task = task(
        name=name,
        retries=retries,
        retry_delay_seconds=PAUSES_S[:retries] or None,
        retry_condition_fn=of_the_world if retries else None,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    return lambda work: as_task(discreet(work))


def without_prefect(work: Callable[P, R]) -> Callable[P, R]:
    """What a step does, as a plain function: for a process that asks no Prefect server."""
    plain: Callable[P, R] = work.fn  # type: ignore[attr-defined]
    return plain


def run_name(otherwise: str) -> Callable[[], str]:
    """Names a flow's runs by project and period; by project and `otherwise` where no period was given."""

    def named() -> str:
        given = flow_run.get_parameters()
        return f"{given['project']} {given.get('period') or otherwise}"

    return named


def discreet(work: Callable[P, R]) -> Callable[P, R]:
    """`work` that raises nothing with a secret in it, nor, for a project with confidential columns, with a library's words."""

    @wraps(work)
    def done(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return work(*args, **kwargs)
        except Exception as err:
            told = masking.concealed(err, _confidential(*args, **kwargs))
            if told is err:
                raise
        raise told  # outside of the handler, or the first one would hang on it

    return done


def _confidential(*args: object, **kwargs: object) -> bool:
    """Whether the work is of a project with confidential columns: one among what it was given, or named by a flow's first parameter."""
    given = [*args, *kwargs.values()]
    configs = [config for one in given if isinstance(config := getattr(one, "config", one), Project)]
    if configs:
        return bool(configs[0].confidential)
    name = kwargs.get("project", args[0] if args else None)
    if not isinstance(name, str):
        return False
    try:
        return bool(project_file.load(Stores().config_file(name)).confidential)
    except (PillarsError, OSError):
        return True  # nobody knows
