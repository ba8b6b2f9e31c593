"""Back to the last good release: the policy file alone, no registry and no orchestrator."""

from __future__ import annotations

from dataclasses import replace

from pillars.deployment import release as releases
from pillars.deployment import traffic
from pillars.errors import BundleRefused, UnknownName
from pillars.stores import Stores
from pillars.vocabulary import Rollout


def roll_back(stores: Stores, project_name: str, reason: str, expected_generation: int | None = None) -> Rollout:
    """Give all traffic to the last good release; the one that answered until now is not rolled back to again.

    While a release is on trial that is the champion: its share becomes nothing. Else it is the newest earlier release that loads. A pin is
    taken off: a person asks for this. Automation asks `pillars.deployment.rollout`.

    Without `expected_generation` each call goes one release further back. With it, a call repeated after a crash finds its own work done:
    a policy at the next generation that carries the same reason is returned as it is.

    Raises:
        UnknownName: there is no earlier release; nothing was changed.
        BundleRefused: no earlier release loads; nothing was changed.
        Overtaken: somebody else changed the policy first.
        Busy: another run exports or switches this project.
    """

    def back(current: Rollout | None) -> Rollout:
        if current is None or not (current.previous or current.trial or done(current)):
            raise UnknownName("earlier release", project_name, [])
        return current if done(current) else _onto_first_that_loads(stores, current, reason)

    def done(current: Rollout) -> bool:
        return expected_generation is not None and (current.generation, current.reason) == (expected_generation + 1, reason)

    return traffic.change(stores, project_name, expected_generation, back)


def _onto_first_that_loads(stores: Stores, current: Rollout, reason: str) -> Rollout:
    refused: BundleRefused | None = None
    good = (current.champion, *current.previous) if current.trial else current.previous
    for place, release in enumerate(good):
        try:
            releases.load(stores, release)
        except BundleRefused as err:
            refused = refused or err
        else:
            return replace(current, champion=release, previous=good[place + 1 :], trial=None, pin=None, reason=reason)
    raise refused or UnknownName("earlier release", current.project, [])
