"""How the command speaks to people: progress while it works, a table or JSON when it is done."""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

import click

from flows.environment import hangs, prepare_prefect, takes
from pillars.errors import PillarsError, StoreUnavailable
from pillars.stores import Stores, user_name, without_password, write_atomically

if TYPE_CHECKING:
    from pillars.answers import PeriodRow
    from pillars.config import Task

ROOM_BYTES = 1 << 18  # what Prefect's database takes for a few runs
SILENCE_S = 60.0  # Prefect's own; a used SQLite server with late runs has been seen to take 30 s after its start
PATIENCE_S = 1.0  # with either server, after a rollback
PREFECT_REMEDY = "What is on record stays. Start the server (pillars up) or mend PREFECT_API_URL; the same command goes on from there."


def perform(verb: str, parameters: dict[str, Any], flow: str = "") -> Any:
    """Run `flows.<verb>.<flow>` here (the flow has the verb's name if none is given), with progress on the terminal.

    Raises:
        PillarsError: whatever the flow refused to go on with.
    """
    stores = Stores()
    with prefect_ready(stores), watched():
        return getattr(importlib.import_module(f"flows.{verb}"), flow or verb)(**parameters)


def choose_prefect(stores: Stores) -> None:
    """Choose the Prefect server and keep its log off the terminal: we say it ourselves, the UI has it. Before Prefect is imported."""
    prepare_prefect(stores)
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    logging.raiseExceptions = False  # or Prefect's log thread, too, says on the terminal that the server is gone, once a batch


@contextmanager
def prefect_ready(stores: Stores) -> Iterator[None]:
    """Have a Prefect server chosen, and translate its refusal to start or to go on. Raises: StoreUnavailable."""
    choose_prefect(stores)
    _refuse_a_silent_server()
    _refuse_a_disk_without_room(stores)
    try:
        yield
    except PillarsError:
        raise
    except Exception as err:
        if (problem := _of_prefect(err)) is None:
            raise
        raise StoreUnavailable("Prefect", problem, PREFECT_REMEDY) from err


def _refuse_a_silent_server() -> None:
    """Prefect itself asks a server that accepts and never answers for more than 3 minutes."""
    wait_s = float(os.environ.get("PREFECT_API_REQUEST_TIMEOUT") or SILENCE_S)
    url = os.environ.get("PREFECT_API_URL", "")
    if url.startswith("http") and hangs(f"{url.rstrip('/')}/health", wait_s):
        raise StoreUnavailable("Prefect", f"{without_password(url)} takes requests and gives no answer for {wait_s:.0f} s", PREFECT_REMEDY)


def _refuse_a_disk_without_room(stores: Stores) -> None:
    """A server of our own on a disk that is full or read-only fails after 48 to 79 s, with an `Internal Server Error`."""
    if os.environ.get("PREFECT_SERVER_EPHEMERAL_ENABLED") == "true" and not os.environ.get("PREFECT_API_URL"):
        probe = stores.folder("prefect") / ".room"  # one name for all, so that the next one takes away what a kill left
        write_atomically(probe, bytes(ROOM_BYTES))
        probe.unlink(missing_ok=True)


def _of_prefect(err: Exception) -> str | None:
    """What Prefect's server or the way to it lacks; None when the error is another's."""
    import httpx
    from prefect.exceptions import PrefectException

    text = without_password(" ".join(str(err).split())) or type(err).__name__
    if isinstance(err, httpx.HTTPStatusError) and err.response.status_code in (401, 403):
        return f"the server refuses these credentials (HTTP {err.response.status_code}); see PREFECT_API_AUTH_STRING or PREFECT_API_KEY"
    if isinstance(err, httpx.HTTPError | PrefectException) or (isinstance(err, RuntimeError) and "API" in text):
        return text.split(" - Response:")[0].split(" For more information")[0][:300].rstrip(".")
    return None


