"""What the command says of data: a first YAML, a source's promises, versions and their differences. None of it changes a data set."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows import terminal
from pillars.config_data import BLOCK
from pillars.errors import ConfigInvalid, DataCorrupt, PillarsError, UnknownName
from pillars.stores import Stores, write_atomically

if TYPE_CHECKING:
    from pillars.answers.quarantined import Held
    from pillars.config import Project
    from pillars.data.comparison import Change
    from pillars.data.objects import Damage


def init(file: Path, name: str | None, wishes: dict[str, Any], *, force: bool, as_json: bool) -> None:
    """Propose a project for a file, write its YAML and the deployments, and say what to look at. Raises: ColumnUnfit, SourceBroken."""
    from deployments import render
    from pillars import project_file
    from pillars.data import dialect, profiling, proposal
    from pillars.data.sources.tables import read_table

    stores, path = Stores(), file.resolve()
    shown = path.relative_to(stores.root).as_posix() if path.is_relative_to(stores.root) else str(path)
    name = name or re.sub(r"[^a-z0-9_-]+", "_", file.name.partition(".")[0].lower()).strip("_-") or "project"
    yaml = stores.config_file(name)
    if yaml.exists() and not force:
        raise click.UsageError(f"{yaml.name} is there already; nothing was changed. --force replaces it, --name chooses another.")
    read = dialect.sniff(path, shown)
    profile = profiling.profile(read_table(path, shown, read))
    proposed = proposal.propose(name, shown, read, profile, proposal.Wishes(**wishes))
    before = yaml.read_bytes() if yaml.exists() else None
    write_atomically(yaml, proposed.yaml.encode())
    try:
        project_file.load(yaml)
    except PillarsError:  # ours is never to be left where it cannot be read
        yaml.unlink() if before is None else write_atomically(yaml, before)
        raise
    try:
        render.write(stores)
        unrendered = []
    except ConfigInvalid as err:  # another project's file: no fault of this one
        unrendered = [f"the deployments were not rendered, because of another project: {' '.join(str(err).split())}"]
    unsure = [f"the file is no Unicode; it was read as {read.encoding}: are its letters right?"] if read.encoding in dialect.GUESSES else []
    warnings = [*unrendered, *unsure, *proposed.warnings]
    told = {"project": name, "yaml": str(yaml), "rows": profile.rows, "columns": len(profile.columns), "periods": proposed.periods}
    if as_json:
        click.echo(json.dumps(told | {"warnings": warnings}, indent=2))
        return
    terminal.show(told, as_json=False)
    for warning in warnings:
        click.echo(f"  look:  {warning}")
    click.echo(f"\nRead {yaml.relative_to(stores.root) if yaml.is_relative_to(stores.root) else yaml}, then: pillars run {name}")


def source(project: str, period: str | None, as_json: bool) -> int:
    """Print which promises of a source are kept; 0 when all are, else 1."""
    from pillars.data import collection, contract

    stores, opened = _opened(project)
    with terminal.prefect_ready(stores) if any(one.startswith(BLOCK) for one in opened.source.references) else nullcontext():
        from tasks.secrets import reveal

        promises = contract.hold(opened, lambda: collection.open_source(stores, opened, reveal), period)
    if as_json:
        click.echo(json.dumps([asdict(promise) for promise in promises], indent=2))
    else:
        for promise in promises:
            click.echo(f"{'kept  ' if promise.kept else 'BROKEN'}  {promise.what}{f': {promise.seen}' if promise.seen else ''}")
    return 0 if all(promise.kept for promise in promises) else 1


def future(project: str, period: str | None, moments: int, seed: int, *, as_json: bool) -> int:
    """Print whether rows and predictions depend on what comes later; 0 when they do not, else 1. Raises: UnknownName, SourceBroken."""
    from pillars.answers.foresight import foresight

    stores, opened = _opened(project)
    with terminal.prefect_ready(stores) if any(one.startswith(BLOCK) for one in opened.source.references) else nullcontext():
        from tasks.secrets import reveal

        found = foresight(stores, opened, period, moments, seed, reveal)
    terminal.show(found, as_json)
    return 0 if found.decision else 1


def show(project: str, version: str, *, every: bool, as_json: bool) -> None:
    """Print one data version with the groups of rows of its newest period, or a line for each version."""
    from pillars import answers
    from pillars.data import coverage

    stores, opened = _opened(project)
    if not every:
        found = answers.dataset(stores, opened, version)
        if found.dropped or not opened.expectations.coverage.segments:
            terminal.show(found, as_json)
            return
        covered = coverage.report(stores, opened, answers.resolve(stores, opened, version), found.periods[-1])
        if as_json:
            click.echo(json.dumps(asdict(found) | {"coverage": asdict(covered)}, indent=2))
            return
        terminal.show(found, as_json)
        for state in ("missing", "new", "no_claim"):
            click.echo(f"  groups of {covered.period}, {state.replace('_', ' ')}: {', '.join(covered.of(state)) or 'none'}")
        return
    known = answers.datasets(stores, opened)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in known], indent=2))
        return
    for each in known:
        said = [
            each.id[:12],
            each.created[:19],
            f"{each.rows:>10,} rows",
            f"{len(each.periods):>4} periods to {each.periods[-1]}",
            *each.models,
            *each.tags,
        ]
        click.echo("  ".join(said))


def diff(project: str, old: str | None, new: str, *, as_json: bool) -> None:
    """Print what differs between two data versions. Raises: UnknownName."""
    from pillars import answers
    from pillars.data import comparison

    stores, opened = _opened(project)
    after = answers.resolve(stores, opened, new)
    if old is None and after.parent is None:
        raise UnknownName("data version", f"before {after.id}", [])
    before = answers.resolve(stores, opened, old or str(after.parent))
    changes = comparison.compare(stores, opened, before, after)
    if as_json:
        told = {"project": project, "old": before.id, "new": after.id, "changes": [asdict(change) for change in changes]}
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(f"{before.id[:12]} ({before.rows:,} rows) -> {after.id[:12]} ({after.rows:,} rows){'' if changes else ': equal'}")
    for change in changes:
        _tell(change)


def _tell(change: Change) -> None:
    counts = f"; {change.added:,} added, {change.removed:,} removed, {change.changed:,} changed" if change.how == "changed" else ""
    click.echo(f"{change.kind} of {change.period} {change.how}: {change.before:,} -> {change.after:,} rows{counts}")
    for line in change.schema:
        click.echo(f"    {line}")
    for moved in change.columns:
        click.echo(f"    {moved.column}: {moved.rows:,} values differ; distance of its distributions {moved.distance:.4f}")
    if change.keys:
        click.echo(f"    such as {'; '.join(change.keys)}")


def checkout(project: str, version: str, to: Path | None, *, verify: bool, plain: bool, as_json: bool) -> None:
    """Write a version's files, sealed ones opened where `plain`. Raises: UnknownName, DataCorrupt, StoreUnavailable."""
    from pillars import answers
    from pillars.data import versions

    stores, opened = _opened(project)
    chosen = answers.resolve(stores, opened, version)
    damage = versions.verify(stores, chosen) if verify else ()
    if lost := next((one for one in damage if not one.mended), None):
        raise DataCorrupt(lost.name, lost.md5, lost.found or "no file")
    folder = to or stores.folder("checkouts", opened.project, chosen.id[:12] + ("-plain" if plain else ""))
    paths = versions.checkout(stores, chosen, folder, plain=plain)
    if as_json:
        told = {"project": opened.project, "version": chosen.id, "files": [str(path) for path in paths]}
        click.echo(json.dumps(told | {"damage": [asdict(one) for one in damage]}, indent=2))
        return
    for one in damage:
        click.echo(_damaged(one))
    checked = f"; {2 * len(paths) + 2} copies hashed, {len(damage)} bad" if verify else ""
    click.echo(f"{chosen.id}: {len(paths)} files, {chosen.size_bytes:,} bytes in {folder}{checked}")


