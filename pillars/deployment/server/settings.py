"""What the process is told when it starts: places, the project's columns, limits. `pillars serve` writes it as one JSON file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from pillars.errors import SettingInvalid

TOKENS = "PILLARS_SERVE_TOKENS"  # from the environment alone: a file would be one more place that holds them
SETTINGS = "PILLARS_SERVE_SETTINGS"  # how uvicorn's workers find the file


ColumnType = Literal["float", "int", "category", "text", "timestamp", "bool"]


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the YAML said of a column when the server was started: that counts where a release does not say it itself, and `kept` (whether
    the request log may hold its values) beside what the release says."""

    type: ColumnType = "float"
    required: bool = False
    kept: bool = True


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The key that the request log is sealed for: its id, and its public half in hex. Nothing here opens anything."""

    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}$")]
    public: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


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
    """All that a server process is told. `entity`: columns that name who a row is about; a row's arm goes by them, where the champion's
    release does not name them itself. `constant`: what is said of every row when no release loads, by output column; nothing where none
    was declared. `falls_back`: whether anything but the policy's own releases may answer; not in pods, where others answer meanwhile."""

    project: str
    var: str
    columns: dict[str, Column] = {}
    key: tuple[str, ...] = ()
    entity: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()  # features of today's YAML, which a fallback takes, too
    categorical: tuple[str, ...] = ()
    constant: dict[str, float | bool | str | None] = {}
    falls_back: bool = True
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    limits: Limits = Limits()
    poll_s: float = 0.2
    segment_bytes: int = 64 << 20
    segment_s: float = 3600.0
    shadow_queue: int = 1_000
    seal: Seal | None = None  # none: the log lies in the clear
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
