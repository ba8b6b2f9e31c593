"""A project in which one small release answers, for drills: real enough for a server, quick to make."""

from __future__ import annotations

from pathlib import Path

import yaml

from pillars.config import Project
from pillars.stores import Stores
from tests.pillars.deployment.server.world import write_policy, write_release


def project() -> Project:
    """What `world.write_release` makes models of."""
    columns = {
        "flight": {"type": "text", "role": ["key"]},
        "at": {"type": "timestamp", "role": ["time"]},
        "distance": {"type": "float", "role": ["feature"], "nullable": False},
        "seats": {"type": "int", "role": ["feature"]},
        "booked": {"type": "bool", "role": ["feature"]},
        "carrier": {"type": "category", "role": ["feature"]},
        "late": {"type": "bool", "role": ["outcome"]},
    }
    return Project.model_validate(
        {
            "project": "small",
            "target": "late",
            "source": {"python": "projects.small"},
            "columns": columns,
            "features": {"numeric": ["distance", "seats", "booked"], "categorical": ["carrier"]},
        }
    )


def deployed(root: Path) -> Stores:
    """The project in the folder `root`, v7 answering."""
    stores = Stores(root=root, var=root / "var", configs=root / "configs")
    stores.configs.mkdir(parents=True, exist_ok=True)
    said = project().model_dump(mode="json", exclude_defaults=True, by_alias=True)
    (stores.configs / "small.yaml").write_text(yaml.safe_dump(said))
    write_policy(stores.var, 1, write_release(stores.var, 7, calibration={"kind": "none"}))
    return stores