def open_file(file: Path, to: Path | None, *, as_json: bool) -> None:
    """Write the content of a sealed file. Raises: UsageError, StoreUnavailable, DataCorrupt."""
    from pillars.data import at_rest, sealing
    from pillars.stores import replacing

    stores, path = Stores(), file.resolve()
    if not (key := at_rest.key_of(path)):
        raise click.UsageError(f"{file} is not sealed in chunks; nothing was written. A Parquet file is read as it is.")
    target = to or file.with_name(f"{file.stem}.plain{file.suffix}")
    if target.exists():
        raise click.UsageError(f"{target} is there already; nothing was written. Name another with --to.")
    name = stores.relative(path) if path.is_relative_to(stores.var.resolve()) else str(file)
    with sealing.opened(stores, path.open("rb"), name) as content, replacing(target, private=True) as out:
        sealing.copy(content, out)
    told = {"file": str(file), "key": key, "to": str(target), "bytes": target.stat().st_size}
    click.echo(json.dumps(told, indent=2) if as_json else f"{target}: {told['bytes']:,} bytes, opened with key {key}")


def audit(project: str, version: str, as_json: bool) -> int:
    """Print what does not hold; 0 when all does, else 1. Raises: UnknownName, DataCorrupt."""
    _, opened = _opened(project)
    found = terminal.perform("audit", {"project": opened.project, "version": version}, flow="look")
    if found is None:
        raise UnknownName("data version", version, [])
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
    else:
        for one in found.damage:
            click.echo(_damaged(one))
        for each in found.periods:
            holds = "holds " if each.period not in found.refused else "BROKEN"
            click.echo(f"{holds}  {each.period}  {each.decision.reason}  var/{each.page}")
    return 0 if found.sound else 1


