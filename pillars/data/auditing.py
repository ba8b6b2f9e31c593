"""A data version held against the rules of today: its files by their hashes, in both copies, and its rows by their checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pillars.config import Project
from pillars.data import cleaning, validation_page, versions
from pillars.data.objects import Damage
from pillars.stores import Stores
from pillars.vocabulary import DataVersion, Validation


@dataclass(frozen=True)
class Audit:
    """What was found of a data version. `periods` are in order, each with the verdict that its rows would get today."""

    project: str
    version: str
    damage: tuple[Damage, ...]
    periods: tuple[Validation, ...]

    @property
    def refused(self) -> tuple[str, ...]:
        """Periods that would be rejected today, or would have rows set aside."""
        return tuple(each.period for each in self.periods if not each.decision or each.quarantined)

    @property
    def sound(self) -> bool:
        """Whether every file has its bytes now, and every row holds to the rules."""
        return not self.refused and not self.lost

    @property
    def lost(self) -> tuple[str, ...]:
        """Files that neither copy has whole."""
        return tuple(dict.fromkeys(one.name for one in self.damage if not one.mended))

    @property
    def said(self) -> str:
        """All of it in a sentence."""
        mended = [f"{one.name} on the {one.place}" for one in self.damage if one.mended]
        parts = [
            *(
                [f"{len(self.refused)} of {len(self.periods)} periods break the rules of today ({_some(self.refused)})"]
                if self.refused
                else []
            ),
            *([f"lost in both copies: {_some(self.lost)}"] if self.lost else []),
            *([f"mended from the other copy: {_some(mended)}"] if mended else []),
        ]
        return f"{self.version[:12]}: {'; '.join(parts) or f'all {len(self.periods)} periods hold, and so do both copies'}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def examine(stores: Stores, project: Project, version: DataVersion, period: str) -> Validation:
    """Check one period of a version by the rules of today; its page is `reports/<project>/<period>/audit.html`. Nothing else is written.

    Raises:
        UnknownName: the version has no such period.
        DataCorrupt: neither cache nor remote has the bytes.
        ConfigInvalid: an expectation that Great Expectations does not know.
    """
    rows = versions.read(stores, version, "rows", [period])
    known = versions.with_outcomes(stores, version)
    outcomes = versions.read(stores, version, "outcomes", [period]) if period in known else None
    validation = cleaning.examine(project, period, rows, outcomes)
    return replace(validation, page=validation_page.write_page(stores, validation, audited=version.id))
