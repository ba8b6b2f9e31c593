"""Commands let loose at the same moment, in processes of their own: one outcome each, nothing lost, no lock's error for a user."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pillars.deployment import traffic
from pillars.monitoring.ledger import Ledger
from tests.proofs.scenes import Command, Scenes, must
from tests.proofs.stage import PROJECT, Ended, Stage
from tests.proofs.state import differences, incomplete, leftovers, stores_of, told

P = PROJECT
LATE = 7  # exit code of Busy and Overtaken: somebody was first, said in one sentence
Check = Callable[[Scenes, str, Stage, Sequence[Command]], list[str]]


@dataclass(frozen=True)
class Race:
    """Commands from one scene, what must be so when all have ended; `late`: a command may say that somebody was first."""

    scene: str
    commands: tuple[Command, ...]
    right: Check
    late: bool = False
    sample: int = 1  # times in a sample


def as_one(scenes: Scenes, scene: str, there: Stage, commands: Sequence[Command]) -> list[str]:
    """The state is the one that the first command alone leaves."""
    return differences(scenes.undisturbed(scene, commands[0]), told(there.root, P))


def as_in_turn(scenes: Scenes, scene: str, there: Stage, commands: Sequence[Command]) -> list[str]:
    """Each decision is on record once and as if the commands had come one after the other, in whatever order they did."""
    raced = told(there.root, P)
    for command in commands:  # given once more, they change nothing
        must(there, command)
    again = told(there.root, P)
    orders = (tuple(commands), tuple(commands[::-1]))
    found = min((differences(_unordered(scenes.undisturbed(scene, *order)), _unordered(raced)) for order in orders), key=len)
    return found + differences(raced, again)


def all_there(scenes: Scenes, scene: str, there: Stage, commands: Sequence[Command]) -> list[str]:
    """Every period that was asked for is in the newest version and once on record, and the loop goes on."""
    entries = Ledger(stores_of(there.root)).entries(P, "ingest")
    asked = sorted(command[-1] for command in commands)
    newest = max((e.facts["version"]["periods"] for e in entries), key=len)  # type: ignore[index, call-overload]
    found = [] if list(newest) == asked else [f"the newest version has {newest}, not {asked}"]
    found += [] if sorted(str(e.inputs["period"]) for e in entries) == asked else ["a period is not on record exactly once"]
    found += incomplete(there.root, P)
    must(there, ("cycle", P, asked[0]))
    return found


def one_champion(scenes: Scenes, scene: str, there: Stage, commands: Sequence[Command]) -> list[str]:
    """Traffic, ledger and alias name one champion, each generation is on record once, and a rollback works."""
    found = _one_champion(there)
    must(there, ("rollback", P, "--reason", "after a race"))
    return found + _one_champion(there)


RACES: dict[str, Race] = {
    "ingest of one period, three times": Race("two periods", (("ingest", P, "2013-03"),) * 3, as_one),
    "ingest of four periods": Race("new", tuple(("ingest", P, f"2013-0{m}") for m in (1, 2, 3, 4)), all_there, sample=20),
    "cycle against cycle": Race("two periods", (("cycle", P, "2013-03"),) * 2, as_one),
    "first cycle against first cycle": Race("new", (("cycle", P, "2013-01"),) * 2, as_one),
    "replay against replay": Race("two periods", (("replay", P, "--to", "2013-04"),) * 2, as_one),
    "score against score": Race("ingest 2013-03", (("score", P, "2013-03"),) * 2, as_one),
    "monitor against monitor": Race("score 2013-03", (("monitor", P, "2013-03"),) * 2, as_one),
    "train against train": Race("monitor 2013-03", (("train", P, "2013-03"),) * 2, as_one),
    "train against promote": Race("candidate waits", (("train", P, "2013-04"), ("promote", P, "2013-03")), as_in_turn),
    "two promotions of one candidate": Race("train 2013-03", (("promote", P, "2013-03"),) * 2, as_one),
    "two promotions of two candidates": Race("two candidates", (("promote", P, "2013-03"), ("promote", P, "2013-04")), as_in_turn),
    "two deploys of one version": Race("promote 2013-03", (("deploy", P),) * 2, as_one),
    "two deploys of two versions": Race("cycle 2013-03", tuple(("deploy", P, "--version", v) for v in ("1", "2")), one_champion, late=True),
    "deploy against rollback": Race("promote 2013-03", (("deploy", P), ("rollback", P, "--reason", "a race")), one_champion, late=True),
    "rebuild against cycle": Race("two periods", (("cycle", P, "2013-03"), ("data", "rebuild", P)), one_champion),
}


def raced(scenes: Scenes, name: str, seed: int) -> list[str]:
    """What is wrong after this race; empty when all is right."""
    race = RACES[name]
    for command in race.commands[:1] if race.right is as_one else ():
        scenes.undisturbed(race.scene, command)
    there, order = scenes.set(race.scene), list(race.commands)
    random.Random(seed).shuffle(order)
    found = [
        f"pillars {' '.join(command)}: exit {ended.code}: {ended.said[-1500:]}"
        for command, ended in zip(order, at_once(there, order), strict=True)
        if ended.unclear or ended.code not in ((0, LATE) if race.late else (0,))
    ]
    return found or race.right(scenes, race.scene, there, race.commands) + leftovers(there.root, P)


def at_once(there: Stage, commands: Sequence[Command]) -> list[Ended]:
    """Let the commands loose together: each waits, ready, until all are."""
    ready_r, ready_w = os.pipe()
    go_r, go_w = os.pipe()

    def wait() -> None:
        os.close(go_w)
        os.write(ready_w, b".")
        os.read(go_r, 1)  # returns when the starter closes its end

    running = [there.start(*command, before=wait) for command in commands]
    for _ in running:
        os.read(ready_r, 1)
    for end in (go_w, go_r, ready_r, ready_w):
        os.close(end)
    return [one.wait() for one in running]


def _one_champion(there: Stage) -> list[str]:
    stores = stores_of(there.root)
    ledger, now = Ledger(stores), traffic.read(stores, P)
    ledger.verify()
    if now is None:
        return ["nobody answers"]
    made = [e for e in ledger.entries(P) if e.decision in ("deploy", "rollback")]
    generations = [int(str(e.inputs["generation"])) for e in made]
    found = [] if generations and max(generations) == now.generation else [f"generation {now.generation}, on record {generations}"]
    alias = {int(v) for v in told(there.root, P)["mlflow"]["alias"].values()}
    return found + ([] if alias == {now.champion.version} else [f"v{now.champion.version} answers, the alias says {alias}"])


def _unordered(state: dict[str, Any]) -> dict[str, Any]:
    """The state with the ledger's rows in an order of their own."""
    return {**state, "ledger": sorted(state["ledger"], key=lambda entry: json.dumps(entry, sort_keys=True))}
