"""One side of the price bench in a process of its own: `python -m bench.one loop|plain PROJECT PERIODS ANSWER`; see `bench.price`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from bench.clock import Clock
from bench.found import Month, on_record
from pillars.stores import Stores

REST = "the rest"
TASKS = {  # Prefect's names of the steps -> the table's
    "collect batch": "collect",
    "check and clean": "check",
    "publish data version": "publish",
    "score batch": "score",
    "compare with reference": "drift",
    "judge realized quality": "quality",
    "search": "search",
    "judge challenger": "judge",
    "refit through newest period": "refit",
    "log to MLflow": "log",
    "register model": "register",
    "move alias": "register",
    "export release": "export",
    "switch traffic": "switch",
    "record decision": "ledger",
}
PLAIN = {  # functions of bench.plain -> the same steps
    "collect": "collect",
    "check": "check",
    "publish": "publish",
    "score": "score",
    "drift": "drift",
    "quality": "quality",
    "search": "search",
    "judge": "judge",
    "refit": "refit",
    "log": "log",
    "register": "register",
}


def main() -> None:
    """Run one side and write what it measured and found."""
    side, project, last, answer = sys.argv[1:]
    clock = Clock()
    with clock.step(REST):
        months = {"loop": loop, "plain": plain}[side](clock, project, last)
    content = {"wall_s": clock.wall_s, "cpu_s": clock.cpu_s, "months": [asdict(month) for month in months]}
    Path(answer).write_text(json.dumps(content))


def plain(clock: Clock, project: str, last: str) -> list[Month]:
    """The plain script, its functions watched."""
    from bench import plain as script

    for function, step in PLAIN.items():
        clock.watch(script, step, function)
    return script.year(Stores(), project, last)


def loop(clock: Clock, project: str, last: str) -> list[Month]:
    """The loop's `replay`, its tasks, ledger, settings and everything of Prefect watched."""
    with clock.step("start"):
        from flows.terminal import choose_prefect

        choose_prefect(Stores())
        import prefect

        from flows.replay import replay
        from pillars import project_file
        from pillars.monitoring.ledger import Ledger
        from tasks import data, deployment, development, monitoring, opened, progress, show, training

    for module in (data, deployment, development, monitoring, opened, training):
        for task in [value for value in vars(module).values() if isinstance(value, prefect.Task)]:
            task.fn = clock.counted(TASKS.get(task.name, REST), task.fn)
    clock.watch(Ledger, "ledger", "__init__", "verify", "record", "find", "latest", "entries")
    clock.watch(project_file, "settings", "load")
    clock.watch(show, "Prefect", "validation", "leaderboard", "candidate", "decision", "scored", "verdict", "rollout")
    clock.watch(progress, "Prefect", "create_progress_artifact", "update_progress_artifact")
    watch_flows(clock)
    replay(project, last=last)
    return on_record(project)


def watch_flows(clock: Clock) -> None:
    """Count what happens between a flow's call and its function, and between a task's, as Prefect's own."""
    import prefect

    from flows import cycle, deploy, ingest, monitor, promote, replay, score, train

    for module in (cycle, deploy, ingest, monitor, promote, replay, score, train):
        flow = getattr(module, module.__name__.rpartition(".")[2])
        flow.fn = clock.counted(REST, flow.fn)
    clock.watch(prefect.Flow, "Prefect", "__call__")
    clock.watch(prefect.Task, "Prefect", "__call__")


if __name__ == "__main__":
    main()
