"""What a year of either side ends with: equal, or the bench compares different work."""

from __future__ import annotations

from dataclasses import dataclass

from pillars.stores import Stores


@dataclass(frozen=True)
class Month:
    """DVC's id of the data set, the identity of the boosters fitted through this month, its predictions' log loss (None: unscored)."""

    period: str
    data_version: str
    model_sha256: str
    log_loss: float | None


def on_record(project: str) -> list[Month]:
    """What the loop found, read back from its ledger."""
    from pillars.answers import history

    found = []
    for chapter in history.read(Stores(), project).chapters:
        version, card = chapter.batch.version if chapter.batch else None, chapter.quality
        sha256 = chapter.candidate.sha256 if chapter.candidate else ""
        found.append(Month(chapter.period, version.id if version else "", sha256, card.measures["log_loss"].value if card else None))
    return found


def differences(plain: list[Month], loop: list[Month], tolerance: float = 1e-9) -> list[str]:
    """What the two sides disagree on, a line each: data and models by name, losses beyond `tolerance` (nats per row)."""
    if [m.period for m in plain] != [m.period for m in loop]:
        return [f"plain went through {[m.period for m in plain]}, the loop through {[m.period for m in loop]}"]
    said = []
    for ours, theirs in zip(plain, loop, strict=True):
        for name in ("data_version", "model_sha256"):
            if getattr(ours, name) != getattr(theirs, name):
                said.append(f"{ours.period} {name}: plain {getattr(ours, name)}, loop {getattr(theirs, name)}")
        if (ours.log_loss is None) != (theirs.log_loss is None) or abs((ours.log_loss or 0.0) - (theirs.log_loss or 0.0)) > tolerance:
            said.append(f"{ours.period} log loss: plain {ours.log_loss}, loop {theirs.log_loss}")
    return said
