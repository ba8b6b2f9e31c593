"""Load on one server: `wrk` where it is installed, else a client of ours, which is slower than the servers it measures."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

LUA = """wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
"""


@dataclass(frozen=True)
class Side:
    """A server that runs. `path` answers predictions, `protocol` says which body it takes: records or tensors."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    ready_s: float
    path: str = "/invocations"
    protocol: str = "records"

    def tree(self) -> list[psutil.Process]:
        """Its processes."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def cpu_s(self) -> float:
        """Of all of them, so far."""
        return sum(p.cpu_times().user + p.cpu_times().system for p in self.tree())

    def pss_mb(self) -> list[float]:
        """Memory of each of them, what is shared counted once; the largest first."""
        return sorted((p.memory_full_info().pss / 1e6 for p in self.tree()), reverse=True)


@dataclass(frozen=True)
class Load:
    """What one side did under one load; milliseconds."""

    per_s: float
    p50: float
    p99: float
    cpu_ms: float
    failed: int


def load(side: Side, folder: Path, body: bytes, connections: int, seconds: int) -> Load:
    """One load on one side."""
    url = f"http://127.0.0.1:{side.port}{side.path}"
    before = side.cpu_s()
    if wrk := shutil.which("wrk"):
        per_s, count, p50, p99, failed = _wrk(wrk, url, folder, body, connections, seconds)
    else:
        per_s, count, p50, p99, failed = asyncio.run(_asked(side, body, connections, seconds))
    return Load(per_s, p50, p99, (side.cpu_s() - before) / max(count, 1) * 1e3, failed)


def _wrk(wrk: str, url: str, folder: Path, body: bytes, connections: int, seconds: int) -> tuple[float, int, float, float, int]:
    (folder / "body.json").write_bytes(body)
    (folder / "post.lua").write_text(LUA.format(body=folder / "body.json"))
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "30s", "-s", str(folder / "post.lua"), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    quantiles = {name: _ms(value) for name, value in re.findall(r"^\s+(50|99)%\s+(\S+)", said, re.MULTILINE)}
    count = int(re.findall(r"(\d+) requests in", said)[0])
    wrong = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", said)))
    wrong += sum(sum(map(int, re.findall(r"\d+", line))) for line in re.findall(r"Socket errors: (.*)", said))
    return float(re.findall(r"Requests/sec:\s+(\S+)", said)[0]), count, quantiles["50"], quantiles["99"], wrong


def _ms(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def request(path: str, body: bytes) -> bytes:
    """A request as bytes."""
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and content of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    return int(head[9:12]), await reader.readexactly(int(re.findall(rb"(?i)content-length: (\d+)", head)[0]))


async def _asked(side: Side, body: bytes, connections: int, seconds: int) -> tuple[float, int, float, float, int]:
    end, took, failed = time.monotonic() + seconds, list[float](), [0]

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", side.port)
        while time.monotonic() < end:
            began = time.monotonic()
            writer.write(request(side.path, body))
            failed[0] += (await answer(reader))[0] != 200
            took.append((time.monotonic() - began) * 1e3)
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    low, high = np.percentile(took, [50, 99]).tolist()
    return len(took) / seconds, len(took), low, high, failed[0]
