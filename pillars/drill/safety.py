"""Whether the state after a fault is a safe one: one champion answers, the policy can be read, the record agrees, no answer is lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from pillars.deployment import traffic
from pillars.drill.load import Answer
from pillars.drill.place import Place
from pillars.drill.serving import Server
from pillars.errors import PillarsError
from pillars.vocabulary import Rollout


def unsafe(
    place: Place, server: Server, recorded: Rollout | None, answers: Collection[Answer], probes: Sequence[Answer]
) -> tuple[str, ...]:
    """What is wrong; () where nothing is. `recorded`: the newest change on record. `answers`: all of the play; `probes`: those asked after
    the fault was over."""
    found = []
    try:
        now = traffic.read(place.stores, place.name)
        place.ledger().verify()
    except PillarsError as err:
        return (str(err),)
    if now is None:
        return ("nobody answers by the policy",)
    if recorded != now:
        found.append(f"the policy is at generation {now.generation}, on record is {recorded.generation if recorded else 'nothing'}")
    found += _served(server, now) + _lost(place, answers)
    if failed := [one for one in probes if one.status != 200 or one.fallback]:
        found.append(f"{len(failed)} of {len(probes)} requests after it were not answered as they should be (HTTP {failed[0].status})")
    known = {now.champion.version} | ({now.trial.challenger.version} if now.trial else set())
    if others := {one.version for one in probes if one.status == 200} - known:
        found.append(f"v{min(others)} answers, and is not the policy's")
    if not probes:
        found.append("nobody was asked after it")
    return tuple(found)


def _served(server: Server, now: Rollout) -> list[str]:
    said = server.version()
    champions = [arm["version"] for arm in said.get("arms", ()) if arm["role"] == "champion"]
    if champions != [now.champion.version]:
        return [f"the server's champions are {champions}, the policy's is v{now.champion.version}"]
    if (said["generation"], said["refused"], said["fallback"]) != (now.generation, "", None):
        return [f"the server is at generation {said['generation']}, the policy at {now.generation} ({said['refused'] or said['fallback']})"]
    return []


def logged(place: Place) -> Iterator[dict[str, Any]]:
    """What the server wrote of requests, in whole lines; the newest segment first."""
    for file in sorted((place.stores.var / "served" / place.name / "log").glob("*.jsonl"), reverse=True):
        yield from (row for line in file.read_bytes().split(b"\n")[:-1] if "kind" not in (row := json.loads(line)))


def _lost(place: Place, answers: Collection[Answer]) -> list[str]:
    ids = Counter(row["id"] for row in logged(place))
    told = [f"{one.id}-0" for one in answers if one.status == 200]
    lost = [id for id in told if ids[id] == 0]
    twice = [id for id in told if ids[id] > 1]
    return ([f"{len(lost)} acknowledged answers are not on record"] if lost else []) + ([f"{len(twice)} stand twice"] if twice else [])
