"""What the command says of predictions over HTTP."""

from __future__ import annotations

import os
import socket
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pillars.errors import SettingInvalid, StoreUnavailable
from pillars.stores import Stores, write_atomically

if TYPE_CHECKING:
    from pillars.config import Project
    from pillars.deployment.server.settings import Settings

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


def told(stores: Stores, project: Project, host: str, port: int, workers: int) -> Settings:
    """What the process has to know of the project: the server itself reads no YAML."""
    from pillars.deployment.server.settings import Column, Settings

    asked = dict.fromkeys((*project.features.numeric, *project.features.categorical, *project.key, *project.of("entity")))
    columns = {}
    for name in asked:
        column = project.columns[name]
        columns[name] = Column(column.type, required=not column.nullable, kept=not column.confidential)
    return Settings(
        project=project.project,
        var=str(stores.var),
        columns=columns,
        key=tuple(project.key),
        entity=tuple(project.of("entity") or project.key),
        host=host,
        port=port,
        workers=workers,
        version=version("five-pillars"),
    )


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
