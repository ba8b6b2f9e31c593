"""Where a proof begins: the clone after some commands, made once and brought back before each try."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.proofs.stage import PROJECT, Ended, Stage, build, warm
from tests.proofs.state import told

Command = tuple[str, ...]
P = PROJECT
SCENES: dict[str, tuple[str, tuple[Command, ...]]] = {"new": ("", ())}  # the scene before, and what was done since
STEPS: dict[str, tuple[str, Command]] = {}  # each step of a cycle: the scene it begins in, and its command


def _lay(base: str, period: str) -> None:
    """The steps of one period's cycle; the last is the cycle itself, which finds the others done."""
    scene = base
    for verb in ("ingest", "score", "monitor", "train", "promote", "deploy", "cycle"):
        step, command = f"{verb} {period}", (verb, P) if verb == "deploy" else (verb, P, period)
        STEPS[step] = (scene, command)
        SCENES[step] = (scene, (command,))
        scene = step


_lay("new", "2013-01")  # the first cycle of an installation makes every store
SCENES["two periods"] = ("new", (("replay", P, "--to", "2013-02"),))
_lay("two periods", "2013-03")  # a later one finds them
SCENES["candidate waits"] = ("train 2013-03", tuple((verb, P, "2013-04") for verb in ("ingest", "score", "monitor")))
SCENES["two candidates"] = ("candidate waits", (("train", P, "2013-04"),))


@dataclass
class Scenes:
    """The scenes of one process, in a folder of its own."""

    folder: Path
    stage: Stage
    _made: set[str] = field(default_factory=set)
    _states: dict[tuple[str, tuple[Command, ...]], dict[str, Any]] = field(default_factory=dict)
    seconds: dict[tuple[str, Command], float] = field(default_factory=dict)

    @classmethod
    def begin(cls, folder: Path, slices: Path) -> Scenes:
        stage = build(folder, slices)
        warm(stage)
        return cls(folder, stage)

    def set(self, name: str) -> Stage:
        """The clone as this scene has it."""
        there = Stage(self.stage.root, self.folder / name.replace(" ", "-"))
        if name in self._made:
            there.restore()
            return there
        before, commands = SCENES[name]
        if before:
            self.set(before)
        else:
            self.stage.restore()
        for command in commands:
            must(there, command)
        there.keep()
        self._made.add(name)
        return there

    def undisturbed(self, scene: str, *commands: Command) -> dict[str, Any]:
        """The state that commands leave, one after the other, when nothing disturbs them."""
        if (scene, commands) not in self._states:
            there = self.set(scene)
            for command in commands:
                start = time.perf_counter()
                must(there, command)
                self.seconds[scene, command] = time.perf_counter() - start
            self._states[scene, commands] = told(there.root, PROJECT)
        return self._states[scene, commands]


def must(stage: Stage, command: Sequence[str]) -> Ended:
    """Give a command that has to do what it is asked to."""
    ended = stage.perform(*command)
    if ended.code:
        raise AssertionError(f"pillars {' '.join(command)} ended with {ended.code}:\n{ended.said}")
    return ended
