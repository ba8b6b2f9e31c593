"""Beside the cycle: what lies between two registered versions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pillars.answers import compared
from pillars.errors import TooFewRows
from pillars.monitoring import origin
from pillars.reproduction import attributing
from pillars.reproduction.attributing import Bench
from pillars.vocabulary import Attribution
from tasks import progress
from tasks.opened import Opened
from tasks.policy import step


@contextmanager
def bench(opened: Opened, one: str, other: str) -> Iterator[Bench]:
    """Two versions laid out, with the newest rows that neither was fitted on; where there are none, with the newest of those they were.

    Raises: TooFewRows, and what `attributing.bench` does.
    """
    stores, config = opened.stores, opened.config
    first, last = (compared.numbered(stores, config, word) for word in (one, other))
    through = [origin.read(stores, opened.name, number).fitted_through for number in (first, last)]
    ground = compared.unseen(stores, config, *through)
    if ground.version is None:
        raise TooFewRows(opened.name, "it has no data version")
    recorded = [entry.facts for entry in reversed(opened.ledger.entries(opened.name, "configure", every_epoch=True))]
    with attributing.bench(stores, config, first, last, recorded, ground.period or max(through), ground.version) as found:
        yield found


def attribution(found: Bench) -> Attribution:
    """Every fit as a step of its own, then what each factor moved."""
    with progress.counted(f"compare {found.project.project}", len(found.fits)) as count:
        for state in found.fits:
            fit(found, state)
            count(found.named(state))
    return found.attribution()


@step("fit again", retries=2)
def fit(found: Bench, state: attributing.State) -> None:
    """One fit, whose scores are kept. Raises: RebuildFailed."""
    found.fit(state)
