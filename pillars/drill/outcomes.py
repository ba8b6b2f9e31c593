"""What came true of the requests of a drill, and the server's log with it as evidence."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path
from typing import Any

from pillars.bundle.bundle import Bundle
from pillars.bundle.golden import from_json
from pillars.deployment.logged import Logged
from pillars.stores import Stores
from pillars.vocabulary import Event

GENERATION = re.compile(rb'"generation":(\d+)')
CLIENT = "drill_client"  # the column that names who asks


@dataclass(frozen=True)
class Truth:
    """Outcomes drawn by what the champion says: it is as good as it believes. `chances`: per golden row the probability of each of
    `outcomes`, in their order."""

    outcomes: tuple[Any, ...]
    chances: tuple[tuple[float, ...], ...]

    def of(self, client: str, flipped: bool = False) -> Any:
        """What came true of a client's row, always the same; `flipped`: as a broken source of outcomes has it."""
        drawn = int.from_bytes(blake2b(client.encode(), digest_size=8).digest(), "big") / 2**64
        below = accumulate(self.chances[row_of(client, len(self.chances))])
        place = sum(drawn >= end for end in below)
        return self.outcomes[(min(place, len(self.outcomes) - 1) + flipped) % len(self.outcomes)]


def client(number: int) -> str:
    """Who asks the request of this number."""
    return f"d{number}"


def row_of(client: str, rows: int) -> int:
    """Which of the golden rows a client asks about."""
    return int(client[1:]) % rows


def truth_of(bundle: Bundle) -> Truth | None:
    """The outcomes of a champion's golden rows; None of numbers, of which none is wrong."""
    if bundle.task == "regression":
        return None
    chances = bundle.scores(from_json(bundle.golden["columns"])).tolist()
    if bundle.task == "multiclass":
        return Truth(bundle.classes, tuple(tuple(row) for row in chances))
    return Truth((False, True), tuple((1 - p, p) for p in chances))


@dataclass(frozen=True)
class Source:
    """How outcomes come now: `after_s` seconds after their request, and `flipped` or not."""

    after_s: float = 0.0
    flipped: bool = False


class Labelled(Logged):
    """The server's log, each row `wrong` or not once its outcome has come."""

    def __init__(self, stores: Stores, project: str, truth: Truth | None, source: Callable[[], Source], now: Callable[[], float]) -> None:
        super().__init__(stores, project, (CLIENT,))
        self._truth, self._source, self._now = truth, source, now
        self._begins: dict[tuple[Path, int], int] = {}

    def events(self, generation: int) -> Iterator[Event]:
        """As the log has them. A segment's lines come in the order of their generations: those before are read once."""
        for path in sorted(self.folder.glob("*.jsonl")):
            with path.open("rb") as lines:
                begin = self._begins.get((path, generation), 0)
                lines.seek(begin)
                before = True
                while (line := lines.readline()).endswith(b"\n"):
                    named = GENERATION.search(line)
                    before = before and (named is None or int(named[1]) < generation)
                    if before:
                        begin += len(line)
                    elif (event := self._event(line)) is not None and event.generation >= generation:
                        yield event
                self._begins[path, generation] = begin

    def _event(self, line: bytes | None) -> Event | None:
        event = super()._event(line)
        if event is None or self._truth is None or event.error or not event.entity.startswith("d"):
            return event
        source = self._source()
        if event.at + source.after_s > self._now():
            return event
        return replace(event, wrong=json.loads(line or b"")["outputs"]["decision"] != self._truth.of(event.entity, source.flipped))


def known(events: Sequence[Event]) -> tuple[int, int]:
    """Events whose outcome has come, and how many of them are wrong."""
    found = [event for event in events if event.wrong is not None]
    return len(found), sum(event.wrong is True for event in found)
