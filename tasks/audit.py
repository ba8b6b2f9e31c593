"""Beside the cycle: a data version looked at again, and how the run of it ends."""

from __future__ import annotations

from typing import cast

from prefect.states import Completed, Failed

from pillars.data import auditing, versions
from pillars.data.auditing import Audit
from tasks.policy import step

verify = step("verify both copies", retries=2)(versions.verify)
examine = step("check again", retries=2)(auditing.examine)


def nothing_yet(project: str) -> Audit | None:
    """A Completed run that says so: a schedule may fire before the first batch came."""
    return cast("Audit | None", Completed(message=f"nothing to look at: {project} has no data version yet"))


def ended(found: Audit) -> Audit:
    """The state in which an audit ends its run. Its name stays Prefect's own: the automation that tells of failures goes by it."""
    return cast("Audit", (Completed if found.sound else Failed)(message=found.said, data=found))
