"""Make a Prefect server know this project: work pool, deployments, automations. The same again changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

from deployments import automations
from deployments.render import BY_WISH, render, scheduled
from deployments.settings import POOL, Serving
from pillars import project_file
from pillars.errors import StoreUnavailable
from pillars.stores import Stores, write_atomically


def apply(stores: Stores, serving: Serving) -> None:
    """Apply to the server of `PREFECT_API_URL`, from the configs as they are now.

    Raises:
        ConfigInvalid: one of the configs; the server is as it was.
        StoreUnavailable: the server refuses; what was applied before stays, and the next call completes it.
    """
    rendered = stores.folder("prefect") / "prefect.yaml"
    write_atomically(rendered, render(stores.configs).encode())
    create_pool()
    deploy(stores, str(rendered))
    retire(stores)
    automations.apply(serving)


def create_pool() -> None:
    """The work pool of local processes; one that exists stays as it is."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        except ObjectAlreadyExists:
            return


def retire(stores: Stores) -> list[str]:
    """Take away what a project's YAML schedules no more, for `prefect deploy` leaves what its file does not name.

    Returns:
        Names of the deployments that went.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    gone = []
    with get_client(sync_client=True) as client:
        for project in (project_file.load(stores.config_file(name)) for name in project_file.names(stores.configs)):
            wanted = {each["name"] for each in scheduled(project)}
            for verb in BY_WISH:
                if (name := f"{verb}-{project.project}") not in wanted:
                    with suppress(ObjectNotFound):
                        client.delete_deployment(client.read_deployment_by_name(f"{verb}/{name}").id)
                        gone.append(name)
    return gone


def deploy(stores: Stores, file: str) -> None:
    """`prefect deploy --all` of `file`, from the project's folder: Prefect takes that as the place of the code.

    Raises:
        StoreUnavailable: it refuses.
    """
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", file]
    done = subprocess.run(command, cwd=stores.root, env=os.environ | {"PWD": str(stores.root)}, capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-1500:]
        raise StoreUnavailable("Prefect server", f"refuses the deployments: {said}", "Mend the configs or the server and run again.")
