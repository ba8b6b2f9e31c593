"""The prediction server's request log as evidence, a line per row that came: JSON lines, and what was compacted to Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pillars.deployment.evidence import event_of
from pillars.deployment.requests import INPUT, OUTPUT, compacted
from pillars.deployment.segments import AtRest, Lines, in_the_open, segments
from pillars.errors import StoreUnavailable
from pillars.stores import Stores
from pillars.vocabulary import Event


class Logged:
    """Evidence of what a server logged. `entity`: columns that the traffic is split by. `unreadable` counts lines of the last reading that
    are no request; the last line of a segment may be cut, for that request was not answered."""

    def __init__(
        self, stores: Stores, project: str, entity: tuple[str, ...] = (), slice: str | None = None, kept: AtRest | None = None
    ) -> None:
        self.folder, self.rows = (stores.var / "served" / project / name for name in ("log", "rows"))
        self._stores, self._kept = stores, kept or in_the_open(stores)
        self.entity, self.slice, self.unreadable = entity, slice, 0

    def events(self, generation: int) -> Iterator[Event]:
        """Requests routed by this generation or a later one.

        Raises:
            StoreUnavailable: a segment cannot be read, or its key is not on the ring.
            DataCorrupt: a compacted file is not what its seal says.
        """
        self.unreadable = 0
        for path in segments(self.folder):
            try:
                for line in Lines(path, self._kept):
                    if (event := self._event(line)) is not None and event.generation >= generation:
                        yield event
            except FileNotFoundError:
                continue  # compacted meanwhile
            except OSError as err:
                raise StoreUnavailable.refused(str(path), err, "Nothing was judged; mend it and run again.", "read") from err
        yield from self._compacted(generation)

    def _compacted(self, generation: int) -> Iterator[Event]:
        """After the lines: a segment that became Parquet meanwhile is read twice or once, and repeats do not count."""
        for path in sorted(self.rows.glob("*/*.parquet")):
            try:
                for row in compacted(self._stores, path, self._kept, ("generation", ">=", generation)):
                    if row.get("fallback"):
                        continue
                    yield event_of(_flat(_lined(row), self.entity, self.slice))
            except (OSError, ValueError, KeyError) as err:
                problem = OSError(getattr(err, "errno", None), str(err))
                raise StoreUnavailable.refused(str(path), problem, "Nothing was judged; mend it and run again.", "read") from err

    def _event(self, line: bytes | None) -> Event | None:
        try:
            row = json.loads(line or b"")
            if "arm" not in row or row.get("fallback"):
                return None  # says which model it is that later lines name; or neither arm answered
            return event_of(_flat(row, self.entity, self.slice) if "at_us" in row else row)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            self.unreadable += 1
            return None


def _lined(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of Parquet as the line that it was."""
    inputs = {name.removeprefix(INPUT): value for name, value in row.items() if name.startswith(INPUT)}
    told = {name: row[name] for name in ("id", "arm", "generation", "bucket", "took_us", "error")}
    return {**told, "at_us": round(row["at"].timestamp() * 1e6), "inputs": inputs, "outputs": {"score": row.get(f"{OUTPUT}score")}}


def _flat(row: Mapping[str, Any], entity: tuple[str, ...], slice: str | None) -> dict[str, Any]:
    """A line of the server. Where it keeps no entity, the bucket is the unit: the arm is a function of that, too. Without one it is the
    request's row, by the same name for a shadow."""
    inputs, outputs = row.get("inputs") or {}, row.get("outputs") or {}
    named = [inputs.get(name) for name in entity]
    if named and all(value is not None for value in named):
        who = "\x1f".join(str(value) for value in named)
    else:
        who = row["id"].partition("s")[0] if row.get("bucket") is None else f"bucket {row['bucket']}"
    return {
        "entity": who,
        "arm": row["arm"],
        "at": row["at_us"] / 1e6,
        "generation": row["generation"],
        "error": bool(row.get("error")),
        "latency_ms": row["took_us"] / 1e3,
        "score": outputs.get("score"),
        "wrong": row.get("wrong"),
        "slice": "" if slice is None else str(inputs.get(slice)),
    }
