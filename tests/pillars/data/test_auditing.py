from __future__ import annotations

from dataclasses import replace

import pytest

from pillars.data.auditing import Audit
from pillars.data.objects import Damage
from pillars.vocabulary import Decision, Validation

HOLDS = Validation("parcels", "2013-01", 40, 0, (), Decision.accept("all held"))
ASIDE = replace(HOLDS, period="2013-02", quarantined=2)
REFUSED = replace(HOLDS, period="2013-03", decision=Decision.refuse("too few"))
MENDED = Damage("parcels/rows/2013-01.parquet", "a" * 32, "cache", "b" * 32, True)
LOST = [Damage("listing", "c.dir", place, "", False) for place in ("cache", "remote")]


def audit(*periods: Validation, damage: list[Damage] | None = None) -> Audit:
    return Audit("parcels", "0123456789abcdef.dir", tuple(damage or ()), periods)


@pytest.mark.parametrize(
    ("found", "sound", "said"),
    [
        pytest.param(audit(HOLDS), True, "all 1 periods hold, and so do both copies", id="all holds"),
        pytest.param(
            audit(HOLDS, ASIDE, REFUSED), False, "2 of 3 periods break the rules of today (2013-02, 2013-03)", id="rules of today"
        ),
        pytest.param(
            audit(HOLDS, damage=[MENDED]), True, "mended from the other copy: parcels/rows/2013-01.parquet on the cache", id="mended"
        ),
        pytest.param(audit(HOLDS, damage=LOST), False, "lost in both copies: listing", id="lost"),
        pytest.param(
            audit(*(replace(ASIDE, period=f"2013-0{n}") for n in range(1, 6)), damage=[MENDED, *LOST]),
            False,
            "5 of 5 periods break the rules of today (2013-01, 2013-02, 2013-03 and 2 more); lost in both copies: listing; "
            "mended from the other copy: parcels/rows/2013-01.parquet on the cache",
            id="everything at once",
        ),
    ],
)
def test_what_was_found_is_said_in_a_sentence(found: Audit, sound: bool, said: str) -> None:
    assert (found.sound, found.said) == (sound, f"0123456789ab: {said}")
