"""Files of a data set that retention deleted, by their md5, and the ledger row that says so: who looks for one is told why it is gone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from pillars.errors import StoreUnavailable
from pillars.stores import Stores, write_atomically


def rows(stores: Stores, project: str) -> dict[str, int]:
    """md5 to row, of all that was ever deleted; some of it may have been made again since. Raises: StoreUnavailable."""
    path = _file(stores, project)
    try:
        return dict(_read(path, path.stat().st_mtime_ns))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as err:
        remedy = "Take it away: then what is gone is told as lost, not as dropped."
        raise StoreUnavailable(str(path), f"cannot be read ({type(err).__name__})", remedy) from err


def write(stores: Stores, project: str, md5s: Iterable[str], row: int) -> None:
    """Add files that are about to be deleted. Raises: StoreUnavailable."""
    known = rows(stores, project)
    added = known | dict.fromkeys(md5s, row)
    if added != known:
        write_atomically(_file(stores, project), json.dumps(added, indent=1, sort_keys=True).encode())


def _file(stores: Stores, project: str) -> Path:
    return stores.var / "dvc" / "dropped" / f"{project}.json"


@lru_cache(maxsize=8)
def _read(path: Path, changed_ns: int) -> tuple[tuple[str, int], ...]:
    return tuple((str(md5), int(row)) for md5, row in json.loads(path.read_bytes()).items())
