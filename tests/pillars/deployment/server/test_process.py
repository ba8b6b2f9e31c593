"""The server as a process: killed, starved, flooded, switched under load."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pillars.deployment.server.settings import Limits
from tests.clone import CHECKOUT
from tests.pillars.deployment.server.world import ROW, Served, logged, served, write_policy, write_release
from tests.waiting import wait_until

BODY = {"dataframe_records": [ROW]}
HEAVY = ("pandas", "pyarrow", "mlflow", "prefect", "sklearn", "pydantic", "great_expectations", "dvc", "evidently", "optuna")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One worker with short patience."""
    var = tmp_path_factory.mktemp("process")
    write_policy(var, 1, write_release(var, 1))
    limits = Limits(header_s=1.0, body_s=1.0, body_bytes=100_000, header_bytes=4_000)
    with served(var, {"PILLARS_SERVE_TOKENS": "one two"}, limits=limits) as server:
        yield server


def said(server: Served, content: bytes, patience_s: float = 10.0) -> bytes:
    """All that comes back for raw bytes until the server closes."""
    with socket.create_connection(("127.0.0.1", server.settings.port), timeout=patience_s) as line:
        line.sendall(content)
        found = b""
        while part := line.recv(65536):
            found += part
        return found


def test_it_says_once_where_it_answers(shared: Served) -> None:
    line = wait_until(lambda: shared.log.read_text().strip(), 20, 0.1, "its line")
    assert json.loads(line) == {
        "project": "small",
        "url": f"http://127.0.0.1:{shared.settings.port}",
        "pid": shared.process.pid,
        "workers": 1,
    }


@pytest.mark.parametrize("token", ["one", "two"])
def test_each_token_lets_in(shared: Served, token: str) -> None:
    assert shared.ask("POST", "/invocations", BODY, {"Authorization": f"Bearer {token}"})[0] == 200
    assert shared.ask("POST", "/invocations", BODY, {"Authorization": "Bearer three"})[0] == 401


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"POST /invoc", b"408", id="half a line"),
        pytest.param(b"GET /live HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"408", id="half a head"),
        pytest.param(b"GET /live HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(2000)), b"431", id="endless lines"),
        pytest.param(b"GET /live HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 6_000 + b"\r\n\r\n", b"431", id="a long line"),
        pytest.param(b"GET /" + b"y" * 100_000, b"431", id="an endless path"),
        pytest.param(b"\x16\x03\x01\x02\x00", b"400", id="no HTTP"),
    ],
)
def test_a_head_that_does_not_end_is_cut_off(shared: Served, sent: bytes, status: bytes) -> None:
    began = time.monotonic()
    assert said(shared, sent).startswith(b"HTTP/1.1 " + status)
    assert time.monotonic() - began < 5


def test_a_connection_that_says_nothing_is_closed(shared: Served) -> None:
    assert said(shared, b"") == b""


def test_a_slow_body_is_cut_off(shared: Served) -> None:
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Api-Key: one\r\nContent-Length: 500\r\n\r\n{"
    assert said(shared, head).startswith(b"HTTP/1.1 408")


def test_a_head_a_byte_at_a_time_is_cut_off(shared: Served) -> None:
    with socket.create_connection(("127.0.0.1", shared.settings.port), timeout=10) as line:
        line.settimeout(0.05)  # a byte each 50 ms
        for byte in b"GET /live HTTP/1.1\r\nX-Slow: " + b"y" * 200:
            line.sendall(bytes([byte]))
            try:
                assert line.recv(65536).startswith(b"HTTP/1.1 408")
                return
            except TimeoutError:
                continue
    raise AssertionError("ten seconds, and still listened to")


def test_a_kept_connection_is_answered_again_and_again(shared: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shared.settings.port, timeout=10)
    connection.connect()
    line = connection.sock
    for _ in range(3):
        connection.request("GET", "/live")
        assert connection.getresponse().read() == b'{"live":true}'
        assert connection.sock is line
        threading.Event().wait(0.7)  # longer in all than a head may take
    connection.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_five_megabytes_are_refused_and_the_client_can_read_it(shared: Served, chunked: bool) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shared.settings.port, timeout=30)
    body = b" " * 700_000
    headers = {"Content-Type": "application/json", "X-Api-Key": "one"}
    connection.request("POST", "/invocations", iter([body]) if chunked else body, headers, encode_chunked=chunked)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["error_code"]) == (413, "TOO_LARGE")
    connection.close()


def test_no_heavy_package_is_in_the_process(shared: Served) -> None:
    """Its memory maps name every library that was loaded."""
    maps = Path(f"/proc/{shared.process.pid}/maps").read_text()
    assert "xgboost" in maps
    assert not [name for name in (*HEAVY, "libarrow") if f"/{name}" in maps]


def test_no_heavy_module_is_imported() -> None:
    code = (
        "import sys; from pillars.deployment.server import lean; lean.keep_out(); import pillars.deployment.server.app, uvicorn, xgboost, "
        "pillars.deployment.server.guard, pillars.deployment.server.metrics\n"
        f"print([n for n in {HEAVY!r} if sys.modules.get(n)])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Load:
    """Clients that ask without a pause; `acknowledged` are the ids of what was answered, `failed` what was not."""

    def __init__(self, server: Served, clients: int = 4) -> None:
        self.server, self.acknowledged, self.failed, self.versions = server, list[str](), list[str](), list[tuple[float, str]]()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,), daemon=True) for n in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, client: int) -> None:
        while not self._stop.is_set():
            try:
                status, content = self.server.ask("POST", "/invocations", {"dataframe_records": [ROW] * (1 + client)})
                if status == 200:
                    self.acknowledged += [f"{content['request_id']}-{row}" for row in range(1 + client)]
                    self.versions.append((time.monotonic(), content["model_version"]))
                else:
                    self.failed.append(f"{status} {content}")
            except (OSError, ValueError, http.client.HTTPException) as err:
                self.failed.append(repr(err))


