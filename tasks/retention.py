"""Beside the cycle: what is older than its time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

from pillars.answers import retained
from pillars.answers.history import TRAFFIC, facts_of
from pillars.data import pinned, retention
from pillars.data.retention import Plan
from pillars.deployment import aging
from pillars.vocabulary import Candidate, DataVersion, Json, Rollout, Stage
from tasks.opened import Opened
from tasks.policy import step

REQUESTS = "requests_before"  # among a decision's facts: requests before that moment are gone


@dataclass(frozen=True)
class Retained:
    """What was decided, on the ledger's `row` (0: nothing was, or only looked at): all of the plan whose time is over, and in it `files`,
    `objects` and `requests` that were deleted now. `version` is the data set's newest.
    """

    plan: Plan
    version: str
    row: int


def plan(opened: Opened, now: datetime | None = None) -> Plan | None:
    """What goes; None where nothing is limited, or nothing is there. Requests grow old by the clock, and those since a trial began stay
    until it has ended: it is judged by all of them."""
    periods = opened.past.periods("ingest")
    if opened.past.periods("ingest", "accept"):
        found = retention.plan(opened.stores, opened.config, periods, opened.past.newest(), needed(opened))
    else:
        found = Plan(opened.name, "", (), (), (), {}, ())
    if (days := opened.config.retention.requests_days) is not None:
        before = (now or datetime.now(UTC)).replace(microsecond=0) - timedelta(days=days)
        if (rollout := opened.answering()) and rollout.trial:
            before = min(before, _begun(opened, rollout.trial.stages[0]))
        gone = aging.older(opened.stores, opened.name, before)
        found = replace(found, requests=gone, requests_before=before.isoformat())
    return found if found.collected or found.rows or found.requests else None


def needed(opened: Opened) -> dict[str, str]:
    """Data versions that must stay whole, and for whom: who answers or is on trial, releases that a rollback may go back to, the champion
    and the candidate on their way, periods under way, and the pin. Other registered models hold nothing back.
    """
    past, found = opened.past, defaultdict[str, list[str]](list)
    trained = {model.version: model.data_version for model in past.versions()}
    if rollout := opened.answering():
        tried = [(rollout.trial.challenger, "is on trial")] if rollout.trial else []
        for release, why in ((rollout.champion, "answers"), *tried, *((one, "is kept for rollback") for one in rollout.previous)):
            if version := trained.get(release.version):
                found[version].append(f"v{release.version} {why}")
    if (champion := past.champion()) in trained and champion is not None:
        found[trained[champion]].append(f"v{champion} is champion")
    if newest := past.latest("train"):
        candidate = facts_of(newest, Candidate)
        found[candidate.data_version].append(f"the candidate of {candidate.period} is the newest")
    finished = past.periods("cycle")
    for period in past.periods("ingest", "accept"):
        if period not in finished:
            found[past.ingested(period).id].append(f"{period} is not through the loop")
    if pinned.project_of(opened.stores) == opened.name and (pin := pinned.version_id(opened.stores)):
        found[pin].append(f"{pinned.PIN} pins it")
    return {version: "; ".join(dict.fromkeys(why)) for version, why in found.items()}


def _begun(opened: Opened, stage: Stage) -> datetime:
    """When a trial's first share was on record, for one that goes by its rows' clock says nothing of today's; not yet: ever."""
    since = datetime.fromisoformat(stage.since)
    if since.tzinfo is not None:
        return since
    entries = (entry for entry in opened.ledger.entries(opened.name) if entry.decision in TRAFFIC)
    told = (datetime.fromisoformat(entry.at) for entry in entries if facts_of(entry, Rollout).generation == stage.generation)
    return next(told, datetime.min.replace(tzinfo=UTC))


@step("drop rows from the data set", retries=2)
def drop(opened: Opened, what: Plan) -> DataVersion | None:
    """The newest version, without rows whose time is over."""
    return retention.drop(opened.stores, opened.config, what, datetime.now(UTC))


def record(opened: Opened, what: Plan, version: DataVersion | None) -> int:
    """The row of a decision: the newest one where it says all that is to be said, else a new one."""
    known = retained.dropped(opened.ledger.entries(opened.name))
    collected = [period for period in what.collected if period not in known["collected"]]
    rows = [period for period in what.rows if period not in known["rows"]]
    held: list[Json] = [asdict(one) | {"periods": list(one.periods)} for one in what.held]
    before = opened.past.latest(retained.DECISION)
    told = str(before.facts.get(REQUESTS) or "") if before else ""
    requests = [path for path in what.requests if not told or _through(path) >= datetime.fromisoformat(told)]
    if before and not collected and not rows and not requests and before.facts["held"] == held:
        return before.seq
    new: dict[str, Json] = {"collected": [*collected], "rows": [*rows], "held": held}
    if what.requests_before:
        new[REQUESTS] = max(told, what.requests_before) if requests else told
    facts = {**new, "newest": what.newest, "version": version.id if version else "", "objects": sorted(what.objects.values())}
    also = f"; {len(requests)} files of requests before {what.requests_before}" if requests else ""
    reason = f"older than its time: what came in of {_named(collected)}; rows of {_named(rows)}{also}{_held(what)}"
    return opened.record(retained.DECISION, new | {"after": before.seq if before else 0}, ("accept", reason), facts).seq


@step("delete what is older than its time", retries=2)
def delete(opened: Opened, what: Plan, row: int) -> Plan:
    """Files, objects and requests of a plan that is on record."""
    requests = aging.delete(opened.stores, opened.name, what.requests)
    return replace(retention.delete(opened.stores, what, row), requests=requests)


def _through(path: str) -> datetime:
    return aging.through(path) or datetime.max.replace(tzinfo=UTC)


def _named(periods: list[str]) -> str:
    return "no more periods" if not periods else periods[0] if len(periods) == 1 else f"{len(periods)} periods to {periods[-1]}"


def _held(what: Plan) -> str:
    said = "; ".join(f"version {one.version[:12]} ({one.why})" for one in what.held)
    return f"; files held back for {said}" if said else ""
