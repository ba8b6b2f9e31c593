"""How old the request log is: which of its files, segments and compacted ones, hold nothing that is younger than a moment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pillars.deployment.segments import is_finished, segments
from pillars.errors import StoreUnavailable
from pillars.stores import Stores, locked

NAME = re.compile(r"([0-9]{20})-[0-9]+-[0-9a-f]{6}\.(jsonl|sealed|parquet)")  # begins with nanoseconds since 1970, see `server.log`
LONGEST = timedelta(hours=2)  # after its begin a file holds no row: a segment is put aside after one


def older(stores: Stores, project_name: str, than: datetime) -> tuple[str, ...]:
    """Paths under `var` of files whose rows were all answered before `than`, by their names; one that is still written stays."""
    base = stores.var / "served" / project_name
    found = [*segments(base / "log"), *sorted((base / "rows").glob("*/*.parquet"))]
    return tuple(stores.relative(path) for path in found if (at := through(path.name)) and at < than and _is_left(path))


def through(name: str) -> datetime | None:
    """A moment after which a file of this name holds no row; None of a name that is none of the log's."""
    begun = NAME.fullmatch(Path(name).name)
    return datetime.fromtimestamp(int(begun.group(1)) / 1e9, UTC) + LONGEST if begun else None


def delete(stores: Stores, project_name: str, paths: Sequence[str]) -> tuple[str, ...]:
    """Delete files of a project's log; those that were still there. Not while somebody makes Parquet of them.

    Raises:
        StoreUnavailable: the disk refuses; the same call again goes on.
        Busy: a `compact` runs for longer than ten minutes.
    """
    if not paths:
        return ()
    with locked(stores.folder("served", project_name) / ".lock", f"the request log of {project_name}", wait_s=600):
        return tuple(path for path in paths if _gone(stores.var / path))


def _gone(file: Path) -> bool:
    """Delete a file; whether it was still there. Raises: StoreUnavailable."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as err:
        raise StoreUnavailable.refused(str(file), err, "Mend the disk and run again: it goes on.", "deleted") from err
    if file.suffix == ".parquet":
        with suppress(OSError):  # the day has other files
            file.parent.rmdir()
    return True


def _is_left(path: Path) -> bool:
    with suppress(FileNotFoundError):  # somebody was faster
        return path.suffix == ".parquet" or is_finished(path)
    return False
