"""Who answers: one small policy file per project, replaced as a whole, with a generation that grows by one with every change."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pillars.config import Project
from pillars.config_rollout import BASIS
from pillars.deployment import release as releases
from pillars.errors import Overtaken, StoreUnavailable
from pillars.stores import Stores, locked, write_atomically
from pillars.vocabulary import ModelVersion, Pin, Release, Rest, Rollout, Stage, Trial

FORMAT = 1
ROUTED = ("challenger", "shadow", "salt")  # what the prediction server reads of a trial


def read(stores: Stores, project_name: str) -> Rollout | None:
    """The policy in force; none before the first deployment and after `withdraw`.

    Raises:
        StoreUnavailable: the file is there and is no policy.
    """
    return _read(stores, project_name)[1]


def switch(
    stores: Stores, project: Project, release: Release, expected_generation: int, reason: str, instead: Rollout | None = None
) -> Rollout:
    """Give all traffic to `release`, if the policy is still at `expected_generation` (0: nobody answers yet).

    `instead`: what is on record, where the policy was edited or lost; the new one follows that, and generations count on.

    The release is loaded first: one that does not load changes nothing. A release that already answers stays as it is, so a repeat after a
    crash changes nothing. The newest `rollout.keep` earlier releases stay on disk for rollback, and those not switched to yet.

    Raises:
        Overtaken: somebody else changed the policy first.
        BundleRefused: the release does not load.
        Busy: another run exports or switches this project.
    """

    def onto(current: Rollout | None) -> Rollout:
        before = instead or current
        if before is None:
            return Rollout(project.project, 0, release, (), project.rollout.strategy, reason)
        if before.champion == release and instead is None:
            return before
        earlier = tuple(r for r in (before.champion, *before.previous) if r != release)[: project.rollout.keep]
        return replace(before, champion=release, previous=earlier, strategy=project.rollout.strategy, reason=reason, trial=None)

    rollout = change(stores, project.project, expected_generation, onto, instead.generation if instead else 0)
    with locked(_lock(stores, project.project), f"the releases of {project.project}"):
        _prune(stores, project.project)
    return rollout


def change(
    stores: Stores, project_name: str, expected_generation: int | None, to: Callable[[Rollout | None], Rollout], after: int = 0
) -> Rollout:
    """Replace the policy by what `to` makes of it (it keeps the generation), under the project's lock; generations count on from `after`.

    A policy that `to` returns as it is, is not written again. `expected_generation` None takes the policy at any generation.

    Raises:
        Overtaken: somebody else changed the policy first.
        BundleRefused, Busy: see `switch`.
    """
    with locked(_lock(stores, project_name), f"the traffic policy of {project_name}"):
        generation, current = _read(stores, project_name)
        wanted = to(current)
        if wanted == current:
            return wanted
        if expected_generation is not None and expected_generation != (current.generation if current else 0):
            raise Overtaken(f"the traffic policy of {project_name}", expected_generation, current.generation if current else 0)
        releases.load(stores, wanted.champion)
        if wanted.trial is not None:
            releases.load(stores, wanted.trial.challenger)
        rollout = replace(wanted, generation=max(generation, after) + 1)
        write_atomically(_file(stores, project_name), to_json(rollout))
        return rollout


def believed(now: Rollout | None, recorded: Rollout | None, promoted: Collection[ModelVersion]) -> bool:
    """Whether a policy can have come about by what is on record; `recorded` is the newest change there.

    It may be ahead of the record: whoever switched died before it was written there. Then it must name a version that was promoted.
    """
    if now == recorded:
        return True
    if now is None or (recorded and now.generation <= recorded.generation):
        return False
    named = {(r.version, r.sha256) for r in (now.champion, now.trial and now.trial.challenger) if r}
    return named <= {(v.version, v.sha256) for v in promoted}


def held_to(stores: Stores, now: Rollout | None, recorded: Rollout | None, promoted: Collection[ModelVersion]) -> Rollout | None:
    """The policy `now`, if it is `believed`.

    Raises:
        StoreUnavailable: it was edited, removed, or an older one was put back.
    """
    if believed(now, recorded, promoted):
        return now
    instead = f"run pillars deploy {recorded.project} --version {recorded.champion.version}" if recorded else "remove it and run again"
    problem = f"was edited: it names {_named(now)}, on record is {_named(recorded)}"
    file = _file(stores, next(policy.project for policy in (now, recorded) if policy))
    raise StoreUnavailable(str(file), problem, f"Nothing was changed; restore the file, or {instead}.")


def _named(policy: Rollout | None) -> str:
    return f"v{policy.champion.version} at generation {policy.generation}" if policy else "nobody"


def withdraw(stores: Stores, project_name: str) -> None:
    """Let nobody answer, as before the first deployment; generations go on counting, so that no prediction's generation comes twice."""
    with locked(_lock(stores, project_name), f"the traffic policy of {project_name}"):
        generation, current = _read(stores, project_name)
        if current is not None:
            write_atomically(
                _file(stores, project_name), _to_json({"project": project_name, "generation": generation + 1, "champion": None})
            )


