"""From rows to answers: each row's arm by its entity, all arms' answers put together, and the lines of the request log."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType

from pillars.deployment.server import routing
from pillars.deployment.server.batching import Batcher, listed
from pillars.deployment.server.decoding import Rows
from pillars.deployment.server.snapshot import Arm, Snapshot

TOLD = 20  # rows named in a warning
ENCODE_LINES = msgspec.json.Encoder().encode_lines


class Line(Struct, frozen=True, gc=False):
    """A row in the request log."""

    id: str
    at_us: int
    trace: str
    version: int
    sha256: str
    generation: int
    arm: str
    bucket: int | None
    took_us: int
    inputs: Struct
    outputs: dict[str, Any]
    error: Literal[True] | UnsetType = UNSET
    fallback: str | UnsetType = UNSET


class Asked(Struct, frozen=True, gc=False):
    """A request that was understood. `entity`: of the request's header, for all its rows. `pinned`: the version it named. `at_us`: when it
    came, microseconds since 1970; all lines that are written of it have it, a shadow's too, for they are compared."""

    id: str
    trace: str
    rows: Rows
    began_ns: int
    at_us: int
    entity: bytes | None = None
    pinned: Arm | None = None


class Failed(Exception):
    """A model that could not answer: a bug, or a release that is none. `arm`: whose."""

    def __init__(self, arm: Arm) -> None:
        super().__init__(arm.release.version)
        self.arm = arm


@dataclass
class Answered:
    """Outputs by column; for each row who answered it and its entity's bucket (None where it has none)."""

    outputs: dict[str, list[Any]]
    arms: list[Arm]
    buckets: list[int | None]
    unknown: dict[str, list[int]] = field(default_factory=dict)
    said: list[dict[str, Any]] = field(default_factory=list)  # the outputs row by row, for the answer and for the log

    def __post_init__(self) -> None:
        names = tuple(self.outputs)
        self.said = [dict(zip(names, row, strict=True)) for row in zip(*self.outputs.values(), strict=True)]


async def answer(snapshot: Snapshot, asked: Asked, batcher: Batcher) -> Answered:
    """Every row's answer by its arm. Raises: Failed."""
    buckets = placed(snapshot, asked)
    arms = seated(snapshot, asked, buckets)
    first = arms[0]
    if all(arm is first for arm in arms):
        columns = asked.rows.columns
        try:
            encoded = first.encode(columns, asked.rows.count)
            unknown = first.unknown(columns, encoded)
            return Answered(await batcher.predict(first, encoded, first.groups(columns)), arms, buckets, unknown)
        except Exception as err:
            raise Failed(first) from err
    return await _by_several(arms, buckets, asked.rows, batcher)


async def _by_several(arms: list[Arm], buckets: list[int | None], rows: Rows, batcher: Batcher) -> Answered:
    """Raises: Failed."""
    asked, floats = [], dict[tuple[int, ...], np.ndarray]()
    for arm in dict.fromkeys(arms):
        places = [place for place, own in enumerate(arms) if own is arm]
        try:
            if arm.numbers not in floats:
                floats[arm.numbers] = arm.floats(rows.columns, rows.count)
            columns = Part(rows.columns, places)
            encoded = arm.encode(columns, len(places), floats[arm.numbers][:, places])
            asked.append((arm, places, batcher.predict(arm, encoded, arm.groups(columns)), arm.unknown(columns, encoded)))
        except Exception as err:
            raise Failed(arm) from err
    outputs: dict[str, list[Any]] = {}
    unknown: dict[str, list[int]] = {}
    for arm, places, answers, lost in asked:
        try:
            said = await answers
        except Exception as err:
            raise Failed(arm) from err
        for name, values in said.items():
            whole = outputs.setdefault(name, [None] * rows.count)
            for place, value in zip(places, values, strict=True):
                whole[place] = value
        for name, few in lost.items():
            unknown.setdefault(name, []).extend(places[row] for row in few)
    return Answered(outputs, arms, buckets, {name: sorted(few) for name, few in unknown.items()})


class Part(Sequence[Sequence[Any]]):
    """The columns of some rows; one is picked when it is asked for, and most are not."""

    def __init__(self, columns: Sequence[Sequence[Any]], places: Sequence[int]) -> None:
        self._columns, self._places = columns, places

    def __getitem__(self, place: Any) -> Any:
        """A column."""
        column = self._columns[place]
        return [column[row] for row in self._places]

    def __len__(self) -> int:
        """Of all columns."""
        return len(self._columns)


def placed(snapshot: Snapshot, asked: Asked) -> list[int | None]:
    """Each row's bucket; None where nothing names its entity."""
    count, where = asked.rows.count, snapshot.contract.entity
    if asked.entity is not None:
        return [routing.bucket(asked.entity, snapshot.salt)] * count
    if not where:
        return [None] * count
    named = map(routing.entity_of, zip(*[asked.rows.columns[place] for place in where], strict=True))
    return [None if one is None else routing.bucket(one, snapshot.salt) for one in named]


