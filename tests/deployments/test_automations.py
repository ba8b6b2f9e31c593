from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from uuid import UUID

import pytest
from pydantic import SecretStr

from deployments import apply, automations
from deployments.left import crash_left_runs
from deployments.settings import POOL, Serving
from tests.waiting import wait_until

pytestmark = pytest.mark.flow


@pytest.fixture
def received() -> Iterator[tuple[str, list[str]]]:
    """Address of a webhook and what it was sent."""
    bodies: list[str] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Hook)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", bodies
    server.shutdown()
    server.server_close()


@pytest.fixture
def none_left(prefect_server: str) -> Iterator[None]:
    """The session's server has none of our automations before and after."""
    yield
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for automation in client.read_automations():
            client.delete_automation(automation.id)


def names() -> list[str]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return sorted(automation.name for automation in client.read_automations())


def deployed_run(limit: int | None = None) -> tuple[UUID, UUID]:
    """Ids of a deployment without a worker and of a new run of it."""
    from prefect import flow
    from prefect.client.orchestration import get_client

    @flow
    def nobody_runs_this() -> None: ...

    apply.create_pool()
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(nobody_runs_this)
        deployment = client.create_deployment(flow_id, name=f"nobody-{limit}", work_pool_name=POOL, concurrency_limit=limit)
        return deployment, client.create_flow_run_from_deployment(deployment).id


def state_of(run: UUID) -> str:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run).state
    return state.name or "" if state else ""


def start(run: UUID) -> str:
    """Take a run as a worker does and begin it; returns its state afterwards."""
    from prefect.client.orchestration import get_client
    from prefect.states import Pending, Running

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run, Pending())
        if state_of(run) == "Pending":
            client.set_flow_run_state(run, Running())
    return state_of(run)


def test_applied_as_often_as_one_likes_and_leaving_others_alone(none_left: None) -> None:
    from prefect.client.orchestration import get_client

    other = automations.zombie("theirs", timedelta(hours=1)).model_copy(update={"name": "theirs"})
    with get_client(sync_client=True) as client:
        client.create_automation(other)
    ours = automations.apply(Serving(alert_webhook=None))
    assert automations.apply(Serving(alert_webhook=None)) == ours
    assert names() == sorted([*ours, "theirs"])


def test_the_alert_exists_only_with_an_address_and_does_not_show_it(none_left: None) -> None:
    from prefect.client.orchestration import get_client

    with_alert = automations.apply(Serving(alert_webhook=SecretStr("http://127.0.0.1:9/secret-path")))
    assert len(with_alert) == 3
    with get_client(sync_client=True) as client:
        assert "secret-path" not in "".join(a.model_dump_json() for a in client.read_automations())
    assert len(automations.apply(Serving(alert_webhook=None))) == 2


def test_a_silent_run_of_a_deployment_is_crashed_and_told(none_left: None, received: tuple[str, list[str]]) -> None:
    address, bodies = received
    automations.apply(Serving(alert_webhook=SecretStr(address)), silence=timedelta(seconds=10))
    _, run = deployed_run()
    assert start(run) == "Running"
    wait_until(lambda: state_of(run) == "Crashed", deadline_s=120, every_s=1, what="the end of a run that nobody runs")
    wait_until(lambda: bodies, deadline_s=60, what="the alert")
    assert '"flow": "nobody-runs-this"' in bodies[0]
    assert '"state": "Crashed"' in bodies[0]


def test_a_run_that_a_killed_stack_left_frees_its_slot(prefect_server: str) -> None:
    deployment, dead = deployed_run(limit=1)
    assert start(dead) == "Running"
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        waiting = client.create_flow_run_from_deployment(deployment).id
        assert start(waiting) == "AwaitingConcurrencySlot"
        assert crash_left_runs() >= 1
        assert state_of(dead) == "Crashed"
        newest = client.create_flow_run_from_deployment(deployment).id
    assert start(newest) == "Running"
    assert crash_left_runs() == 1
    assert crash_left_runs() == 0
