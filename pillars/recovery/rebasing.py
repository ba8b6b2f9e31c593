"""Absolute paths in databases: MLflow keeps them of runs and models, Prefect of results. Restored elsewhere, they lead nowhere."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote


def rebase(database: Path, places: Mapping[str, str]) -> int:
    """Replace old places by new ones in every text of every table; the number of values that changed.

    Every column is searched, not a list of those that are known: MLflow had six with paths in one release and more in the next.
    A place is found as it is, as part of a URL, and inside of JSON; only where a path begins and its last name ends.

    Raises:
        sqlite3.DatabaseError: it is no database.
    """
    rebased, changed = renaming(places), 0
    with closing(sqlite3.connect(database)) as file, file:
        file.create_function("rebased", 1, rebased, deterministic=True)
        tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
        for table in tables:
            for _, column, _, _, _, _, hidden in file.execute(f"PRAGMA table_xinfo({_name(table)})").fetchall():
                if hidden:  # made from others
                    continue
                at = f"{_name(table)} SET {_name(column)} = rebased({_name(column)})"
                where = f"typeof({_name(column)}) = 'text' AND rebased({_name(column)}) <> {_name(column)}"
                changed += file.execute(f"UPDATE {at} WHERE {where}").rowcount
    return changed


def renaming(places: Mapping[str, str]) -> Callable[[str], str]:
    """A function that puts new places where old ones stand, in one pass: a new place may hold an old one in itself."""
    said: dict[str, str] = {}
    for old, new in places.items():
        for write in (str, quote, lambda text: json.dumps(text)[1:-1]):
            said.setdefault(write(old), write(new))
    ways = "|".join(re.escape(old) for old in sorted(said, key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w.%~-])(?:{ways})(?=[/\"'?#]|\Z)")
    return lambda text: pattern.sub(lambda found: said[found[0]], text)


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
