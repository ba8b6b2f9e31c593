"""Which Prefect a run talks to. Decided before `prefect` is imported, because it reads its settings at import."""

from __future__ import annotations

import http.client
import json
import os
import tomllib
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pillars.stores import Stores

OWN_SERVER = {  # nine requests fewer of a cycle's 87, of 20 ms each: a server of ours is of this version, and has no such protection
    "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
    "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
}


def prepare_prefect(stores: Stores) -> dict[str, str]:
    """Set Prefect's variables for this process and its children; returns those that were added.

    Nothing that the user has set is changed. The server is, in this order: the one of `PREFECT_API_URL`, `PREFECT_PROFILE`
    or the user's active profile; the one of a running `pillars up`; else one inside this process, with its files under `var`.
    """
    wanted = project_settings(stores.root)
    if not names_a_server(os.environ):
        wanted |= local_settings(stores)
        if url := running_api(stores):
            wanted["PREFECT_API_URL"] = url
        else:
            wanted["PREFECT_SERVER_EPHEMERAL_ENABLED"] = "true"
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    return added


def local_settings(stores: Stores) -> dict[str, str]:
    """Where a server of this project keeps its database, and its runs their results."""
    home = stores.folder("prefect")
    return OWN_SERVER | {"PREFECT_HOME": str(home), "PREFECT_LOCAL_STORAGE_PATH": str(home / "storage"), "DO_NOT_TRACK": "1"}


def places(stores: Stores) -> dict[str, str]:
    """The same places for a child process, whatever folder it runs in."""
    return {"PILLARS_ROOT": str(stores.root), "PILLARS_VAR": str(stores.var), "PILLARS_CONFIGS": str(stores.configs)}


def project_settings(root: Path) -> dict[str, str]:
    """`prefect.toml` as environment variables: Prefect itself finds the file in the current folder only."""
    file = root / "prefect.toml"
    return _flat(tomllib.loads(file.read_text(encoding="utf-8")), "PREFECT") if file.is_file() else {}


def names_a_server(environ: Mapping[str, str]) -> bool:
    """Whether the user has chosen a server: by variable, by profile, or by the active profile of their `profiles.toml`."""
    if environ.get("PREFECT_API_URL") or environ.get("PREFECT_PROFILE"):
        return True
    home = Path(environ.get("PREFECT_HOME") or Path.home() / ".prefect").expanduser()
    file = Path(environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml").expanduser()
    try:
        profiles = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError):  # Prefect itself says what is wrong with the file
        return False
    active = profiles.get("profiles", {}).get(profiles.get("active", ""), {})
    return bool(active.get("PREFECT_API_URL"))


def running_api(stores: Stores) -> str | None:
    """API of the Prefect server of a running `pillars up`, None when there is none that answers."""
    up = read_up(stores)
    url = str(up.get("prefect_api", ""))
    return url if url and is_up(up) and answers(f"{url}/health") else None


def read_up(stores: Stores) -> dict[str, Any]:
    """What `pillars up` wrote about itself: pid, started, addresses. Empty when it is not up or the file is damaged."""
    try:
        content = json.loads((stores.var / "up.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_up(up: Mapping[str, Any]) -> bool:
    """Whether the process that wrote `up.json` still lives: same pid and same start, since pids are used again."""
    import psutil

    try:
        process = psutil.Process(int(up["pid"]))
        return abs(process.create_time() - float(up["started"])) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, KeyError, ValueError, TypeError):
        return False


def answers(url: str, timeout_s: float = 2.0) -> bool:
    """Whether a GET of `url` on this machine answers 2xx; proxies are not asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout_s) as response:
            return 200 <= response.status < 300
    except (OSError, ValueError, http.client.HTTPException):
        return False


def hangs(url: str, timeout_s: float) -> bool:
    """Whether a server takes a GET of `url` and says nothing for `timeout_s` seconds; one that refuses, in whatever words, does not."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s):
            return False
    except urllib.error.HTTPError:
        return False
    except (OSError, http.client.HTTPException) as err:
        return isinstance(err, TimeoutError) or isinstance(getattr(err, "reason", None), TimeoutError)


def takes(url: str, timeout_s: float) -> bool:
    """Whether a server answers a GET of `url` in time, in whatever words."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _flat(table: Mapping[str, Any], prefix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in table.items():
        name = f"{prefix}_{key.upper()}"
        found |= _flat(value, name) if isinstance(value, dict) else {name: value if isinstance(value, str) else json.dumps(value)}
    return found
