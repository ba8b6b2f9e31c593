"""Killed at a write point, then asked for again: the state must be the one of an undisturbed run, and nothing may be left behind."""

from __future__ import annotations

from pathlib import Path

from tests.proofs.points import Point, Watch, common
from tests.proofs.scenes import STEPS, Command, Scenes
from tests.proofs.stage import PROJECT, Stage
from tests.proofs.state import differences, incomplete, told

ATTEMPTS = 3  # to come to a request that is not sent in every run


def points(scenes: Scenes, step: str) -> list[Point]:
    """All write points of a step, in the order in which an undisturbed run comes to them.

    Raises:
        AssertionError: something changed under the clone that no point names.
    """
    scene, command = STEPS[step]
    there = scenes.set(scene)
    before = _files(there.root)
    log = there.root.parent / "points"

    def watch() -> None:
        out = log.open("w", buffering=1)
        Watch(there.root, lambda point: out.write(f"{point.nth} {point.name}\n") and None).install()

    ended = there.perform(*command, before=watch)
    assert ended.code == 0, ended.said
    found = [Point(name, int(nth)) for nth, _, name in (line.partition(" ") for line in log.read_text().splitlines())]
    nameless = _unnamed(before, _files(there.root), {p.name for p in found})
    assert not nameless, f"changed, and no write point names them: {nameless}"
    return found


def crash(scenes: Scenes, step: str, point: Point) -> tuple[int, list[str]]:
    """Kill a step at `point` and give the same command again: how many kills it was, and what is wrong; empty when all is right.

    A request that the enumerating run had to send twice, for its server was busy, may not come again: no kill, but the end must be right.
    """
    scene, command = STEPS[step]
    undisturbed = scenes.undisturbed(scene, command)
    for _ in range(ATTEMPTS if point.kind == "http" else 1):
        there = scenes.set(scene)
        killed = there.perform(*command, before=Watch(there.root, fatal=point).install)
        if killed.killed:
            return 1, ended_right(there, command, undisturbed)
        if killed.code or killed.unclear or point.kind != "http":
            return 0, [f"the point was not reached: exit {killed.code}: {killed.said[-1500:]}"]
    return 0, differences(undisturbed, told(there.root, PROJECT))


def ended_right(there: Stage, command: Command, undisturbed: dict[str, object]) -> list[str]:
    """What is wrong after giving the command again; empty when the state is the undisturbed one."""
    again = there.perform(*command)
    if again.code or again.unclear:
        return [f"again: exit {again.code}: {again.said[-1500:]}"]
    return differences(undisturbed, told(there.root, PROJECT)) + incomplete(there.root, PROJECT)


def _files(root: Path) -> dict[str, tuple[int, int]]:
    """Files of a clone with their inode and time of change; git's objects are named by git's commands, databases by their commits."""
    skipped = (".git/",)
    found = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith(skipped):
            found[name] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def _unnamed(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]], names: set[str]) -> list[str]:
    """Files that were made or changed, and that no point names: neither them nor a folder of theirs that was given its name."""
    named = {name.split(" ", 2)[-1] for name in names}
    renamed = {name.removeprefix("file rename ") for name in names if name.startswith("file rename ")}

    def has_point(path: Path) -> bool:
        return common(str(path)) in named or path.name in named or bool(renamed & {common(str(p)) for p in path.parents})

    return sorted(name for name, seen in after.items() if seen != before.get(name) and not has_point(Path(name)))
