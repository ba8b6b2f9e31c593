"""Faults on purpose: whether rollouts of this project find harm, take it back, and are safe at every end."""

from __future__ import annotations

import time
from typing import TypeVar

from prefect import flow

from pillars import project_file
from pillars.drill import place
from pillars.drill.faults import CONTROL, FAULTS, STRATEGIES, problems
from pillars.errors import UnknownName
from pillars.stores import Stores
from pillars.vocabulary import Drilled, Played
from tasks import drill as drills
from tasks import progress, show
from tasks.policy import discreet

T = TypeVar("T")


@flow(name="drill", flow_run_name="{project}")
@discreet
def drill(project: str, strategies: list[str] | None = None, faults: list[str] | None = None, controls: int = 2) -> Drilled:
    """Play faults against rollouts of the champion's release, in folders that are thrown away. Nothing of the project is changed.

    Args:
        project: name of the YAML in configs/
        strategies: the strategies that are tried; the YAML's own if none is named
        faults: the faults that are injected; all if none is named
        controls: runs of each strategy without a fault

    Raises:
        UnknownName: no release answers yet; no such strategy or fault.
        StoreUnavailable: no server comes up.
        BundleRefused: the champion's release does not load.
    """
    stores, began = Stores(), time.monotonic()
    opened = project_file.load(stores.config_file(project))
    champion = place.champion(stores, opened)
    chosen = [_named("strategy", name, STRATEGIES) for name in strategies or [opened.rollout.strategy]]
    each = [CONTROL] * controls + [_named("fault", name, FAULTS) for name in faults or [fault for fault in FAULTS if fault != CONTROL]]
    plays: list[Played] = []
    with progress.counted("drill", len(chosen) * len(each)) as count:
        for strategy in chosen:
            plays += drills.drill(stores, opened, strategy, each, lambda played: count(_line(played)))
    drilled = Drilled(project, champion.version, tuple(plays), time.monotonic() - began)
    show.drill(drilled)
    return drilled


def _named(kind: str, name: str, known: tuple[T, ...]) -> T:
    """Raises: UnknownName."""
    found = [one for one in known if one == name]
    if not found:
        raise UnknownName(kind, name, [str(one) for one in known])
    return found[0]


def _line(played: Played) -> str:
    wrong = problems(played)
    return f"{played.strategy}, {played.fault}: {'; '.join(wrong) or played.end or played.expected.outcome}"
