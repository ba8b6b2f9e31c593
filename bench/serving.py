"""The prediction server beside five others, beside the least that any server does, and under 120 policies: the flights champion.

    make bench-serving-peers                    # the others, each in an environment of its own
    python -m bench.serving                     # 8 minutes; --json, --markdown
    python -m bench.serving --only overhead --seconds 1 --rounds 2

Three parts. *peers*: each round asks each server in turn; nothing is measured unless all say the same scores. Our server routes, with a
challenger of 10 % warm, and logs; the others do neither. *overhead*: the same app with decode, encode and predict only
(`bench.serving_plain`). *switches*: `bench.serving_switches`. CPU is that of a server's whole process tree, per request: it does not
depend on who else uses the machine. PSS is taken after the load. One worker each, one thread in XGBoost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import psutil

from bench.serving_load import Load, Side, load
from bench.serving_switches import under_load
from bench.serving_world import World, mlflow_model, world
from flows.serving_commands import told
from pillars import project_file
from pillars.stores import Stores
from tests.clone import CHECKOUT
from tests.conftest import free_port
from tests.waiting import wait_until

OURS, PLAIN, MLFLOW = "five pillars", "decode, encode, predict", "mlflow models serve"
PEERS = {MLFLOW: "mlflow", "MLServer": "mlserver", "BentoML": "bentoml", "LitServe": "litserve", "FastAPI with pydantic": "fastapi"}
SHAPES = ((1, 1), (16, 1), (4, 100))  # connections, rows of a request
PARTS = ("peers", "overhead", "switches")
Runs = Mapping[tuple[str, int, int], Sequence[Load]]


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--only", nargs="+", default=list(PARTS), choices=PARTS)
    asked.add_argument("--peers", nargs="*", default=list(PEERS.values()), choices=list(PEERS.values()))
    asked.add_argument("--seconds", type=int, default=3, help="of each load")
    asked.add_argument("--rounds", type=int, default=4)
    asked.add_argument("--trees", type=int, help="rounds of the prior recipe where this checkout has no champion")
    asked.add_argument("--changes", type=int, nargs=3, default=[50, 50, 20], metavar="N", help="switches, changed shares, broken releases")
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--markdown", action="store_true")
    options = asked.parse_args(arguments)
    with TemporaryDirectory() as folder:
        made = world(Path(folder), options.trees)
        found: dict[str, Any] = {"columns": len(made.bundle.encoder.feature_names), "boosters": len(made.bundle.boosters)}
        if "peers" in options.only:
            found |= peers(made, options)
        if "overhead" in options.only:
            found |= overhead(made, options)
        if "switches" in options.only:
            with ours(OURS, made) as side:
                found["switches"] = under_load(made, side, *options.changes).told()
    found["bars"] = bars(found)
    print(json.dumps(found, indent=1) if options.json else _written(found, markdown=options.markdown))


def peers(made: World, options: argparse.Namespace) -> dict[str, Any]:
    """Our server beside the others. What cannot be started is left out, with the reason."""
    mlflow_model(made)
    left: dict[str, str] = {}
    with ExitStack() as running:
        sides = [running.enter_context(ours(OURS, made))]
        for name, tool in PEERS.items():
            if tool not in options.peers:
                continue
            try:
                sides.append(running.enter_context(peer(name, made)))
            except (RuntimeError, OSError, AssertionError) as err:
                left[name] = str(err)[-1000:]
        sides.append(Side(f"{OURS}, tensors", sides[0].port, sides[0].process, sides[0].ready_s, "/v2/models/flights/infer", "tensors"))
        left |= _agreeing(sides, made)
        sides = [side for side in sides if side.name not in left]
        runs = _rounds(sides, made, options.rounds, options.seconds)
        memory = {side.name: side.pss_mb() for side in sides}
    table = _table(runs)
    for side in sides:
        table[side.name] |= {"ready_s": round(side.ready_s, 2), "pss_mb": [round(one) for one in memory[side.name]]}
    return {"peers": table, "left_out": left}


def overhead(made: World, options: argparse.Namespace) -> dict[str, Any]:
    """Our server beside the least, in pairs: ratios of each pair of loads, and their median."""
    made.policy(1, made.champion, made.challenger, 1_000)
    with ours(OURS, made) as one, plain(PLAIN, made) as other:
        if odd := _agreeing([one, other], made):
            raise RuntimeError(str(odd))
        runs = _rounds([one, other], made, options.rounds + 1, options.seconds)
    found = _table(runs)
    for connections, count in SHAPES:
        pairs = list(zip(runs[OURS, connections, count], runs[PLAIN, connections, count], strict=True))
        found[OURS][_shape(connections, count)] |= {
            "cpu_times": round(median(a.cpu_ms / b.cpu_ms for a, b in pairs), 2),
            "wall_times": round(median(b.per_s / a.per_s for a, b in pairs), 2),
        }
    return {"overhead": found}


def bars(found: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, what was found, and whether it holds."""
    said: dict[str, Any] = {}
    table = found.get("peers", {})
    if MLFLOW in table:
        mine, theirs = table[OURS], table[MLFLOW]
        one, many = _shape(16, 1), _shape(4, 100)
        said["rows a second of mlflow's, c16 (25)"] = _bar(mine[one]["per_s"] / theirs[one]["per_s"], 25)
        said["mlflow's p50 of ours, c16 (25)"] = _bar(theirs[one]["p50_ms"] / mine[one]["p50_ms"], 25)
        said["100-row bodies, of mlflow's (5)"] = _bar(mine[many]["per_s"] / theirs[many]["per_s"], 5)
    for name in [name for name in PEERS if name in table and name != MLFLOW]:
        mine = table[f"{OURS}, tensors" if name == "MLServer" else OURS]
        said[f"as fast as {name} (1)"] = _bar(min(mine[_shape(*s)]["per_s"] / table[name][_shape(*s)]["per_s"] for s in SHAPES), 1)
    if table:
        said["PSS of a process, MB (300)"] = _bar(table[OURS]["pss_mb"][0], 300, most=True)
        said["ready, s (3)"] = _bar(table[OURS]["ready_s"], 3, most=True)
    if "overhead" in found:
        for shape in SHAPES:
            times = found["overhead"][OURS][_shape(*shape)]["cpu_times"]
            said[f"CPU of the least that a server does, {_shape(*shape)} (1.5)"] = _bar(times, 1.5, most=True)
    if "switches" in found:
        said["failed requests under changes of policy (0)"] = _bar(found["switches"]["failed"], 0, most=True)
    return said


