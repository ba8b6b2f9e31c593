"""Policies under load: champions switched, shares changed, broken releases published, while 16 connections ask without a pause.

Every answer is looked at: it must be there, and be by a model that its generation names.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from bench.serving_load import Side, answer, request
from bench.serving_world import World

CONNECTIONS = 16
PATIENCE_S = 30.0


@dataclass
class Found:
    """`failed`: requests without an answer, with another status, or by a model that their generation does not name."""

    requests: int = 0
    failed: list[str] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)
    first: dict[int, float] = field(default_factory=dict)  # generation -> when it answered first
    changes: dict[str, int] = field(default_factory=dict)
    seen_ms: list[float] = field(default_factory=list)  # from the policy's writing to the first answer by it

    def told(self) -> dict[str, object]:
        """As numbers."""
        p50, p99, most = np.percentile(self.took_ms, [50, 99, 100]).round(2).tolist() if self.took_ms else (None, None, None)
        seen = {"seen_p50_ms": round(float(np.median(self.seen_ms))), "seen_max_ms": round(max(self.seen_ms))} if self.seen_ms else {}
        failed = {"requests": self.requests, "failed": len(self.failed), "why": self.failed[:5]}
        return {**self.changes, **failed, "p50_ms": p50, "p99_ms": p99, "max_ms": most, **seen}


def policies(world: World, first: int, switches: int, weights: int, broken: int) -> Iterator[tuple[str, int, set[str]]]:
    """Write one policy after the other, all kinds mixed, and say its kind, generation, and which versions may answer under it."""
    bad = {**world.champion, "version": 9, "path": "releases/flights/v9-broken"}
    shutil.copytree(world.var / world.champion["path"], world.var / bad["path"])
    (world.var / bad["path"] / "booster-0.ubj").write_bytes(b"nothing")
    champion, challenger = world.champion, world.challenger
    left = {"switch": switches, "weight": weights, "broken": broken}
    total, generation = switches + weights + broken, first
    for step in range(total):
        kind = max(left, key=lambda k: left[k] / {"switch": switches, "weight": weights, "broken": broken}[k] if left[k] else -1.0)
        left[kind] -= 1
        generation += 1
        if kind == "broken":
            world.policy(generation, bad)
            yield kind, generation, set()
            continue
        if kind == "switch":
            champion, challenger = challenger, champion
            world.policy(generation, champion)
            yield kind, generation, {str(champion["version"])}
            continue
        weight = (0, 100, 2_500, 5_000, 10_000)[step % 5]
        world.policy(generation, champion, challenger, weight)
        answering = {0: {champion["version"]}, 10_000: {challenger["version"]}}.get(weight, {champion["version"], challenger["version"]})
        yield kind, generation, {str(version) for version in answering}


def under_load(world: World, side: Side, switches: int = 50, weights: int = 50, broken: int = 20) -> Found:
    """All of it; a minute or two."""
    found, stop = Found(changes={"switches": switches, "weights": weights, "broken": broken}), threading.Event()
    allowed: dict[int, set[str]] = {}
    state = json.loads((world.var / "releases/flights/policy.json").read_bytes())
    allowed[state["generation"]] = {str(one["version"]) for one in (state["champion"], state["challenger"]) if one}
    load = threading.Thread(target=lambda: asyncio.run(_clients(world, side, found, allowed, stop)))
    load.start()
    try:
        for kind, generation, versions in policies(world, state["generation"], switches, weights, broken):
            written = time.monotonic()
            allowed[generation] = versions
            if kind == "broken":
                _wait(lambda: "v9-broken" in _version(side)["refused"], "a refusal")
                seen = found.requests
                _wait(lambda seen=seen: found.requests > seen + CONNECTIONS, "answers")  # type: ignore[misc]
            else:
                _wait(lambda g=generation: g in found.first, f"generation {generation}")  # type: ignore[misc]
                found.seen_ms.append((found.first[generation] - written) * 1e3)
    finally:
        stop.set()
        load.join()
    return found


async def _clients(world: World, side: Side, found: Found, allowed: dict[int, set[str]], stop: threading.Event) -> None:
    bodies = [request(side.path, json.dumps({"dataframe_records": [row]}).encode()) for row in world.rows]

    async def client(number: int) -> None:
        reader = writer = None
        asked = number
        while not stop.is_set():
            asked += 1
            began = time.monotonic()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", side.port)
                writer.write(bodies[asked % len(bodies)])
                status, content = await answer(reader)  # type: ignore[arg-type]
            except (OSError, asyncio.IncompleteReadError, ValueError) as err:
                found.failed.append(repr(err))
                writer = None
                continue
            finally:
                found.requests += 1
            _looked_at(found, status, content, allowed)
            found.took_ms.append((time.monotonic() - began) * 1e3)
        if writer is not None:
            writer.close()

    await asyncio.gather(*(client(number) for number in range(CONNECTIONS)))


def _looked_at(found: Found, status: int, content: bytes, allowed: dict[int, set[str]]) -> None:
    if status != 200:
        found.failed.append(f"{status} {content[:200]!r}")
        return
    said = json.loads(content)
    generation, version = said["generation"], said["model_version"]
    if generation not in found.first:
        found.first[generation] = time.monotonic()
    if generation in allowed and version not in allowed[generation]:
        found.failed.append(f"generation {generation} was answered by version {version}")


def _version(side: Side) -> dict[str, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{side.port}/version", timeout=30) as said:
        return json.loads(said.read())  # type: ignore[no-any-return]


def _wait(condition, what: str) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {PATIENCE_S:.0f} s for {what}")
        time.sleep(0.01)
