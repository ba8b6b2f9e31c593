"""A replay that is killed at random moments until it is through."""

from __future__ import annotations

import os
import random
import select

from tests.proofs.crashes import ended_right
from tests.proofs.scenes import Command, Scenes
from tests.proofs.stage import PROJECT, Ended, Running
from tests.proofs.state import differences, told

REPLAYS: dict[str, Command] = {
    "new": ("replay", PROJECT, "--to", "2013-02"),
    "two periods": ("replay", PROJECT, "--to", "2013-04"),
}


def under_fire(scenes: Scenes, scene: str, seed: int, kills: int) -> list[str]:
    """What is wrong after `kills` kills and the same command again.

    A replay that gets through between two kills is held to the same state, and begun anew.
    """
    command, chance = REPLAYS[scene], random.Random(seed)
    undisturbed = scenes.undisturbed(scene, command)
    mean_s, there = scenes.seconds[scene, command] / 3, scenes.set(scene)
    for nth in range(kills):
        while not (ended := killed_after(there.start(*command), chance.expovariate(1 / mean_s))).killed:
            if ended.code or ended.unclear:
                return [f"exit {ended.code} after {nth} kills: {ended.said[-1500:]}"]
            if found := differences(undisturbed, told(there.root, PROJECT)):
                return [f"through after {nth} kills, and not right", *found]
            there = scenes.set(scene)
    return ended_right(there, command, undisturbed)


def killed_after(running: Running, seconds: float) -> Ended:
    """Kill a command at a moment, unless it ends before."""
    ends = os.pidfd_open(running.pid)  # readable as soon as the process has ended
    try:
        ended, _, _ = select.select([ends], [], [], seconds)
    finally:
        os.close(ends)
    return running.wait() if ended else running.kill()