@contextmanager
def ours(name: str, made: World) -> Iterator[Side]:
    """`pillars.deployment.server`, with its log, told of the project as `pillars serve` tells it."""
    port = free_port()
    with _started(name, [sys.executable, "-m", "pillars.deployment.server", str(_settings(made, port))], port, made, {}) as side:
        yield side


@contextmanager
def plain(name: str, made: World) -> Iterator[Side]:
    """`bench.serving_plain`."""
    port = free_port()
    with _started(name, [sys.executable, "-m", "bench.serving_plain", str(_settings(made, port))], port, made, {}) as side:
        yield side


@contextmanager
def peer(name: str, made: World) -> Iterator[Side]:
    """One of the others, in its environment.

    Raises:
        RuntimeError: there is none, or it ended.
    """
    tool, port = PEERS[name], free_port()
    binaries = CHECKOUT / f".venv-serving-{tool}" / "bin"
    if not (binaries / "python").exists():
        raise RuntimeError("not installed: make bench-serving-peers")
    environ = {"PILLARS_BENCH_BUNDLE": str(made.bundle.path), "PYTHONPATH": str(CHECKOUT), "VIRTUAL_ENV": str(binaries.parent)}
    environ |= {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": str(made.var)}
    ping, path, protocol = "/ping", "/invocations", "records"
    match tool:
        case "mlflow":
            command = ["mlflow", "models", "serve", "-m", str(made.var / "model"), "-p", str(port), "--env-manager", "local"]
        case "fastapi":
            command = ["uvicorn", "bench.serving_fastapi:create", "--factory", "--port", str(port), "--log-level", "warning"]
            command += ["--no-access-log"]
        case "litserve":
            command, ping = ["python", "-m", "bench.serving_litserve", str(port)], "/health"
        case "bentoml":
            command, ping = ["bentoml", "serve", "bench.serving_bentoml:Flights", "--port", str(port)], "/readyz"
        case _:
            command, ping = ["mlserver", "start", str(_mlserver(made, port))], "/v2/models/flights/ready"
            path, protocol = "/v2/models/flights/infer", "tensors"
    with _started(name, [str(binaries / command[0]), *command[1:]], port, made, environ, ping) as side:
        yield Side(name, port, side.process, side.ready_s, path, protocol)


def _mlserver(made: World, port: int) -> Path:
    """Its folder of settings: one process, no second port in use, no access log."""
    folder = made.var / "mlserver"
    folder.mkdir()
    settings = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "host": "127.0.0.1", "parallel_workers": 0}
    settings |= {"debug": False, "logging_settings": None}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps({"name": "flights", "implementation": "bench.serving_mlserver.Flights"}))
    return folder


def _settings(made: World, port: int) -> Path:
    stores = Stores(root=CHECKOUT)
    project = project_file.load(stores.config_file("flights"))
    settings = msgspec.structs.replace(told(stores, project, "127.0.0.1", port, 1), var=str(made.var))
    file = made.var / f"settings-{port}.json"
    file.write_bytes(msgspec.json.encode(settings))
    return file


