"""What the command says of predictions over HTTP."""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pillars.errors import SettingInvalid, StoreUnavailable
from pillars.stores import Stores, write_atomically

if TYPE_CHECKING:
    from pillars.answers.predicted import Why
    from pillars.config import Project
    from pillars.deployment.server.settings import Settings

BRIEF = 15  # contributions that are shown; --json has all
HERE = ("127.0.0.1", "::1", "localhost")


def serve(project: str, host: str, port: int | None, workers: int, *, as_json: bool) -> None:
    """Become the prediction server of a project, so that signals reach it. Never returns.

    Raises:
        SettingInvalid: it would listen beyond this machine, and everybody could ask.
        StoreUnavailable: somebody else listens there.
    """
    from deployments.services import free_port
    from deployments.settings import Serving
    from pillars import project_file
    from pillars.deployment.server.settings import TOKENS, tokens

    stores = Stores()
    opened = project_file.load(stores.config_file(project))
    if host not in HERE and not tokens():
        raise SettingInvalid([f"{TOKENS}: {host} is open to others, and no token is asked for; set it to one or more tokens"])
    chosen = port or free_port(Serving().port_serving)
    _refuse_a_taken(host, chosen)
    file = _write(stores, told(stores, opened, host, chosen, workers))
    command = [sys.executable, "-m", "pillars.deployment.server", str(file), *(["--json"] if as_json else [])]
    os.execv(sys.executable, command)


def why(project: str, id: str, *, recompute: bool, as_json: bool) -> int:
    """Print a logged prediction, with `recompute` explained and answered again; 0, or 1 where the answer is another now.

    Raises:
        UnknownName: no such prediction is in the log.
        BundleRefused: the model that answered is gone.
    """
    from pillars import project_file
    from pillars.answers import predicted, served

    stores = Stores()
    opened = project_file.load(stores.config_file(project))
    found = predicted.why(stores, opened.project, id, recompute=recompute, kept=served.log_of(stores, opened))
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
    else:
        _tell(found)
    return 1 if found.equal is False else 0


def _tell(found: Why) -> None:
    click.echo(f"{found.id}\n{found.at}, {found.took_us / 1000:.1f} ms, v{found.version} as {found.arm} at generation {found.generation}")
    features, added = found.features or {}, found.contributions or {}
    click.echo(f"\n{'column':<32}{'came as':>20}{'the model saw':>16}{'added':>10}")
    names = list(added) if added else list(found.inputs)
    for name in names[: BRIEF if added else None]:
        cells = (found.inputs.get(name, ""), f"{features[name]:g}" if name in features else "", f"{added[name]:+.4f}" if added else "")
        click.echo(f"{name:<32}{cells[0]!s:>20}{cells[1]:>16}{cells[2]:>10}")
    if len(names) > BRIEF and added:
        click.echo(f"... and {len(names) - BRIEF} more that added less (--json)")
    click.echo(
        f"\nanswered      {json.dumps(found.outputs)}" + (f", threshold {found.threshold:.4f}" if found.threshold is not None else "")
    )
    if found.recomputed is not None:
        click.echo(f"computed now  {json.dumps(found.recomputed)}: {'EQUAL, bit by bit' if found.equal else 'DIFFERENT'}")
    if found.note:
        click.echo(found.note)


def told(stores: Stores, project: Project, host: str, port: int, workers: int) -> Settings:
    """What the process has to know of the project: the server itself reads no YAML."""
    from deployments.settings import Serve
    from pillars.answers.served import seal_of
    from pillars.deployment.server.settings import Column, Limits, Settings

    limits = Serve()
    columns = {one["name"]: Column(one["type"], required=not one["nullable"], kept=one["kept"]) for one in project.asked}
    return Settings(
        project=project.project,
        var=str(stores.var),
        columns=columns,
        key=tuple(project.key),
        entity=project.entity,
        numeric=tuple(project.features.numeric),
        categorical=tuple(project.features.categorical),
        constant=constant(project),
        host=host,
        port=port,
        workers=workers,
        limits=Limits(
            body_bytes=limits.serve_body_bytes,
            rows=limits.serve_rows,
            body_s=limits.serve_body_s,
            header_s=limits.serve_head_s,
            requests=limits.serve_requests,
        ),
        version=version("five-pillars"),
        seal=seal_of(stores, project),
    )


def constant(project: Project) -> dict[str, float | bool | str | None]:
    """What is said of every row when no release loads, by output column: as the YAML declares, decided by its costs. {}: nothing."""
    import numpy as np

    from pillars.bundle.answers import cheapest
    from pillars.training.calibrating import theoretical

    said = project.rollout.fallback
    if said is None:
        return {}
    if isinstance(said, dict):
        each = np.array([[said[name] for name in project.classes]])
        best = int(cheapest(np.array(project.cost.table(project.classes)), each)[0]) if project.cost.matrix else int(each.argmax())
        return {"score": said[project.classes[best]], "decision": project.classes[best], **{f"p_{n}": said[n] for n in project.classes}}
    if project.task == "binary":
        return {"score": said, "decision": bool(said >= theoretical(project.cost))}
    return {"score": said, **({"low": None, "high": None} if project.intervals.method != "none" else {})}


def _write(stores: Stores, settings: Settings) -> Path:
    import msgspec

    path = stores.folder("served", settings.project) / f"settings-{settings.port}.json"
    write_atomically(path, msgspec.json.format(msgspec.json.encode(settings), indent=1))
    return path


def _refuse_a_taken(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as err:
            raise StoreUnavailable.refused(
                f"port {port} of {host}", err, "Nothing was started; name another (--port).", "listened on"
            ) from err