def _prune(stores: Stores, project_name: str) -> None:
    rollout = read(stores, project_name)
    if rollout is not None:
        kept = {r.path for r in (rollout.champion, *rollout.previous, rollout.trial and rollout.trial.challenger) if r}
        releases.prune(stores, project_name, kept, rollout.champion.version)


def _file(stores: Stores, project_name: str) -> Path:
    return releases.folder(stores, project_name) / "policy.json"


def _lock(stores: Stores, project_name: str) -> Path:
    return releases.folder(stores, project_name) / ".lock"


def _read(stores: Stores, project_name: str) -> tuple[int, Rollout | None]:
    """The generation of the last change (0: none yet), and the policy."""
    path = _file(stores, project_name)
    try:
        content = json.loads(path.read_bytes())
        if content.pop("format") != FORMAT:
            raise ValueError("unknown format")
        return content["generation"], _from_json(content)
    except FileNotFoundError:
        return 0, None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        remedy = "Nothing was changed; restore the file, or remove it and run pillars deploy."
        raise StoreUnavailable(str(path), f"cannot be read as a traffic policy ({err!r})", remedy) from err


def _from_json(content: dict[str, Any]) -> Rollout | None:
    if content["champion"] is None:
        return None
    previous, trial = tuple(Release(**r) for r in content["previous"]), _trial(content.get("trial"))
    routed = {name: content.pop(name) for name in ROUTED if name in content}
    if routed != json.loads(json.dumps(_routed(trial))):
        raise ValueError("what it routes by is not what its trial says")
    pin, rest = content.get("pin"), content.get("rest")
    others = {
        "pin": pin and Pin(**pin),
        "rest": rest and Rest(rest["until"], tuple(rest["harmed"])),
    }
    return Rollout(**{**content, "champion": Release(**content["champion"]), "previous": previous, "trial": trial, **others})


def _trial(content: dict[str, Any] | None) -> Trial | None:
    if content is None:
        return None
    stages = tuple(Stage(**stage) for stage in content["stages"])
    if not stages or any(not 0 <= stage.weight_bp <= BASIS for stage in stages):
        raise ValueError("a trial without a share")
    return Trial(**{**content, "challenger": Release(**content["challenger"]), "stages": stages})


def to_json(rollout: Rollout) -> bytes:
    """A policy as the file has it."""
    return _to_json(_content(rollout))


def _content(rollout: Rollout) -> dict[str, Any]:
    """All of it, without what there is not; and what the router goes by, which needs to know nothing of trials."""
    content = {name: value for name, value in asdict(rollout).items() if value is not None}
    return {**content, **_routed(rollout.trial)}


def _routed(trial: Trial | None) -> dict[str, Any]:
    if trial is None:
        return {}
    challenger = asdict(trial.challenger)
    if trial.mode == "shadow":
        return {"shadow": challenger, "salt": trial.salt}
    return {"challenger": {**challenger, "weight_bp": trial.stages[-1].weight_bp}, "salt": trial.salt}


def _to_json(content: dict[str, Any]) -> bytes:
    return json.dumps({"format": FORMAT, **content}, indent=1).encode() + b"\n"
