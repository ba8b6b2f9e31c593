"""Names of periods, and the time that each stands for."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

FORMS = "2013, 2013-Q1, 2013-02, 2013-W05, 2013-02-28, 2013-02-28T13 or a number of 5 to 9 digits"
_PARTS = re.compile(r"(?P<year>\d{4})(?:-Q(?P<quarter>[1-4])|-W(?P<week>\d\d)|-(?P<month>\d\d)(?:-(?P<day>\d\d)(?:T(?P<hour>\d\d))?)?)?")
_NUMBER = re.compile(r"\d{5,9}")
_ZERO = datetime(2000, 1, 1)  # where a trend of numbered periods begins, a day each: charts want times


def span(period: str) -> tuple[datetime, datetime] | None:
    """Start and end (not included) of a period named 2013, 2013-Q1, 2013-02, 2013-W05 (ISO), 2013-02-28 or 2013-02-28T13; else None."""
    found = _PARTS.fullmatch(period)
    if found is None:
        return None
    part = {name: None if text is None else int(text) for name, text in found.groupdict().items()}
    year = part["year"] or 0
    try:
        if part["week"] is not None:
            start = datetime.fromisocalendar(year, part["week"], 1)
            return start, start + timedelta(days=7)
        if part["quarter"] is not None:
            return datetime(year, 3 * part["quarter"] - 2, 1), _month_after(datetime(year, 3 * part["quarter"], 1))
        start = datetime(year, part["month"] or 1, part["day"] or 1, part["hour"] or 0)
        if part["hour"] is not None:
            return start, start + timedelta(hours=1)
        if part["day"] is not None:
            return start, start + timedelta(days=1)
        return start, _month_after(start) if part["month"] is not None else datetime(year + 1, 1, 1)
    except (ValueError, OverflowError):
        return None


def last_second(period: str) -> datetime | None:
    """Where a period stands on a time axis: at its end, or, for a numbered one (five digits or more), so many days after 2000."""
    if ends := span(period):
        return ends[1] - timedelta(seconds=1)
    return _ZERO + timedelta(days=min(int(period), 2_900_000), seconds=-1) if _NUMBER.fullmatch(period) else None


def _month_after(start: datetime) -> datetime:
    return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