@contextmanager
def watched() -> Iterator[None]:
    """A progress bar on stderr; plain lines where it is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from tasks import progress

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        known: dict[str, Any] = {}

        def hear(what: str, done: int, total: int, note: str, fine: bool) -> None:
            if not console.is_terminal:
                if note and not fine:
                    console.print(f"{what}: {done}/{total} {note}", highlight=False)
                return
            if what not in known:
                known[what] = bars.add_task(what, total=total, note=note)
            bars.update(known[what], completed=done, total=total, note=note, visible=not fine or done < total)

        with progress.heard_by(hear):
            yield


def show(value: Any, as_json: bool) -> None:
    """Print a value of the vocabulary: JSON, or a line per field."""
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    if as_json:
        click.echo(json.dumps(plain, indent=2, default=str))
    elif plain is None:
        click.echo("nothing new")
    elif isinstance(plain, dict):
        for name, field in plain.items():
            click.echo(f"{name:>20}  {_brief(field)}")
    else:
        click.echo(str(plain))


def run(project: str, accept_changes: bool, as_json: bool) -> None:
    """Replay what is unfinished, then print the closing table, the page and how to look further."""
    stores = Stores()
    if unfinished(stores, project, accept_changes):
        perform("replay", {"project": project, "accept_changes": accept_changes})
    from pillars import answers, project_file

    opened = project_file.load(stores.config_file(project))
    page = answers.write_story(stores, opened)
    rows = answers.closing_table(stores, opened)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print_table(project, opened.task, rows)
    if trial := answers.status(stores, opened).trial:
        click.echo(f"\nOn trial:         {trial}; the next period's rows, or requests, judge it")
    click.echo(f"\nThe whole story:  {page}")
    click.echo("All the details:  pillars up     (or: make up)")


def unfinished(stores: Stores, project: str, accept_changes: bool) -> bool:
    """Whether a replay has anything to do; asks ledger and source only, so that a finished project answers at once."""
    choose_prefect(stores)
    from tasks.opened import open_project

    return bool(open_project(project, accept_changes).unfinished())


def print_table(project: str, task: Task, rows: Sequence[PeriodRow]) -> None:
    """The closing table: a line per period."""
    from rich.console import Console
    from rich.table import Table

    from pillars.targets import FIGURES, decimal

    tried = any(row.rollout for row in rows)
    heads = ("period", "rows", "quarantined", "drift", *(f.title for f in FIGURES[task]), "verdict", *["rollout"] * tried, "champion")
    table = Table(title=f"{project}: {len(rows)} periods", title_justify="left")
    for name in heads:
        table.add_column(name, justify="left" if name in ("period", "verdict", "rollout", "champion") else "right")
    for row in rows:
        measured = ["-" if value is None else decimal(value) for value in row.figures.values()]
        went = [_cell(row.rollout)] * tried
        table.add_row(row.period, *map(_cell, (row.rows, row.quarantined, row.drift)), *measured, row.verdict, *went, _cell(row.champion))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def status(project: str, as_json: bool) -> int:
    """Print the state of a project; 0 when it is healthy, 1 when something is stale or broken."""
    from pillars import answers, project_file

    stores = Stores()
    found = answers.status(stores, project_file.load(stores.config_file(project)))
    show(found, as_json)
    return 0 if found.healthy else 1


def rollback(project: str, reason: str) -> Any:
    """Take the traffic back at once; tell Prefect and MLflow afterwards, and only if they answer."""
    from tasks.back import take_back

    stores = Stores()
    rollout = take_back(stores, project, reason, user_name())
    click.echo(f"v{rollout.champion.version} answers again; now Prefect and MLflow are told", err=True)
    try:
        choose_prefect(stores)
        _refuse_the_unreachable(stores)
        perform("rollback", {"project": project}, flow="report")
    except Exception as err:
        why = err.problem if isinstance(err, StoreUnavailable) else err
        click.echo(f"pillars: Prefect and MLflow could not be told ({why}); the next deployment or rollback does it", err=True)
    return rollout


def _refuse_the_unreachable(stores: Stores) -> None:
    """Prefect and MLflow try again for minutes; who rolls back has other things to do. Raises: StoreUnavailable."""
    prefect = os.environ.get("PREFECT_API_URL", "")
    for name, url in (("Prefect", prefect and f"{prefect.rstrip('/')}/health"), ("MLflow", stores.mlflow_uri)):
        if url.startswith("http") and not takes(url, PATIENCE_S):
            raise StoreUnavailable(name, f"{name} does not answer at {without_password(url)}", PREFECT_REMEDY)


def pages(project: str, period: str) -> list[str]:
    """Draw the kept Evidently reports of a period as HTML; their paths.

    Raises:
        UnknownName: the period was not monitored.
    """
    from pillars import project_file
    from pillars.errors import UnknownName
    from pillars.monitoring import reports

    stores = Stores()
    name, drawn, refused = project_file.load(stores.config_file(project)).project, [], []
    for kind in reports.KINDS:
        try:
            drawn.append(str(stores.var / reports.write_page(stores, name, period, kind)))
        except UnknownName as err:  # the first period has no drift, an unscored one no quality
            refused.append(err)
    if not drawn:
        raise refused[0]
    return drawn


def rebuild(project: str, pin: bool) -> Any:
    """Rebuild the data set, hold it against the pin in data.dvc, and write that pin when asked to."""
    from pillars import project_file
    from pillars.data import pinned

    stores = Stores()
    version = perform("rebuild", {"project": project})
    opened = project_file.load(stores.config_file(project))
    if pin:
        pinned.write_pin(stores, opened)
    told = {"project": project, "version": version.id, "rows": version.rows}
    return told | ({"differs from data.dvc": pinned.compare(stores, opened)} if pinned.project_of(stores) == project else {})


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _brief(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, dict | list | tuple) else str(value)
