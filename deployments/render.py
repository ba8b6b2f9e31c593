"""Generated files: `deployments/prefect.yaml` from the configs, `configs/schema.json` from their model. `make render` writes both."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from deployments.settings import POOL
from pillars import config, project_file
from pillars.stores import Stores, write_atomically

VERBS = (
    "ingest",
    "train",
    "promote",
    "deploy",
    "rollback",
    "score",
    "monitor",
    "cycle",
    "replay",
    "rebuild",
    "readmit",
    "audit",
    "reproduce",
    "reset",
)
HEADER = """\
# Rendered from configs/*.yaml by `make render`; a test keeps it so. Deploy from the project's folder:
#   prefect deploy --all --prefect-file deployments/prefect.yaml
# There is no pull step: Prefect then writes the folder it was deployed from into the deployments, and no path stands here.
"""


def render(configs_dir: Path) -> str:
    """The deployments as Prefect reads them: per project a scheduled cycle and what else it schedules, per verb one for ad-hoc runs.

    Raises:
        ConfigInvalid: one of the YAML files cannot be read as a project.
    """
    projects = [project_file.load(configs_dir / f"{name}.yaml") for name in project_file.names(configs_dir)]
    found = [
        *(_scheduled(p) for p in projects),
        *(_reproducing(p) for p in projects if p.schedule.reproduce),
        *(_ad_hoc(verb, _default(projects)) for verb in VERBS),
    ]
    content = {"name": "five-pillars", "build": None, "push": None, "pull": None, "deployments": found}
    return HEADER + yaml.safe_dump(content, sort_keys=False, width=140)


def _scheduled(project: config.Project) -> dict[str, Any]:
    schedule = {"slug": project.project, **project.schedule.model_dump(include={"cron", "timezone", "active"})}
    return {
        "name": f"cycle-{project.project}",
        "description": f"The next period of {project.project} through all five pillars, by schedule.",
        "tags": [project.project],
        "entrypoint": "flows.cycle.cycle",
        "parameters": {"project": project.project},
        "schedules": [schedule],
        # after a downtime every missed run is started at once: one takes the oldest period, the others are cancelled
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
        "work_pool": {"name": POOL},
    }


def _reproducing(project: config.Project) -> dict[str, Any]:
    schedule = project.schedule
    return {
        "name": f"reproduce-{project.project}",
        "description": f"An earlier version of {project.project}, drawn at random, made again from its lineage, by schedule.",
        "tags": [project.project],
        "entrypoint": "flows.reproduce.reproduce",
        "parameters": {"project": project.project, "version": "random"},
        "schedules": [
            {
                "slug": f"reproduce-{project.project}",
                "cron": schedule.reproduce,
                "timezone": schedule.timezone,
                "active": schedule.active,
            }
        ],
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
        "work_pool": {"name": POOL},
    }


def _ad_hoc(verb: str, project: str) -> dict[str, Any]:
    return {
        "name": verb,
        "tags": ["ad hoc"],
        "entrypoint": f"flows.{verb}.{verb}",
        "parameters": {"project": project},
        "schedules": [],
        "work_pool": {"name": POOL},
    }


def _default(projects: list[config.Project]) -> str:
    names = [p.project for p in projects]
    return "flights" if "flights" in names or not names else names[0]


def schema() -> str:
    """JSON schema of a project's YAML, as editors read it."""
    return json.dumps(config.schema(), indent=2, ensure_ascii=False) + "\n"


def write(stores: Stores) -> list[Path]:
    """Write both files into the project's folder; returns their paths."""
    files = {stores.root / "deployments" / "prefect.yaml": render(stores.configs), stores.configs / "schema.json": schema()}
    for path, text in files.items():
        write_atomically(path, text.encode())
    return list(files)


if __name__ == "__main__":
    sys.stdout.writelines(f"{path}\n" for path in write(Stores()))
