"""What the process is told when it starts: places, the project's columns, limits. `pillars serve` writes it as one JSON file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

from pillars.errors import SettingInvalid

TOKENS = "PILLARS_SERVE_TOKENS"  # from the environment alone: a file would be one more place that holds them
SETTINGS = "PILLARS_SERVE_SETTINGS"  # how uvicorn's workers find the file


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the project says of a column beyond its bundle. `kept`: whether the request log may hold its values."""

    type: Literal["float", "int", "category", "text", "timestamp", "bool"] = "float"
    required: bool = False
    kept: bool = True


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one request may take. Beyond them it is refused, see docs/serving.md."""

    body_bytes: int = 4 << 20
    rows: int = 10_000
    text: int = 1_000  # characters of one value
    header_bytes: int = 32 << 10
    header_s: float = 5.0
    body_s: float = 10.0
    requests: int = 512  # at once, in one worker


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a server process is told. `entity`: columns that name who a row is about; a row's arm goes by them. `constant`: what is
    said of every row when no release loads, by output column; nothing where none was declared."""

    project: str
    var: str
    columns: dict[str, Column] = {}
    key: tuple[str, ...] = ()
    entity: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()  # features of today's YAML, which a fallback takes, too
    categorical: tuple[str, ...] = ()
    constant: dict[str, float | bool | str | None] = {}
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    limits: Limits = Limits()
    poll_s: float = 0.2
    segment_bytes: int = 64 << 20
    segment_s: float = 3600.0
    shadow_queue: int = 1_000
    version: str = ""

    @property
    def policy(self) -> Path:
        """The traffic policy file."""
        return Path(self.var) / "releases" / self.project / "policy.json"

    @property
    def requests(self) -> Path:
        """Folder of the request log."""
        return Path(self.var) / "served" / self.project / "log"


def read(path: Path) -> Settings:
    """The settings in a file. Raises: SettingInvalid."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except (OSError, msgspec.DecodeError) as err:
        raise SettingInvalid([f"{path}: {err}"]) from err


def tokens() -> tuple[str, ...]:
    """Tokens that the environment names, separated by blanks; none: everybody on this machine may ask."""
    return tuple(os.environ.get(TOKENS, "").split())
