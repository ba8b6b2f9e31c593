from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deployments import apply, render
from deployments.settings import POOL, Serving
from pillars.errors import ConfigInvalid, StoreUnavailable
from pillars.stores import Stores

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECT = """\
project: {name}
target: late
source: {{python: projects.flights}}
columns:
  id: {{type: int, role: [key]}}
  at: {{type: timestamp, role: [time]}}
  speed: {{type: float, role: [feature]}}
  late: {{type: bool, role: [outcome]}}
features: {{numeric: [speed]}}
schedule: {{cron: "{cron}", timezone: Europe/Berlin, active: {active}}}
"""


def deployments_of(folder: Path, **projects: str) -> dict[str, dict[str, object]]:
    for name, cron in projects.items():
        (folder / f"{name}.yaml").write_text(PROJECT.format(name=name, cron=cron, active="true" if cron != "0 0 1 1 *" else "false"))
    return {d["name"]: d for d in yaml.safe_load(render.render(folder))["deployments"]}


def test_the_file_in_the_repository_is_what_the_configs_say() -> None:
    assert (CHECKOUT / "deployments" / "prefect.yaml").read_text() == render.render(CHECKOUT / "configs"), "run make render"


def test_each_project_has_a_scheduled_cycle(tmp_path: Path) -> None:
    found = deployments_of(tmp_path, one="0 6 * * *", two="0 0 1 1 *")
    assert found["cycle-one"]["schedules"] == [{"slug": "one", "cron": "0 6 * * *", "timezone": "Europe/Berlin", "active": True}]
    assert found["cycle-two"]["schedules"] == [{"slug": "two", "cron": "0 0 1 1 *", "timezone": "Europe/Berlin", "active": False}]
    assert found["cycle-two"]["parameters"] == {"project": "two"}


