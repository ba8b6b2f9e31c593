"""Generated files: `deployments/prefect.yaml` from the configs, `configs/schema.json` from their model. `make render` writes both."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from deployments.settings import POOL
from pillars import config, project_file
from pillars.config_data import Retention
from pillars.stores import Stores, write_atomically

VERBS = (
    *("ingest", "train", "promote", "deploy", "rollout", "rollback", "pin", "unpin", "score", "monitor", "cycle", "replay"),
    *("rebuild", "readmit", "audit", "tag", "retain", "reproduce", "calibrate", "compare", "compact", "drill", "reset"),
)
BY_WISH = ("audit", "retain", "reproduce", "compact")  # verbs that are scheduled where the YAML asks for it
NIGHTLY = "30 3 * * *"
HEADER = """\
# Rendered from configs/*.yaml by `make render`; a test keeps it so. Deploy from the project's folder:
#   prefect deploy --all --prefect-file deployments/prefect.yaml
# There is no pull step: Prefect then writes the folder it was deployed from into the deployments, and no path stands here.
"""


def render(configs_dir: Path) -> str:
    """The deployments as Prefect reads them: per project what is scheduled, per verb one without a schedule for ad-hoc runs.

    Raises:
        ConfigInvalid: one of the YAML files cannot be read as a project.
    """
    projects = [project_file.load(configs_dir / f"{name}.yaml") for name in project_file.names(configs_dir)]
    found = [
        *(each for project in projects for each in scheduled(project)),
        *(_ad_hoc(verb, _default(projects)) for verb in VERBS),
    ]
    content = {"name": "five-pillars", "build": None, "push": None, "pull": None, "deployments": found}
    return HEADER + yaml.safe_dump(content, sort_keys=False, width=140)


def scheduled(project: config.Project) -> list[dict[str, Any]]:
    """Deployments with a schedule: the project's cycle, and what its YAML asks for beside it."""
    found = [_cycle(project)]
    if project.schedule.audit:
        found.append(_audit(project, project.schedule.audit))
    if project.retention != Retention():
        found.append(_retained(project))
    if project.rollout.strategy != "direct":
        found.append(_watched(project))
    if project.schedule.reproduce:
        found.append(_reproducing(project, project.schedule.reproduce))
    if project.schedule.compact:
        found.append(_compacted(project, project.schedule.compact))
    return found


def _cycle(project: config.Project) -> dict[str, Any]:
    about = f"The next period of {project.project} through all five pillars, by schedule."
    return _scheduled(project, "cycle", project.schedule.cron, about)


def _audit(project: config.Project, cron: str) -> dict[str, Any]:
    about = f"The newest data version of {project.project} against the rules of today, both copies hashed; fails when one does not hold."
    return _scheduled(project, "audit", cron, about)


def _scheduled(project: config.Project, verb: str, cron: str, about: str) -> dict[str, Any]:
    when = project.schedule
    return {
        "name": f"{verb}-{project.project}",
        "description": about,
        "tags": [project.project],
        "entrypoint": f"flows.{verb}.{verb}",
        "parameters": {"project": project.project},
        "schedules": [{"slug": project.project, "cron": cron, "timezone": when.timezone, "active": when.active}],
        # after a downtime every missed run is started at once: one takes the oldest period, the others are cancelled
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
        "work_pool": {"name": POOL},
    }


def _retained(project: config.Project) -> dict[str, Any]:
    """Beside the cycle and not in it: what a running one may still read is held back."""
    if project.retention.requests_days is not None:  # which grow old by the clock, and not with the next period
        about = f"Deletes what of {project.project} is older than its retention says, requests among it, every night."
        return _scheduled(project, "retain", NIGHTLY, about)
    about = f"Deletes what of {project.project} is older than its retention says, by the schedule of its cycle."
    return _scheduled(project, "retain", project.schedule.cron, about)


def _compacted(project: config.Project, cron: str) -> dict[str, Any]:
    about = f"Finished pieces of the log of requests of {project.project} as Parquet; without any it ends at once."
    return _scheduled(project, "compact", cron, about)


def _watched(project: config.Project) -> dict[str, Any]:
    """Every minute: a look without anything on trial ends at once."""
    about = f"A look at the release of {project.project} on trial: the next share, the end, back, or nothing yet."
    return _scheduled(project, "rollout", "* * * * *", about)


def _reproducing(project: config.Project, cron: str) -> dict[str, Any]:
    about = f"An earlier version of {project.project}, drawn at random, made again from its lineage, by schedule."
    made = _scheduled(project, "reproduce", cron, about)
    return made | {"parameters": {"project": project.project, "version": "random"}}


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
