"""A served project in a folder: bundles of ten trees as releases, a traffic policy, and the server in this process or in its own."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pillars.bundle.bundle import Bundle, write_bundle
from pillars.bundle.encoder import Encoder
from pillars.deployment.server.app import App
from pillars.deployment.server.settings import Column, Settings
from pillars.stores import write_atomically
from pillars.vocabulary import Release
from tests.clone import CHECKOUT
from tests.conftest import free_port
from tests.waiting import wait_until

SCHEMA = {
    "inputs": [
        {"name": "distance", "type": "double"},
        {"name": "seats", "type": "double"},
        {"name": "booked", "type": "double"},
        {"name": "carrier", "type": "string"},
    ],
    "outputs": [{"name": "score", "type": "double"}, {"name": "decision", "type": "boolean"}],
    "key": ["flight"],
    "target": "late",
}
COLUMNS = {
    "distance": Column("float", required=True),
    "seats": Column("int"),
    "booked": Column("bool"),
    "carrier": Column("category"),
    "flight": Column("text"),
    "passenger": Column("text", kept=False),
}
ROW = {"distance": 1000.0, "seats": 150, "booked": True, "carrier": "UA"}


def columns(rows: int = 200, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    seats = random.integers(50, 300, rows).astype(np.float64)
    seats[0] = np.nan
    return {
        "distance": random.uniform(100, 2000, rows),
        "seats": seats,
        "booked": random.integers(0, 2, rows).astype(np.float64),
        "carrier": random.choice(np.array(["UA", "AA", None], dtype=object), rows),
    }


def write_release(var: Path, version: int, seed: int = 0, **changes: Any) -> Release:
    """A bundle as release `version` of `small`; another seed gives other bytes."""
    import xgboost

    known = columns(seed=seed)
    encoder = Encoder.fit(known, ["distance", "seats", "booked"], ["carrier"])
    late = (known["distance"] > 900) ^ (known["carrier"] == "UA")
    settings = {"max_depth": 3, "objective": "binary:logistic", "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(encoder.encode(known), late), num_boost_round=10)
    raw = bytes(booster.save_raw("ubj"))
    golden = {name: values[:5] for name, values in known.items()}
    path = f"releases/small/v{version}-{seed:08d}"
    told = {"calibration": {"kind": "sigmoid", "a": 1.1, "b": 0.2}, "decision": {"threshold": 0.4}, "schema": SCHEMA, **changes}
    sha256 = write_bundle(var / path, "small", [raw], encoder, told["calibration"], told["decision"], told["schema"], golden, {})
    return Release("small", version, sha256, path, Bundle.load(var / path).digest)


def write_policy(var: Path, generation: int, champion: Release | None, **more: Any) -> None:
    content = {"format": 1, "project": "small", "generation": generation, "champion": asdict(champion) if champion else None}
    content |= {"previous": [], "strategy": "direct", "reason": "", **more}
    write_atomically(var / "releases" / "small" / "policy.json", json.dumps(content).encode())


def settings(var: Path, **changes: Any) -> Settings:
    told = {"project": "small", "var": str(var), "columns": COLUMNS, "key": ("flight",), "entity": ("passenger",), "poll_s": 0.05}
    return Settings(**{**told, **changes})


def logged(var: Path) -> list[dict[str, Any]]:
    """Whole lines of all segments that are predictions."""
    lines = [line for file in sorted((var / "served" / "small" / "log").glob("*.jsonl")) for line in file.read_bytes().split(b"\n")[:-1]]
    return [row for row in map(json.loads, lines) if "kind" not in row]


class InProcess:
    """The app without a socket: one request at a time or many at once, in a loop of its own."""

    def __init__(self, told: Settings, allowed: tuple[str, ...] = ()) -> None:
        self.loop = asyncio.new_event_loop()
        self.app = App(told, allowed)

    def __enter__(self) -> InProcess:
        async def start() -> None:
            self.app.start()

        self.loop.run_until_complete(start())
        return self

    def __exit__(self, *_: object) -> None:
        self.app.stop()
        self.loop.close()

    def ready(self, generation: int = 1) -> InProcess:
        wait_until(lambda: (s := self.app.watcher.snapshot) and s.generation >= generation, 20, 0.01, f"generation {generation}")
        return self

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        return self.loop.run_until_complete(self.asked(method, path, body, headers))

    def ask_all(self, bodies: Sequence[Any]) -> list[tuple[int, Any]]:
        async def together() -> list[tuple[int, Any]]:
            return await asyncio.gather(*(self.asked("POST", "/invocations", body) for body in bodies))

        return self.loop.run_until_complete(together())

    async def asked(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        given = {"content-type": "application/json", **(headers or {})}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in sent)
        told = dict(sent[0]["headers"])
        return sent[0]["status"], json.loads(content) if told[b"content-type"] == b"application/json" and content else content


class Served:
    """The server as a process of its own."""

    def __init__(self, told: Settings, process: subprocess.Popen[bytes], log: Path) -> None:
        self.settings, self.process, self.log = told, process, log

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.settings.port, timeout=30)
        try:
            connection.request(method, path, raw, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if answer.headers["content-type"] == "application/json" and content else content
        finally:
            connection.close()

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}")
        try:
            return self.ask("GET", "/ready")[0] == 200
        except OSError:
            return False


@contextmanager
def served(var: Path, environ: dict[str, str] | None = None, ready: bool = True, **changes: Any) -> Iterator[Served]:
    """`python -m pillars.deployment.server` with these settings; ended at the end."""
    told = settings(var, port=free_port(), **changes)
    file, log = var / "settings.json", var / "server.log"
    file.write_bytes(msgspec.json.encode(told))
    command = [sys.executable, "-m", "pillars.deployment.server", str(file), "--json"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=CHECKOUT, env=os.environ | (environ or {}), stdout=output, stderr=output)
    server = Served(told, process, log)
    try:
        wait_until(server.is_ready if ready else lambda: answers_live(server), 120, 0.1, "the server")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def answers_live(server: Served) -> bool:
    try:
        return server.ask("GET", "/live")[0] == 200
    except OSError:
        return False
