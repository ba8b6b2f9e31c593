"""The disk fills up, at any step of a cycle: one sentence, the old state; freed, the same command ends as if nothing had been."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.bad_days.world import NEXT, Disk, ahead_of, drafts, record, refuses
from tests.proofs.state import differences, told

pytestmark = [pytest.mark.flow, pytest.mark.slow]

STEPS = {  # in the order of a cycle: the function before which the disk is full, and what the record has gained by then
    "pillars.data.collection.periods": [],
    "pillars.data.versions.publish": [],
    "pillars.deployment.scoring.keep": ["ingest"],
    "pillars.monitoring.drift.compare": ["ingest", "score"],
    "pillars.training.tuning.tune": ["ingest", "score", "monitor"],
    "pillars.training.refitting.refit": ["ingest", "score", "monitor"],
    "pillars.development.experiments.log_training": ["ingest", "score", "monitor"],
    "pillars.monitoring.registry.register": ["ingest", "score", "monitor", "train"],
    "pillars.deployment.release.export": ["ingest", "score", "monitor", "train", "promote"],
    "pillars.deployment.traffic.switch": ["ingest", "score", "monitor", "train", "promote"],
    "tasks.closing.finished": ["ingest", "score", "monitor", "train", "promote", "deploy"],
}


def test_a_disk_that_is_full_at_each_step_in_turn_leaves_the_state_of_an_undisturbed_cycle(
    disk: Callable[[int], Disk], undisturbed: dict[str, Any]
):
    small = disk(64)
    before = small.ask(record)
    policy = small.ask(traffic_file)
    for step, gained in STEPS.items():
        ended = small.perform("cycle", "small", NEXT, before=partial(ahead_of, step, small.fill))
        refuses(ended, 6, "run")
        small.free()
        now = small.ask(record)
        assert now[: len(before)] == before, step
        assert [line.split()[0] for line in now[len(before) :]] == gained, step
        assert small.ask(drafts) == [], step
        assert (small.ask(traffic_file) == policy) == ("deploy" not in gained), step
    done = small.perform("cycle", "small", NEXT)
    assert done.code == 0, done.said
    assert differences(undisturbed, small.ask(partial(told, project="small"))) == []


def test_a_server_of_our_own_is_not_even_started_on_a_full_disk(disk: Callable[[int], Disk]):
    """It would fail after a minute, with an `Internal Server Error`."""
    small = disk(64)

    def full_and_alone() -> None:
        small.fill()
        for name in ("PREFECT_API_URL", "PREFECT_SERVER_EPHEMERAL_ENABLED"):
            del os.environ[name]

    refuses(small.perform("cycle", "small", before=full_and_alone), 6, "var/prefect", "No space left on device", "free")


def traffic_file(root: Path) -> str:
    return (root / "var" / "releases" / "small" / "policy.json").read_text()