@contextmanager
def _started(name: str, command: list[str], port: int, made: World, environ: dict[str, str], ping: str = "/ping") -> Iterator[Side]:
    began, file = time.monotonic(), made.var / f"{port}.log"
    with file.open("wb") as log:
        threads = {"OMP_NUM_THREADS": "1"}  # alike for all: one worker, one thread
        process = subprocess.Popen(command, cwd=CHECKOUT, env=os.environ | threads | environ, stdout=log, stderr=log)
    try:
        wait_until(lambda: _pings(port, ping) or _ended(process, file), 180, 0.02, name)
        ready_s = time.monotonic() - began
        print(f"{name} is ready after {ready_s:.1f} s", file=sys.stderr, flush=True)
        yield Side(name, port, process, ready_s)
    finally:
        tree = [*psutil.Process(process.pid).children(recursive=True), process] if process.poll() is None else []
        for one in tree:
            one.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _pings(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _ended(process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(log.read_text(errors="replace")[-2000:])
    return False


def _body(side: Side, made: World, count: int) -> bytes:
    rows = made.rows[:count]
    if side.protocol == "records":
        return json.dumps({"dataframe_records": rows}).encode()
    kinds = dict.fromkeys(made.bundle.encoder.numeric, "FP64") | dict.fromkeys(made.bundle.encoder.categorical, "BYTES")
    inputs = [{"name": n, "shape": [len(rows)], "datatype": kind, "data": [row[n] for row in rows]} for n, kind in kinds.items()]
    return json.dumps({"inputs": inputs}).encode()


def _agreeing(sides: Sequence[Side], made: World) -> dict[str, str]:
    """Why sides cannot be measured: they do not answer, or not with the scores of the first, to the bit."""
    said: dict[str, list[float]] = {}
    odd: dict[str, str] = {}
    for side in sides:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{side.port}{side.path}", _body(side, made, 50), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                content = json.loads(answer.read())
            outputs = content["predictions"] if "predictions" in content else content["outputs"][0]["data"]
            said[side.name] = [one["score"] if isinstance(one, dict) else one for one in outputs]
            if side is not sides[0] and said[side.name] != said[sides[0].name]:
                odd[side.name] = f"it says {said[side.name][:3]}, not {said[sides[0].name][:3]}"
        except urllib.error.HTTPError as err:
            odd[side.name] = f"{err.code} {err.read()[:500]!r}"
        except (OSError, ValueError, KeyError, TypeError) as err:
            odd[side.name] = repr(err)[:500]
    return odd


def _rounds(sides: Sequence[Side], made: World, rounds: int, seconds: int) -> dict[tuple[str, int, int], list[Load]]:
    found: dict[tuple[str, int, int], list[Load]] = {}
    for number in range(rounds):
        for connections, count in SHAPES:
            for side in sides if number % 2 == 0 else sides[::-1]:
                body = _body(side, made, count)
                found.setdefault((side.name, connections, count), []).append(load(side, made.var, body, connections, seconds))
    return found


def _shape(connections: int, count: int) -> str:
    return f"c{connections}, {count} row{'s' if count > 1 else ''}"


def _table(runs: Runs) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for (name, connections, count), loads in runs.items():
        middle = {what: median(getattr(one, what) for one in loads) for what in ("per_s", "p50", "p99", "cpu_ms")}
        found.setdefault(name, {})[_shape(connections, count)] = {
            "per_s": round(middle["per_s"], 1),
            "p50_ms": round(middle["p50"], 3),
            "p99_ms": round(middle["p99"], 2),
            "cpu_us": round(middle["cpu_ms"] * 1e3, 1),
            "failed": sum(one.failed for one in loads),
        }
    return found


def _bar(measured: float, wanted: float, *, most: bool = False) -> dict[str, Any]:
    return {"measured": round(measured, 2), "holds": measured <= wanted if most else measured >= wanted}


def _written(found: Mapping[str, Any], *, markdown: bool) -> str:
    parts = []
    for part in ("peers", "overhead"):
        if part in found:
            parts.append(_lined(_rows(found[part]), markdown=markdown))
    if found.get("left_out"):
        parts.append("\n".join(f"left out: {name}: {why}" for name, why in found["left_out"].items()))
    if "switches" in found:
        parts.append(" ".join(f"{name}={value}" for name, value in found["switches"].items()))
    held = [[name, str(bar["measured"]), "holds" if bar["holds"] else "MISSED"] for name, bar in found["bars"].items()]
    return "\n\n".join([*parts, _lined([["bar", "measured", ""], *held], markdown=markdown)])


def _rows(table: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    rows = [["side", "load", "per s", "p50 ms", "p99 ms", "CPU µs", "failed", "CPU, of the first", "ready s", "PSS MB"]]
    first = next(iter(table.values()))
    for name, sides in table.items():
        for connections, count in SHAPES:
            one, its = sides[_shape(connections, count)], first[_shape(connections, count)]
            times = f"{one['cpu_us'] / its['cpu_us']:.1f}"
            last = [f"{sides['ready_s']:.1f}", "+".join(map(str, sides["pss_mb"]))] if "ready_s" in sides and connections == 1 else ["", ""]
            cells = [f"{one['per_s']:.0f}", f"{one['p50_ms']:.2f}", f"{one['p99_ms']:.1f}", f"{one['cpu_us']:.0f}", str(one["failed"])]
            rows.append([name if connections == 1 else "", _shape(connections, count), *cells, times, *last])
    return rows


def _lined(rows: Sequence[Sequence[str]], *, markdown: bool) -> str:
    if markdown:
        return "\n".join(f"| {' | '.join(row)} |" + ("\n|" + "---|" * len(row) if row is rows[0] else "") for row in rows)
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


if __name__ == "__main__":
    main(sys.argv[1:])
