"""What the command proposes for a project's expectations: nothing is changed before it is asked for."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from pillars.errors import ConfigInvalid, UnknownName
from pillars.stores import Stores, write_atomically


def propose(project: str, over: int, k: float, *, write: bool, as_json: bool) -> None:
    """Print bounds, their back-test and the diff; `write` puts them into the YAML. Raises: UnknownName, DataCorrupt, ConfigInvalid."""
    from pillars import project_file
    from pillars.data import backtest, suite_text, versions
    from pillars.data.expecting import FACTS_FROM, STATISTICS_FROM, Limits

    stores = Stores()
    file = stores.config_file(project)
    opened = project_file.load(file)
    version = versions.head(stores, opened)
    if version is None:
        raise UnknownName("data version", "newest", [])
    limits = Limits(over, k)
    read: backtest.Read = lambda kind, period: versions.read(stores, version, kind, [period])  # noqa: E731
    found = {
        "rows": backtest.walk(opened, "rows", version.periods, read, limits),
        "outcomes": backtest.walk(opened, "outcomes", versions.with_outcomes(stores, version), read, limits),
    }
    before = file.read_bytes().decode("utf-8")
    after = suite_text.merge(file.name, before, [t.bound.expectation for each in found.values() for t in each.tested])
    diff = suite_text.difference(f"configs/{file.name}", before, after)
    if write and after != before:
        _replace(file, before, after)
    batches = len(version.periods)
    unsaid = [
        f"{what}: {batches} batches, {least} are needed before anything is claimed"
        for what, least in (("facts and categories", FACTS_FROM), ("statistics", STATISTICS_FROM))
        if batches < least
    ]
    checks, alarms = (sum(getattr(each, name) for each in found.values()) for name in ("checks", "alarms"))
    told = {
        "project": opened.project,
        "version": version.id,
        "batches": batches,
        "unsaid": unsaid,
        "bounds": [_plain(t) for each in found.values() for t in each.tested],
        "walk_forward": {"checks": checks, "alarms": alarms, "alarm_share": alarms / checks if checks else None},
        "false_alarms": [one for each in found.values() for one in each.false_alarms],
        "diff": diff,
        "written": write and bool(diff),
    }
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        _tell(told)


def _replace(file: Any, before: str, after: str) -> None:
    """Put the new text in place; the old one comes back when the new cannot be read."""
    from pillars import project_file

    write_atomically(file, after.encode())
    try:
        project_file.load(file)
    except ConfigInvalid:
        write_atomically(file, before.encode())
        raise


def _plain(tested: Any) -> dict[str, Any]:
    expectation = tested.bound.expectation
    said = asdict(tested) | {"bound": tested.bound.basis, "effect": "block" if expectation.severity == "critical" else "warn"}
    return said | {"expectation": expectation.model_dump(mode="json")}


def _tell(told: dict[str, Any]) -> None:
    for line in told["unsaid"]:
        click.echo(f"no claim about {line}")
    for bound in told["bounds"]:
        said = bound["expectation"]
        about = ", ".join(f"{k}={_short(v)}" for k, v in said["kwargs"].items())
        failed = f"would have failed {', '.join(bound['failed'])}" if bound["failed"] else "no past batch fails it"
        broken = f"; could not run on {', '.join(bound['could_not_run'])}" if bound["could_not_run"] else ""
        outcomes = "outcomes: " if said["table"] == "outcomes" else ""
        click.echo(f"{bound['effect']:5}  {bound['bound']:9}  {outcomes}{said['type'].removeprefix('expect_')} {about}")
        click.echo(f"                  {failed}{broken}; {said['note']}")
    walked = told["walk_forward"]
    if walked["checks"]:
        share = f"{walked['alarms']} of {walked['checks']} ({walked['alarm_share']:.2%})"
        click.echo(f"\nwalked forward, each batch by bounds of the earlier ones alone: {share} alarms on batches that were accepted")
        for one in told["false_alarms"]:
            click.echo(f"  {one}")
    same = "the YAML has all of this already" if told["bounds"] else "nothing is proposed"
    click.echo(f"\n{told['diff'] or same}")
    if told["diff"]:
        click.echo(
            "written"
            if told["written"]
            else f"nothing was written; with --write: pillars data expectations propose {told['project']} --write"
        )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