def tag(project: str, version: str | None, name: str, text: str, *, force: bool, delete: bool, as_json: bool) -> None:
    """Name a version, or take a name away, and print which. Raises: UnknownName, TagRefused, StoreUnavailable, Busy."""
    _, opened = _opened(project)
    asked = {"project": opened.project, "name": name, "version": version, "text": text, "force": force, "delete": delete}
    done = terminal.perform("tag", asked)
    if as_json:
        click.echo(json.dumps(asdict(done) | {"deleted": delete}, indent=2))
    else:
        click.echo(f"{done.name} is {'no name any more' if delete else 'a name'} of {done.version or done.commit}")


def tags(project: str, *, as_json: bool) -> None:
    """Print all names, a line each."""
    from pillars.data import tags as named

    stores, opened = _opened(project)
    found = named.tags(stores, opened.project)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    if not found:
        click.echo("no version has a name")
    for one in found:
        click.echo("  ".join(filter(None, (one.name, one.version[:12], one.created[:19], one.text))))


def retain(project: str, *, dry_run: bool, as_json: bool) -> None:
    """Print what goes and what is held back. Raises: StoreUnavailable, Busy, ConfigChanged."""
    _, opened = _opened(project)
    found = terminal.perform("retain", {"project": opened.project, "dry_run": dry_run})
    if as_json:
        click.echo(json.dumps(None if found is None else asdict(found), indent=2))
        return
    if found is None:
        click.echo("nothing is older than its time" if opened.retention != type(opened.retention)() else "no retention: all is kept")
        return
    plan, deed = found.plan, "would be deleted" if dry_run else "deleted"
    for what, periods, count in (("what came in", plan.collected, len(plan.files)), ("rows", plan.rows, len(plan.objects))):
        if periods:
            click.echo(f"{what}, {len(periods)} periods to {periods[-1]}: {count:,} files {deed}")
    if plan.requests:
        click.echo(f"requests before {plan.requests_before}: {len(plan.requests):,} files {deed}")
    for one in plan.held:
        click.echo(f"    held back for version {one.version[:12]} ({one.why}): {', '.join(one.periods)}")
    click.echo("nothing was changed" if dry_run else f"on ledger row {found.row}; the data set is {found.version[:12] or 'empty'}")


