"""The prediction server beside `mlflow models serve` of the same model, FastAPI with pydantic, and an app that only decodes.

    python -m bench.serving                     # rounds of all sides, one after the other
    python -m bench.serving --seconds 1 --rounds 1 --trees 50

A model of real flights, saved as a release and as the MLflow model that the registry would hold. Each round asks each side in turn,
with `wrk` where it is installed, else with a client of ours (which is slower than the servers it measures: see its CPU figures instead).
CPU is that of the server's whole process tree, per request. PSS is taken after the load. Answers of all sides are compared first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import psutil
import pyarrow.compute as pc

from pillars import project_file
from pillars.bundle.bundle import Bundle, write_bundle
from pillars.bundle.encoder import Encoder
from pillars.deployment.server.settings import Settings
from pillars.development import features
from pillars.stores import Stores, write_atomically
from tests.clone import CHECKOUT
from tests.conftest import free_port
from tests.waiting import wait_until

PERIOD = "2013-01"
SIDES = ("five pillars", "mlflow", "fastapi + pydantic", "decode only")
SHAPES = ((1, 1), (16, 1), (4, 100))  # connections, rows of a request
LUA = """wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
"""


@dataclass(frozen=True)
class Side:
    """A server that runs."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    ready_s: float

    def tree(self) -> list[psutil.Process]:
        """Its processes."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def cpu_s(self) -> float:
        """Of all of them, so far."""
        return sum(p.cpu_times().user + p.cpu_times().system for p in self.tree())

    def pss_mb(self) -> float:
        """Memory, what is shared counted once."""
        return sum(p.memory_full_info().pss for p in self.tree()) / 1e6


@dataclass(frozen=True)
class Load:
    """What one side did under one load; milliseconds."""

    per_s: float
    p50: float
    p99: float
    cpu_ms: float
    failed: int


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seconds", type=int, default=5, help="of each load")
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--trees", type=int, default=300)
    asked.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    options = asked.parse_args(arguments)
    with TemporaryDirectory() as folder, ExitStack() as running:
        var = Path(folder)
        bundle, rows = model(var, options.trees)
        mlflow_model(var, bundle)
        sides = [running.enter_context(STARTS[name](name, var, bundle.path)) for name in options.sides]
        _agree(sides, rows[:50])
        found: dict[tuple[str, int, int], list[Load]] = {}
        for _ in range(options.rounds):
            for connections, count in SHAPES:
                for side in sides:
                    body = json.dumps({"dataframe_records": rows[:count]}).encode()
                    found.setdefault((side.name, connections, count), []).append(load(side, var, body, connections, options.seconds))
        _print(sides, found)


def model(var: Path, trees: int) -> tuple[Bundle, list[dict[str, Any]]]:
    """A release of flights under `var`, with its policy, and rows as a client would send them."""
    import xgboost

    from projects import flights

    project = project_file.load(Stores(root=CHECKOUT).config_file("flights"))
    source = flights.source()
    kept, y, _ = features.labelled(project, source.rows(PERIOD), source.outcomes(PERIOD))
    columns = features.design(project, kept)
    encoder = Encoder.fit(columns, project.features.numeric, project.features.categorical, project.features.min_category_rows)
    settings = {"max_depth": 6, "eta": 0.1, "objective": "binary:logistic", "nthread": 2, "max_bin": 128}
    booster = xgboost.train(settings, xgboost.DMatrix(encoder.encode(columns), y), num_boost_round=trees)
    inputs = [{"name": n, "type": "double"} for n in encoder.numeric] + [{"name": n, "type": "string"} for n in encoder.categorical]
    schema = {"inputs": inputs, "outputs": [], "key": [], "target": "late"}
    golden = {name: values[:20] for name, values in columns.items()}
    path = "releases/flights/v1-bench"
    raw = bytes(booster.save_raw("ubj"))
    sha256 = write_bundle(var / path, "flights", [raw], encoder, {"kind": "none"}, {"threshold": 0.3}, schema, golden, {})
    release = {"project": "flights", "version": 1, "sha256": sha256, "path": path, "digest": ""}
    policy = {"format": 1, "project": "flights", "generation": 1, "champion": release, "previous": []}
    write_atomically(var / "releases/flights/policy.json", json.dumps(policy).encode())
    some = kept.slice(0, 100).select([*encoder.numeric, *encoder.categorical])
    plain = some.set_column(0, some.column_names[0], pc.cast(some.column(0), "float64")).to_pylist()
    numbers = set(encoder.numeric)
    return Bundle.load(var / path), [{n: float(v) if n in numbers and v is not None else v for n, v in row.items()} for row in plain]


def mlflow_model(var: Path, bundle: Bundle) -> None:
    """The same bundle as the registry would hold it."""
    from pillars.monitoring.packaging import save_model
    from pillars.tracking import quiet_mlflow

    quiet_mlflow()
    about: Any = SimpleNamespace(artifact_location=str(var), model_id="m-bench", source_run_id="bench")
    save_model(var, bundle.path, bundle, about)


@contextmanager
def ours(name: str, var: Path, bundle: Path) -> Iterator[Side]:
    """`pillars.deployment.server`, with its log, as `pillars serve` starts it."""
    port = free_port()
    file = var / "settings.json"
    file.write_bytes(msgspec.json.encode(Settings(project="flights", var=str(var), port=port, version="bench")))
    with _started(name, [sys.executable, "-m", "pillars.deployment.server", str(file)], port, var, {}) as side:
        yield side


@contextmanager
def mlflow_serve(name: str, var: Path, bundle: Path) -> Iterator[Side]:
    """`mlflow models serve`, as its documentation has it."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("mlflow")), "models", "serve", "-m", str(var / "model"), "-p", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with _started(name, [*command, "--env-manager", "local"], port, var, {"PATH": path}) as side:
        yield side