def test_a_scheduled_cycle_never_runs_twice_at_once(tmp_path: Path) -> None:
    found = deployments_of(tmp_path, one="0 6 * * *")
    assert found["cycle-one"]["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


def test_an_audit_is_scheduled_where_the_yaml_says_so(tmp_path: Path) -> None:
    assert "audit-one" not in deployments_of(tmp_path, one="0 6 * * *")
    (tmp_path / "one.yaml").write_text((tmp_path / "one.yaml").read_text().replace("active:", 'audit: "0 4 * * 0", active:'))
    found = deployments_of(tmp_path, two="0 6 * * *")
    assert found["audit-one"]["schedules"] == [{"slug": "one", "cron": "0 4 * * 0", "timezone": "Europe/Berlin", "active": True}]
    assert (found["audit-one"]["entrypoint"], found["audit-one"]["parameters"]) == ("flows.audit.audit", {"project": "one"})
    assert found["audit-one"]["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    assert "audit" not in found["cycle-one"]["schedules"][0]
    assert "audit-two" not in found


def test_the_log_of_requests_is_compacted_every_hour_unless_the_yaml_says_otherwise(tmp_path: Path) -> None:
    found = deployments_of(tmp_path, one="0 6 * * *")
    assert found["compact-one"]["schedules"] == [{"slug": "one", "cron": "7 * * * *", "timezone": "Europe/Berlin", "active": True}]
    assert (found["compact-one"]["entrypoint"], found["compact-one"]["parameters"]) == ("flows.compact.compact", {"project": "one"})
    file = tmp_path / "one.yaml"
    file.write_text(file.read_text().replace("active:", 'compact: "@daily", active:'))
    assert deployments_of(tmp_path, two="0 6 * * *")["compact-one"]["schedules"][0]["cron"] == "@daily"  # type: ignore[index]
    file.write_text(file.read_text().replace('"@daily"', "null"))
    assert "compact-one" not in deployments_of(tmp_path, two="0 6 * * *")


def test_requests_grow_old_every_night_and_rows_with_the_cycle(tmp_path: Path) -> None:
    for said, cron in (("rows: 3", "0 6 1 * *"), ("rows: 3, requests_days: 30", "30 3 * * *")):
        deployments_of(tmp_path, one="0 6 1 * *")
        file = tmp_path / "one.yaml"
        file.write_text(file.read_text() + f"retention: {{{said}}}\n")
        found = {d["name"]: d for d in yaml.safe_load(render.render(tmp_path))["deployments"]}
        assert found["retain-one"]["schedules"][0]["cron"] == cron


def test_each_verb_has_a_deployment_without_schedule(tmp_path: Path) -> None:
    found = deployments_of(tmp_path, one="0 6 * * *")
    for verb in render.VERBS:
        assert found[verb]["entrypoint"] == f"flows.{verb}.{verb}"
        assert found[verb]["schedules"] == []


def test_a_project_that_says_when_has_an_earlier_version_made_again_by_schedule(tmp_path: Path) -> None:
    assert "reproduce-one" not in deployments_of(tmp_path, one="0 6 * * *")
    file = tmp_path / "one.yaml"
    file.write_text(file.read_text().replace("timezone:", 'reproduce: "@weekly", timezone:'))
    found = {d["name"]: d for d in yaml.safe_load(render.render(tmp_path))["deployments"]}
    made = found["reproduce-one"]
    assert made["schedules"] == [{"slug": "one", "cron": "@weekly", "timezone": "Europe/Berlin", "active": True}]
    assert (made["entrypoint"], made["parameters"]) == ("flows.reproduce.reproduce", {"project": "one", "version": "random"})
    assert found["cycle-one"]["schedules"] == [{"slug": "one", "cron": "0 6 * * *", "timezone": "Europe/Berlin", "active": True}]


def test_no_path_of_a_machine_is_in_it() -> None:
    assert str(CHECKOUT) not in render.render(CHECKOUT / "configs")


def test_an_invalid_config_renders_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("project: bad\n")
    with pytest.raises(ConfigInvalid):
        render.render(tmp_path)


@pytest.mark.flow
def test_prefect_deploys_the_file_without_us_and_again_changes_nothing(prefect_server: str) -> None:
    """The command of the file's own header, from the project's folder, with nothing but Prefect."""
    from prefect.client.orchestration import get_client

    for _ in range(2):
        apply.create_pool()
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--prefect-file", "deployments/prefect.yaml", "--all"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with get_client(sync_client=True) as client:
        before = {d.name: d for d in client.read_deployments()}
        apply.deploy(Stores(), "deployments/prefect.yaml")
        after = {d.name: d for d in client.read_deployments()}
    assert before.keys() >= {"cycle-flights", "audit-flights", *render.VERBS}
    for name, deployment in before.items():
        again = after[name]
        assert (again.id, len(again.schedules), again.paused) == (deployment.id, len(deployment.schedules), deployment.paused)
    cycle = after["cycle-flights"]
    assert cycle.work_pool_name == POOL
    assert cycle.pull_steps == [{"prefect.deployments.steps.set_working_directory": {"directory": str(CHECKOUT)}}]
    assert cycle.parameter_openapi_schema
    assert "project" in cycle.parameter_openapi_schema["properties"]


@pytest.mark.flow
def test_what_is_scheduled_no_more_is_taken_away_and_nothing_else(prefect_server: str, tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client

    def known() -> set[str]:
        with get_client(sync_client=True) as client:
            return {d.name for d in client.read_deployments() if d.name.startswith(("audit", "retain", "reproduce", "cycle"))}

    stores = Stores(root=CHECKOUT, configs=tmp_path / "configs")
    stores.configs.mkdir()
    apply.create_pool()
    deployments_of(stores.configs, one="0 6 * * *", two="0 6 * * *")
    for name in ("one", "two"):
        file = stores.configs / f"{name}.yaml"
        said = file.read_text().replace("active:", 'audit: "@weekly", reproduce: "@weekly", active:')
        file.write_text(said + "retention: {collected: 3}\n")
    (tmp_path / "prefect.yaml").write_text(render.render(stores.configs))
    apply.deploy(stores, str(tmp_path / "prefect.yaml"))
    assert apply.retire(stores) == []
    before = known()
    assert before >= {"audit", "audit-one", "audit-two", "retain-one", "reproduce-one", "cycle-one"}
    deployments_of(stores.configs, one="0 6 * * *")
    assert apply.retire(stores) == ["audit-one", "retain-one", "reproduce-one"]
    assert before - known() == {"audit-one", "retain-one", "reproduce-one"}
    assert apply.retire(stores) == []


@pytest.mark.flow
def test_a_refusal_says_what_prefect_said(prefect_server: str, tmp_path: Path) -> None:
    apply.create_pool()
    file = tmp_path / "prefect.yaml"
    file.write_text(f"deployments: [{{name: x, entrypoint: flows.nothing.here, work_pool: {{name: {POOL}}}}}]\nbuild: null\n")
    with pytest.raises(StoreUnavailable, match=r"flows\.nothing"):
        apply.deploy(Stores(), str(file))


def test_without_a_server_nothing_is_half_applied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The configs are read before the server is asked."""
    (tmp_path / "bad.yaml").write_text("project: bad\n")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(ConfigInvalid):
        apply.apply(Stores(configs=tmp_path), Serving())


def test_a_project_with_limits_is_retained_on_its_schedule(tmp_path: Path) -> None:
    found = deployments_of(tmp_path, one="0 6 * * *")
    assert "retain-one" not in found
    file = tmp_path / "one.yaml"
    file.write_text(f"{file.read_text()}retention: {{collected: 12}}\n")
    retained = deployments_of(tmp_path)["retain-one"]
    assert retained["entrypoint"] == "flows.retain.retain"
    assert retained["schedules"] == found["cycle-one"]["schedules"]
    assert retained["parameters"] == {"project": "one"}