def revisions(project: str, *, as_json: bool) -> None:
    """Print the revisions, two lines each."""
    from pillars.answers.revisions import revisions

    stores, opened = _opened(project)
    found = revisions(stores, opened)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    if not found:
        click.echo("no period came again with other rows")
    for one in found:
        click.echo(f"{one.period}  {one.at[:19]}  {one.rows_before:,} -> {one.rows:,} rows  {one.old[:12]} -> {one.new[:12]}")
        click.echo(f"    fitted on the former rows: {', '.join(one.models) or 'no model'}")
        click.echo(f"    predicted from them: {', '.join(f'var/{path}' for path in one.predictions) or 'nothing'}")


def _damaged(one: Damage) -> str:
    state = f"mended from the {'remote' if one.place == 'cache' else 'cache'}" if one.mended else "lost in both copies"
    return f"{one.name} on the {one.place} {'had other bytes' if one.found else 'was not there'}; {state}"


def quarantine_list(project: str, *, as_json: bool) -> None:
    """Print what is set aside now, a line per period and one per reason."""
    from pillars.answers import quarantined

    stores, opened = _opened(project)
    known = quarantined.held(stores, opened.project)
    if as_json:
        click.echo(json.dumps([_plain(what) for what in known], indent=2))
        return
    if not known:
        click.echo("nothing is set aside")
    for what in known:
        click.echo(f"{what.period}  {what.rows:,} rows{', the whole batch' if what.rejected else ''}  var/{what.path}")
        for reason, rows in what.reasons.items():
            click.echo(f"    {rows:,}  {reason}")


def quarantine_show(project: str, period: str, most: int, *, as_json: bool) -> None:
    """Print rows of a period that are set aside. Raises: UnknownName, NotAllowed."""
    from flows import access_commands
    from pillars.answers import quarantined

    stores, opened = _opened(project)
    access_commands.require(stores, opened.project, "quarantine")
    if access_commands.sees_the_record(stores):
        (what,) = quarantined.held(stores, opened.project, period)
    else:
        what = quarantined.lying(stores, opened.project, period)
    table = quarantined.rows(stores, what)
    shown = table.slice(0, most).to_pylist()
    if as_json:
        click.echo(json.dumps(_plain(what) | {"held": shown}, indent=2, default=str))
        return
    click.echo(f"{what.period}: {min(most, table.num_rows):,} of {table.num_rows:,} rows  var/{what.path}")
    if what.rejected:
        click.echo(f"the batch was rejected: {next(iter(what.reasons), 'see the record')}")
    for row in shown:
        why = row.pop("reasons", None)
        click.echo(f"\n  {'; '.join(why)}" if why else "")
        for name, value in row.items():
            click.echo(f"    {name}  {value}")


def quarantine_replay(project: str, period: str | None, *, accept_changes: bool, as_json: bool) -> None:
    """Check again what is set aside, and print what came of it. Raises: UnknownName, ConfigChanged."""
    from pillars.answers import quarantined

    stores, opened = _opened(project)
    before = {what.period: what for what in quarantined.held(stores, opened.project, period)}
    batches = terminal.perform("readmit", {"project": opened.project, "period": period, "accept_changes": accept_changes})
    told = [
        {
            "period": batch.period,
            "taken": bool(batch.decision),
            "rows": batch.rows,
            "set aside before": before[batch.period].rows,
            "set aside now": batch.quarantined if batch.decision else batch.rows,
            "reason": batch.decision.reason,
        }
        for batch in batches
    ]
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    if not told:
        click.echo("nothing to check again: all that is set aside was checked by the rules of today")
    for one in told:
        click.echo(f"{one['period']}: {one['set aside before']:,} rows were set aside, {one['set aside now']:,} are now; {one['reason']}")


def _plain(what: Held) -> dict[str, Any]:
    return {name: value for name, value in asdict(what).items() if name != "collected"}


def _opened(project: str) -> tuple[Stores, Project]:
    from pillars import project_file

    stores = Stores()
    return stores, project_file.load(stores.config_file(project))