@pytest.mark.parametrize("round_", range(3))
def test_no_acknowledged_line_is_lost_when_the_server_is_killed(var: Path, round_: int) -> None:
    write_policy(var, 1, write_release(var, 1))
    with served(var, segment_bytes=20_000) as server, Load(server) as load:
        wait_until(lambda: len(load.acknowledged) > 100 + 77 * round_, 60, 0.01, "answers")
        server.process.kill()
        server.process.wait(30)
    ids = [row["id"] for row in logged(var)]
    assert set(load.acknowledged) <= set(ids)
    assert len(ids) == len(set(ids))


def test_switches_under_load_drop_nothing_and_broken_ones_change_nothing(var: Path) -> None:
    one, two, broken = write_release(var, 1), write_release(var, 2, seed=2), write_release(var, 3, seed=3)
    (var / broken.path / "booster-0.ubj").write_bytes(b"nothing")
    write_policy(var, 1, one)
    with served(var) as server, Load(server) as load:
        for generation in range(2, 12):
            release = (two, broken, one)[generation % 3]
            write_policy(var, generation, release)
            wait_until(lambda r=release, g=generation: said_of(server, r is broken) == g, 20, 0.01, "the policy")  # type: ignore[misc]
            seen = len(load.acknowledged)
            wait_until(lambda seen=seen: len(load.acknowledged) > seen + 30, 60, 0.01, "answers")  # type: ignore[misc]
    assert load.failed == []
    assert {version for _, version in load.versions} == {"1", "2"}


def said_of(server: Served, broken: bool) -> int:
    """The generation that answers; for a broken one, the one that it would have been, once it is refused."""
    told = server.ask("GET", "/version")[1]
    generation: int = told["generation"]
    return generation + 1 if broken and "v3" in told["refused"] else generation


def test_two_workers_agree_within_a_second_and_a_killed_one_comes_back(var: Path) -> None:
    write_policy(var, 1, write_release(var, 1))
    two = write_release(var, 2, seed=2)
    with served(var, workers=2, poll_s=0.2) as server:

        def workers() -> dict[int, int | None]:
            told = [server.ask("GET", "/version")[1] for _ in range(20)]
            return {one["worker"]: one["generation"] for one in told}

        wait_until(lambda: len(found := workers()) == 2 and set(found.values()) == {1}, 60, 0.1, "both workers")
        with Load(server, 2) as load:
            wait_until(lambda: len(load.versions) > 50, 60, 0.01, "answers")
            write_policy(var, 2, two)
            switched = time.monotonic()
            wait_until(lambda: any(v == "2" for _, v in load.versions), 30, 0.01, "the new version")
            seen = len(load.versions)
            wait_until(lambda: len(load.versions) > seen + 100, 60, 0.01, "answers")
        assert load.failed == []
        late = max((at for at, version in load.versions if version == "1"), default=switched)
        assert late - switched < 1.0
        assert b"pillars_workers_ready" in server.ask("GET", "/metrics")[1]
        victim = next(iter(workers()))
        os.kill(victim, signal.SIGKILL)
        wait_until(
            lambda: len(found := workers_or_none(workers)) == 2 and victim not in found and set(found.values()) == {2}, 90, 0.3, "another"
        )
        text = server.ask("GET", "/metrics")[1].decode()
        assert "pillars_workers_ready 2.0" in text  # the dead one does not count
        assert "pillars_policy_generation 2.0" in text
        left = psutil.Process(server.process.pid).children(recursive=True)
        server.process.kill()  # nobody is there any more to stop the workers
        wait_until(lambda: not [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE], 30, 0.1, "their end")
    ids = {row["id"] for row in logged(var)}
    assert set(load.acknowledged) <= ids


def workers_or_none(workers: object) -> dict[int, int | None]:
    try:
        return workers()  # type: ignore[operator]
    except (OSError, http.client.HTTPException):  # the connection was the victim's
        return {}


@pytest.mark.slow
def test_requests_made_from_the_document_find_nothing_undocumented(var: Path) -> None:
    """Schemathesis: each status is documented, each answer fits its schema, nothing ends in a 500, what is invalid is refused."""
    write_policy(var, 1, write_release(var, 1))
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", "--max-examples", "40", "--seed", "1", "--no-color"]
    # a schema cannot say that rows are as long as the list of columns; that valid rows are taken is in test_answers.py
    command += ["--checks", "all", "--exclude-checks", "positive_data_acceptance"]
    with served(var) as server:
        done = subprocess.run([*command, f"http://127.0.0.1:{server.settings.port}/openapi.json"], cwd=var, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-5000:]
        assert server.is_ready()


def test_it_ends_when_asked_and_answers_what_is_under_way(var: Path) -> None:
    write_policy(var, 1, write_release(var, 1))
    with served(var) as server, Load(server) as load:
        wait_until(lambda: len(load.acknowledged) > 50, 60, 0.01, "answers")
        children = psutil.Process(server.process.pid).children(recursive=True)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
    assert not [one for one in load.failed if one[0].isdigit()]  # refused connections only, no 5xx
    assert set(load.acknowledged) <= {row["id"] for row in logged(var)}
    assert not [child for child in children if child.is_running()]


def test_it_waits_for_the_first_deployment(var: Path) -> None:
    (var / "releases" / "small").mkdir(parents=True)
    with served(var, ready=False) as server:
        assert server.ask("GET", "/ready")[0] == 503
        write_policy(var, 1, write_release(var, 1))
        wait_until(server.is_ready, 20, 0.05, "the first release")