def seated(snapshot: Snapshot, asked: Asked, buckets: Sequence[int | None]) -> list[Arm]:
    """Each row's arm. A row without an entity goes by the request's id: challengers get their share of those, too, and nothing sticks."""
    if asked.pinned is not None or not snapshot.challengers:
        return [asked.pinned or snapshot.champion] * len(buckets)
    weights, others = snapshot.weights, snapshot.challengers
    chance = routing.bucket(asked.id.encode(), snapshot.salt) if None in buckets else 0
    chosen = [routing.challenger(chance if place is None else place, weights) for place in buckets]
    return [snapshot.champion if other < 0 else others[other] for other in chosen]


def failed(snapshot: Snapshot, asked: Asked, arm: Arm) -> bytes:
    """Lines of the log for the rows that an arm could not answer, for who judges a rollout: inputs and `error`, no outputs."""
    buckets = placed(snapshot, asked)
    arms = seated(snapshot, asked, buckets)
    its = [row for row, own in enumerate(arms) if own is arm]
    return lines(snapshot, asked, Answered({}, arms, buckets), failed=its)


def unanswered(snapshot: Snapshot, asked: Asked) -> tuple[bytes, list[bytes]]:
    """Lines of the log, and their heads, for a request that the server itself could not answer: every row, with its arm and `error`."""
    buckets = placed(snapshot, asked)
    arms = seated(snapshot, asked, buckets)
    return lines(snapshot, asked, Answered({}, arms, buckets), failed=range(asked.rows.count)), heads(arms)


def unread(snapshot: Snapshot, id: str, trace: str, began_ns: int, at_us: int, entity: bytes | None) -> Asked:
    """A request that failed before its rows were known, as one row of which nothing is known."""
    return Asked(id, trace, Rows([(None,)] * len(snapshot.contract.columns), 1), began_ns, at_us, entity)


def about(snapshot: Snapshot, asked: Asked, answered: Answered) -> dict[str, Any]:
    """What an answer says beside its predictions."""
    arms, told = answered.arms, {"request_id": asked.id, "generation": snapshot.generation}
    told["model_version"] = arms[0].version if len(set(arms)) == 1 else [arm.version for arm in arms]
    if snapshot.fallback:
        told["fallback"] = snapshot.fallback
    if answered.unknown:
        told["warnings"] = {"unknown_category": {name: rows[:TOLD] for name, rows in answered.unknown.items()}}
    return told


def lines(snapshot: Snapshot, asked: Asked, answered: Answered, suffix: str = "", failed: Sequence[int] = ()) -> bytes:
    """The request's lines of the log, one a row: `<request>-<row>`, so that each prediction has a name for ever. Those of `failed` alone,
    where there are any: they have no outputs."""
    took = (time.perf_counter_ns() - asked.began_ns) // 1_000
    inputs, said = snapshot.decoders.inputs(asked.rows), answered.said or [{}] * asked.rows.count
    error: Literal[True] | UnsetType = True if failed else UNSET
    return ENCODE_LINES(
        [
            Line(
                f"{asked.id}-{row}{suffix}",
                asked.at_us,
                asked.trace,
                arm.release.version,
                arm.short,
                snapshot.generation,
                arm.role,
                answered.buckets[row],
                took,
                inputs[row],
                said[row],
                error,
                snapshot.fallback or UNSET,
            )
            for row, arm in enumerate(answered.arms)
            if not failed or row in failed
        ]
    )


def heads(arms: Sequence[Arm]) -> list[bytes]:
    """Lines that say what the models are, each once."""
    return [arms[0].head] if len(arms) == 1 else [arm.head for arm in dict.fromkeys(arms)]


def shadowed(snapshot: Snapshot, shadow: Arm, asked: Asked, buckets: Sequence[int | None]) -> tuple[Answered, bytes]:
    """What a shadow would have answered, and its lines; not on the loop's thread. Where it cannot answer, lines with `error`."""
    suffix, whose = f"s{shadow.release.version}", [shadow] * asked.rows.count
    try:
        encoded = shadow.encode(asked.rows.columns, asked.rows.count)
        outputs: Mapping[str, list[Any]] = listed(shadow.say(encoded, shadow.groups(asked.rows.columns)), shadow)
    except Exception:  # it harms nobody, and its judge has to know
        silent = Answered({}, whose, list(buckets))
        return silent, lines(snapshot, asked, silent, suffix, failed=range(asked.rows.count))
    answered = Answered(dict(outputs), whose, list(buckets))
    return answered, lines(snapshot, asked, answered, suffix)
