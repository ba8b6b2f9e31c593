"""What retention took away, by the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from pillars.data.retention import Kind
from pillars.monitoring.ledger import Entry

DECISION = "retain"
KINDS: tuple[Kind, ...] = ("collected", "rows")


def dropped(entries: Sequence[Entry]) -> dict[Kind, dict[str, int]]:
    """Periods that were dropped, with the row that says so, of a project's `entries` in their order. One that came again is not."""
    found: dict[Kind, dict[str, int]] = {kind: {} for kind in KINDS}
    for entry in entries:
        if entry.decision == "ingest":
            period = str(entry.inputs["period"])
            found["collected"].pop(period, None)
            if entry.outcome == "accept":
                found["rows"].pop(period, None)
        elif entry.decision == DECISION:
            for kind in KINDS:
                found[kind] |= {str(period): entry.seq for period in _listed(entry, kind)}
    return found


def _listed(entry: Entry, kind: Kind) -> list[object]:
    said = entry.facts[kind]
    return list(said) if isinstance(said, list) else []
