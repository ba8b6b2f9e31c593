"""Clients that ask a prediction server at a steady pace over a few connections, and keep what they were answered."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from pillars.drill.outcomes import CLIENT, client, row_of

CONNECTIONS = 6
PATIENCE_S = 10.0
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Answer:
    """One request as its client saw it. `status` 0: no answer, or half of one. `sent`: on the monotonic clock."""

    number: int
    sent: float
    took_s: float
    status: int
    id: str = ""
    version: int = 0
    fallback: str = ""
    code: str = ""  # of a refusal


class Load:
    """`rows`, one after the other, each asked by another client. Runs on a thread of its own while it is entered."""

    def __init__(self, port: int, rows: Sequence[dict[str, Any]], per_s: float) -> None:
        self.port, self.answers = port, list[Answer]()
        self._rows, self._pause_s = rows, CONNECTIONS / per_s
        self._numbers, self._stop = count(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask_for_ever()), name="load", daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2 * PATIENCE_S)

    async def _ask_for_ever(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(CONNECTIONS)))

    async def _client(self) -> None:
        line: Line | None = None
        while not self._stop.is_set():
            number, sent = next(self._numbers), time.monotonic()
            try:
                if line is None:
                    line = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.port), PATIENCE_S)
                status, said = await asyncio.wait_for(self._asked(line, number), PATIENCE_S)
            except (OSError, EOFError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
                status, said = 0, {}
            self.answers.append(_answer(number, sent, time.monotonic() - sent, status, said))
            if status != 200 and line is not None:
                line[1].close()
                line = None
            await asyncio.sleep(max(0.0, self._pause_s - (time.monotonic() - sent)))
        if line is not None:
            line[1].close()
            with suppress(OSError):
                await line[1].wait_closed()

    async def _asked(self, line: Line, number: int) -> tuple[int, dict[str, Any]]:
        (reader, writer), who = line, client(number)
        body = json.dumps({"dataframe_records": [{**self._rows[row_of(who, len(self._rows))], CLIENT: who}]}).encode()
        head = (  # the arm goes by the header: releases made elsewhere name other columns as the entity
            f"POST /invocations HTTP/1.1\r\nHost: drill\r\nX-Entity-Key: {who}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
        return int(lines[0].split()[1]), json.loads(await reader.readexactly(length))


def _answer(number: int, sent: float, took_s: float, status: int, said: dict[str, Any]) -> Answer:
    if status != 200:
        return Answer(number, sent, took_s, status, code=str(said.get("error_code", "")))
    return Answer(number, sent, took_s, status, said["request_id"], int(said["model_version"]), said.get("fallback", ""))
