"""From rows to answers: each row's arm by its entity, all arms' answers put together, and the lines of the request log."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pillars.deployment.server import routing
from pillars.deployment.server.batching import Batcher, listed
from pillars.deployment.server.decoding import Rows
from pillars.deployment.server.snapshot import Arm, Snapshot

TOLD = 20  # rows named in a warning


@dataclass(frozen=True)
class Asked:
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


async def answer(snapshot: Snapshot, asked: Asked, batcher: Batcher) -> Answered:
    """Every row's answer by its arm. Raises: Failed."""
    buckets = placed(snapshot, asked)
    arms = seated(snapshot, asked, buckets)
    first = arms[0]
    if all(arm is first for arm in arms):
        outputs, unknown = await _by(first, asked.rows.columns, asked.rows.count, batcher)
        return Answered(outputs, arms, buckets, unknown)
    return await _by_several(arms, buckets, asked.rows, batcher)


async def _by(
    arm: Arm, columns: Sequence[Sequence[Any]], count: int, batcher: Batcher
) -> tuple[dict[str, list[Any]], dict[str, list[int]]]:
    """Raises: Failed."""
    try:
        encoded = arm.encode(columns, count)
        return await batcher.predict(arm, encoded, arm.groups(columns)), arm.unknown(columns, encoded)
    except Exception as err:
        raise Failed(arm) from err


async def _by_several(arms: list[Arm], buckets: list[int | None], rows: Rows, batcher: Batcher) -> Answered:
    outputs: dict[str, list[Any]] = {}
    unknown: dict[str, list[int]] = {}
    for arm in dict.fromkeys(arms):
        places = [place for place, own in enumerate(arms) if own is arm]
        columns = [[column[place] for place in places] for column in rows.columns]
        said, lost = await _by(arm, columns, len(places), batcher)
        for name, values in said.items():
            whole = outputs.setdefault(name, [None] * rows.count)
            for place, value in zip(places, values, strict=True):
                whole[place] = value
        for name, few in lost.items():
            unknown.setdefault(name, []).extend(places[row] for row in few)
    return Answered(outputs, arms, buckets, {name: sorted(few) for name, few in unknown.items()})


def placed(snapshot: Snapshot, asked: Asked) -> list[int | None]:
    """Each row's bucket; None where nothing names its entity."""
    count, where = asked.rows.count, snapshot.contract.entity
    if asked.entity is not None:
        return [routing.bucket(asked.entity, snapshot.salt)] * count
    if not where:
        return [None] * count
    named = [routing.entity_of([asked.rows.columns[place][row] for place in where]) for row in range(count)]
    return [None if one is None else routing.bucket(one, snapshot.salt) for one in named]


def seated(snapshot: Snapshot, asked: Asked, buckets: Sequence[int | None]) -> list[Arm]:
    """Each row's arm. A row without an entity goes by the request's id: challengers get their share of those, too, and nothing sticks."""
    if asked.pinned is not None or not snapshot.challengers:
        return [asked.pinned or snapshot.champion] * len(buckets)
    weights, others = snapshot.weights, snapshot.challengers
    chance = routing.bucket(asked.id.encode(), snapshot.salt)
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
    versions = [arm.release.version for arm in answered.arms]
    told: dict[str, Any] = {"request_id": asked.id, "generation": snapshot.generation}
    told["model_version"] = str(versions[0]) if len(set(versions)) == 1 else [str(version) for version in versions]
    if snapshot.fallback:
        told["fallback"] = snapshot.fallback
    if answered.unknown:
        told["warnings"] = {"unknown_category": {name: rows[:TOLD] for name, rows in answered.unknown.items()}}
    return told


def lines(snapshot: Snapshot, asked: Asked, answered: Answered, suffix: str = "", failed: Sequence[int] = ()) -> bytes:
    """The request's lines of the log, one a row: `<request>-<row>`, so that each prediction has a name for ever. Those of `failed` alone,
    where there are any: they have no outputs."""
    kept, names = snapshot.kept, tuple(answered.outputs)
    columns = [asked.rows.columns[place] for _, place in kept]
    took = (time.perf_counter_ns() - asked.began_ns) // 1_000
    more = ({"error": True} if failed else {}) | ({"fallback": snapshot.fallback} if snapshot.fallback else {})
    inputs = list(zip(*columns, strict=True)) if columns else [()] * asked.rows.count
    said = list(zip(*answered.outputs.values(), strict=True)) or [()] * asked.rows.count
    kept_names = tuple(name for name, _ in kept)
    rows = [
        {
            "id": f"{asked.id}-{row}{suffix}",
            "at_us": asked.at_us,
            "trace": asked.trace,
            "version": arm.release.version,
            "sha256": arm.release.sha256[:16],
            "generation": snapshot.generation,
            "arm": arm.role,
            "bucket": place,
            "took_us": took,
            "inputs": dict(zip(kept_names, inputs[row], strict=True)),
            "outputs": dict(zip(names, said[row], strict=True)),
            **more,
        }
        for row, (arm, place) in enumerate(zip(answered.arms, answered.buckets, strict=True))
        if not failed or row in failed
    ]
    return msgspec.json.Encoder().encode_lines(rows)


def heads(arms: Sequence[Arm]) -> list[bytes]:
    """Lines that say what the models are, each once."""
    return [arm.head for arm in dict.fromkeys(arms)]


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
