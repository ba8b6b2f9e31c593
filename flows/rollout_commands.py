"""What the command says of a release on trial, and of a version that is held in place."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

import click

from flows import terminal
from pillars.errors import UnknownName
from pillars.vocabulary import Judgement, Looked, TrialReport


def rollout(project: str, *, as_json: bool) -> int:
    """Look once, and print what it came to; 1 when the release on trial harmed, else 0. Raises: UnknownName, StoreUnavailable."""
    looked: Looked | None = terminal.perform("rollout", {"project": project})
    if looked is None:
        raise UnknownName("champion", project, [])
    if as_json:
        click.echo(json.dumps(asdict(looked), indent=2))
    else:
        _tell(looked)
    return 1 if looked.judgement and looked.judgement.health == "harmful" else 0


def pin(words: Sequence[str], reason: str, *, as_json: bool) -> None:
    """Pin a version and print who answers. Raises: UsageError, UnknownName, BundleRefused."""
    if len(words) > 2:
        raise click.UsageError("a version and a project, no more; nothing was done")
    if words[0] != "champion" and not (words[0].isascii() and words[0].isdigit() and len(words[0]) < 10):
        raise click.UsageError(f"{words[0]!r} is no version: a number, or champion; nothing was done")
    version = None if words[0] == "champion" else int(words[0])
    given = {"project": words[1] if len(words) == 2 else "flights", "version": version, "reason": reason}
    terminal.show(terminal.perform("pin", given), as_json)


def verdict(project: str, port: int | None, host: str, *, arms: bool, as_json: bool) -> int:
    """Print the verdict on what is on trial, 1 when it harms; or answer it over HTTP until ^C. Raises: UnknownName, StoreUnavailable."""
    from datetime import UTC, datetime

    from pillars import project_file
    from pillars.answers import trials
    from pillars.stores import Stores

    stores = Stores()
    opened = project_file.load(stores.config_file(project))

    def ask() -> Judgement:
        return trials.verdict(stores, opened, datetime.now(UTC))

    if port is not None:
        from pillars.deployment import verdicts

        with verdicts.server(host, port, ask) as serving:
            click.echo(f"http://{host}:{serving.server_port}/verdict", err=True)
            serving.serve_forever()
    found = ask()
    told = trials.reported(stores, opened) if arms else None
    if as_json:
        click.echo(json.dumps(asdict(found) | ({"report": asdict(told)} if told else {}), indent=2))
    else:
        _tell_judgement(found)
        if told:
            _tell_arms(told)
    return 1 if found.health == "harmful" else 0


def manifests(project: str, target: Literal["kserve", "argo"], given: dict[str, Any], *, as_json: bool) -> None:
    """Print manifests as YAML, or JSON. Raises: UnknownName, OptionInvalid, NobodyAnswers, ConfigInvalid, StoreUnavailable."""
    import yaml

    from pillars import project_file
    from pillars.answers.served import seal_of
    from pillars.deployment import traffic
    from pillars.deployment.manifests import Cluster, render
    from pillars.stores import Stores

    stores = Stores()
    opened = project_file.load(stores.config_file(project))
    cluster = Cluster(**given, seal=seal_of(stores, opened))
    made = render(opened, traffic.read(stores, opened.project), cluster, target)
    click.echo(json.dumps(made, indent=2) if as_json else yaml.safe_dump_all(made, sort_keys=False, width=140), nl=as_json)


def _tell(looked: Looked) -> None:
    now, found = looked.rollout, looked.judgement
    if found is None:
        click.echo(f"nothing is on trial; v{now.champion.version} answers (generation {now.generation})")
        return
    _tell_judgement(found)
    if looked.unreadable:
        click.echo(f"{'log':>12}  {looked.unreadable} lines are no requests and were passed over")
    click.echo(f"{'now':>12}  {now.reason if looked.moved else 'unchanged'} (generation {now.generation})")


def _tell_judgement(found: Judgement) -> None:
    click.echo(f"{found.health}: {found.reason}")
    for metric, e in found.e.items():
        click.echo(f"{metric:>12}  e-value {math.exp(min(e, 700)):.3g}")
    click.echo(f"{'entities':>12}  challenger {found.challenger}, champion {found.champion}, at the share in force")


def _tell_arms(told: TrialReport) -> None:
    for one in told.arms:
        click.echo(f"\n{one.arm:>12}  {one.requests} requests of {one.entities} entities")
        for metric, share in one.bad.items():
            click.echo(f"{metric:>12}  {share.value:.4f} of the entities [{share.low:.4f}, {share.high:.4f}]")
        if one.p50_ms is not None and one.p99_ms is not None:
            click.echo(f"{'ms':>12}  {one.p50_ms:.1f}, 99 % within {one.p99_ms:.1f}")
        if one.mean_score is not None:
            click.echo(f"{'mean score':>12}  {one.mean_score:.4f}")
    for apart in told.divergence:
        click.echo(
            f"{'apart by':>12}  {apart.mean:.4f} on average, {apart.most:.4f} at most, on {apart.pairs} requests of {apart.slice or 'all'}"
        )