@contextmanager
def of_uvicorn(name: str, var: Path, bundle: Path) -> Iterator[Side]:
    """One of `bench.serving_sides`."""
    port = free_port()
    app = {"fastapi + pydantic": "fastapi", "decode only": "bare"}[name]
    command = [sys.executable, "-m", "uvicorn", f"bench.serving_sides:{app}", "--factory", "--port", str(port), "--log-level", "warning"]
    with _started(name, [*command, "--no-access-log"], port, var, {"PILLARS_BENCH_BUNDLE": str(bundle)}) as side:
        yield side


STARTS = {"five pillars": ours, "mlflow": mlflow_serve, "fastapi + pydantic": of_uvicorn, "decode only": of_uvicorn}


@contextmanager
def _started(name: str, command: list[str], port: int, var: Path, environ: dict[str, str]) -> Iterator[Side]:
    began = time.monotonic()
    with (var / f"{port}.log").open("wb") as log:
        threads = {"OMP_NUM_THREADS": "1"}  # alike for all: one worker, one thread
        process = subprocess.Popen(command, cwd=CHECKOUT, env=os.environ | threads | environ, stdout=log, stderr=log)
    try:
        wait_until(lambda: _pings(port) or _ended(process, var / f"{port}.log"), 300, 0.02, name)
        yield Side(name, port, process, time.monotonic() - began)
    finally:
        for one in [*psutil.Process(process.pid).children(recursive=True), process] if process.poll() is None else []:
            one.terminate()
        process.wait(60)


def _pings(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _ended(process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(log.read_text(errors="replace")[-2000:])
    return False


def _agree(sides: Sequence[Side], rows: list[dict[str, Any]]) -> None:
    """Nothing is measured unless all that predict say the same."""
    said = {}
    for side in sides:
        if side.name != "decode only":
            request = urllib.request.Request(
                f"http://127.0.0.1:{side.port}/invocations",
                json.dumps({"dataframe_records": rows}).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                said[side.name] = [one["score"] for one in json.loads(answer.read())["predictions"]]
    if len({tuple(scores) for scores in said.values()}) > 1:
        raise RuntimeError(f"the sides do not agree: {[scores[:3] for scores in said.values()]}")


def load(side: Side, var: Path, body: bytes, connections: int, seconds: int) -> Load:
    """One load on one side."""
    url = f"http://127.0.0.1:{side.port}/invocations"
    before = side.cpu_s()
    if wrk := shutil.which("wrk"):
        per_s, count, p50, p99, failed = _wrk(wrk, url, var, body, connections, seconds)
    else:
        per_s, count, p50, p99, failed = asyncio.run(_asked(side.port, body, connections, seconds))
    return Load(per_s, p50, p99, (side.cpu_s() - before) / max(count, 1) * 1e3, failed)


def _wrk(wrk: str, url: str, var: Path, body: bytes, connections: int, seconds: int) -> tuple[float, int, float, float, int]:
    (var / "body.json").write_bytes(body)
    (var / "post.lua").write_text(LUA.format(body=var / "body.json"))
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "30s", "-s", str(var / "post.lua"), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    quantiles = {name: _ms(value) for name, value in re.findall(r"^\s+(50|99)%\s+(\S+)", said, re.MULTILINE)}
    count = int(re.findall(r"(\d+) requests in", said)[0])
    wrong = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", said)))
    wrong += sum(sum(map(int, re.findall(r"\d+", line))) for line in re.findall(r"Socket errors: (.*)", said))
    return float(re.findall(r"Requests/sec:\s+(\S+)", said)[0]), count, quantiles["50"], quantiles["99"], wrong


def _ms(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


async def _asked(port: int, body: bytes, connections: int, seconds: int) -> tuple[float, int, float, float, int]:
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    end, took, failed = time.monotonic() + seconds, list[float](), [0]

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            began = time.monotonic()
            writer.write(head + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.findall(rb"(?i)content-length: (\d+)", answer)[0]))
            failed[0] += not answer.startswith(b"HTTP/1.1 200")
            took.append((time.monotonic() - began) * 1e3)
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    low, high = np.percentile(took, [50, 99]).tolist()
    return len(took) / seconds, len(took), low, high, failed[0]


def _print(sides: Sequence[Side], found: dict[tuple[str, int, int], list[Load]]) -> None:
    print(f"{'side':<20}{'load':>14}{'per s':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>9}{'failed':>8}{'of mlflow':>11}{'its CPU':>9}")
    for connections, count in SHAPES:
        base = found.get(("mlflow", connections, count))
        for side in sides:
            loads = found[side.name, connections, count]
            middle = {name: median(getattr(one, name) for one in loads) for name in ("per_s", "p50", "p99", "cpu_ms")}
            times = middle["per_s"] / median(one.per_s for one in base) if base else float("nan")
            cpu = median(one.cpu_ms for one in base) / middle["cpu_ms"] if base else float("nan")
            print(
                f"{side.name:<20}{f'c{connections}, {count} rows':>14}{middle['per_s']:>10.0f}{middle['p50']:>9.2f}{middle['p99']:>9.2f}"
                f"{middle['cpu_ms']:>9.3f}{sum(one.failed for one in loads):>8}{times:>10.1f}x{cpu:>8.1f}x"
            )
    print(f"\n{'side':<20}{'ready s':>10}{'PSS MB':>10}{'processes':>11}")
    for side in sides:
        print(f"{side.name:<20}{side.ready_s:>10.1f}{side.pss_mb():>10.0f}{len(side.tree()):>11}")


if __name__ == "__main__":
    main(sys.argv[1:])
