"""The prediction server's request log as evidence: JSON lines in `var/served/<project>/log`, a line per answered row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pillars.deployment.evidence import event_of
from pillars.errors import StoreUnavailable
from pillars.stores import Stores
from pillars.vocabulary import Event


class Logged:
    """Evidence of what a server logged. `entity`: columns that the traffic is split by. `unreadable` counts lines of the last reading that
    are no request; the last line of a segment may be cut, for that request was not answered."""

    def __init__(self, stores: Stores, project: str, entity: tuple[str, ...] = (), slice: str | None = None) -> None:
        self.folder, self.entity, self.slice, self.unreadable = stores.var / "served" / project / "log", entity, slice, 0

    def events(self, generation: int) -> Iterator[Event]:
        """Requests routed by this generation or a later one.

        Raises:
            StoreUnavailable: a segment cannot be read.
        """
        self.unreadable = 0
        for path in sorted(self.folder.glob("*.jsonl")):
            try:
                with path.open("rb") as lines:
                    for line in lines:
                        if line.endswith(b"\n") and (event := self._event(line)) is not None and event.generation >= generation:
                            yield event
            except FileNotFoundError:
                continue  # compacted meanwhile
            except OSError as err:
                raise StoreUnavailable.refused(str(path), err, "Nothing was judged; mend it and run again.", "read") from err

    def _event(self, line: bytes) -> Event | None:
        try:
            row = json.loads(line)
            if "arm" not in row:
                return None  # says which model it is that later lines name
            return event_of(_flat(row, self.entity, self.slice) if "at_us" in row else row)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            self.unreadable += 1
            return None


def _flat(row: Mapping[str, Any], entity: tuple[str, ...], slice: str | None) -> dict[str, Any]:
    """A line of the server. Where it keeps no entity, the bucket is the unit: the arm is a function of that, too."""
    inputs, outputs = row.get("inputs") or {}, row.get("outputs") or {}
    named = [inputs.get(name) for name in entity]
    if named and all(value is not None for value in named):
        who = "\x1f".join(str(value) for value in named)
    else:
        who = row["id"] if row.get("bucket") is None else f"bucket {row['bucket']}"
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
