"""`pillars scan` as a user enters it, and that every flow and step tells no secret."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest
from prefect import Flow, Task

import flows
import tasks
from flows import access_commands
from pillars.errors import NotAllowed
from pillars.stores import Stores
from tests.bad_input.door import say
from tests.bad_input.parcels import write_config, write_parcels

pytestmark = pytest.mark.usefixtures("nothing_known")


@pytest.fixture
def root(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project_root)
    return write_parcels(project_root)


def test_a_new_clone_passes_and_nothing_is_made(root: Path) -> None:
    said = say("scan")
    assert said.exit_code == 0, said.out
    assert "0 secrets where none may be, 0 waived; 0 places with wrong rights" in said.out
    assert not (root / "var").exists()


def test_a_secret_in_a_page_fails_and_is_never_printed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELS_DB", "postgresql://reader:geheim-4711@db/shop")
    write_config(root, "depot", source={"sql": {"url_from": "PARCELS_DB", "rows": "SELECT 1"}})
    page = Stores().folder("reports") / "page.html"
    page.write_text("<p>\nlogin with geheim-4711</p>")
    said = say("scan")
    assert said.exit_code == 1
    assert "SECRET  var/reports/page.html  line 2  value of PARCELS_DB" in said.out
    told = json.loads(say("scan", "--json").out)
    assert told["findings"] == [{"file": "var/reports/page.html", "place": "line 2", "kind": "value of PARCELS_DB", "waived": ""}]
    assert "geheim" not in said.out + json.dumps(told)


def test_the_installations_key_is_found_where_it_is_not_kept(root: Path) -> None:
    stores = Stores()
    assert stores.secret
    (stores.folder("logs") / "mlflow.log").write_bytes(b"key=" + stores.secret)
    # a random key may hold a zero byte: the file is no text then, and has no lines
    assert re.search(r"var/logs/mlflow\.log  (line 1|byte 4)  value of the installation's key", say("scan").out)
    assert "keys/secret" not in say("scan").out


def test_a_reason_lets_it_stay_and_a_reason_for_nothing_is_told(root: Path) -> None:
    (Stores().folder("reports") / "page.html").write_text("https://u:" + "geheim47@host/x")
    (root / "configs" / "_waivers.yaml").write_text(
        "waivers:\n  - {file: var/reports/*, kind: password in an address, reason: the manual's own example}\n"
        "  - {file: gone.txt, kind: '*', reason: it was there once upon a time}\n"
    )
    said = say("scan")
    assert said.exit_code == 0, said.out
    assert "1 waived" in said.out
    assert "nothing was found that this waiver is for: gone.txt" in said.out
    assert json.loads(say("scan", "--json").out)["waived"][0]["waived"] == "the manual's own example"


def test_waivers_that_cannot_be_read_are_an_error_of_the_yaml(root: Path) -> None:
    (root / "configs" / "_waivers.yaml").write_text("waivers:\n  - {file: a, kind: b}\n")
    said = say("scan")
    assert said.exit_code == 2
    assert "waivers.0.reason" in said.err


def test_rights_fail_until_they_are_mended(root: Path) -> None:
    stores = Stores()
    assert stores.secret
    stores.var.chmod(0o755)
    said = say("scan")
    assert said.exit_code == 1
    assert "RIGHTS  var  drwxr-xr-x, promised is drwx------: everybody on this machine may read it" in said.out
    said = say("scan", "--fix")
    assert (said.exit_code, "mended  var" in said.out) == (0, True)
    assert say("scan").exit_code == 0


def test_what_is_not_searched_for_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT_DB", "mysql://u:abcde@db/shop")
    write_config(root, "short", source={"sql": {"url_from": "SHORT_DB", "rows": "SELECT 1"}})
    write_config(root, "none", source={"sql": {"url_from": "NOT_SET_DB", "rows": "SELECT 1"}})
    (root / "configs" / "broken.yaml").write_text("project: [")
    said = say("scan")
    assert said.exit_code == 0, said.out
    assert "not searched for the value of SHORT_DB: it is shorter than 6 characters" in said.out
    assert "not searched for the value of NOT_SET_DB: it is not set here" in said.out
    assert "not searched for the value of secrets of broken" in said.out


def test_the_owner_is_refused_nothing(root: Path) -> None:
    stores = Stores()
    stores.folder("quarantine")
    access_commands.require(stores, "parcels", "quarantine")
    with pytest.raises(NotAllowed, match="you may not read var/x"):
        raise NotAllowed("read", "var/x", "its owner alone")


def modules(package: object) -> list[object]:
    name, path = package.__name__, package.__path__  # type: ignore[attr-defined]
    return [importlib.import_module(f"{name}.{one.name}") for one in pkgutil.iter_modules(path) if one.name != "__main__"]


VERBS = {
    (value.name, value.fn.__qualname__): value for module in modules(flows) for value in vars(module).values() if isinstance(value, Flow)
}
STEPS = {value.name: value for module in modules(tasks) for value in vars(module).values() if isinstance(value, Task)}


@pytest.mark.parametrize("one", [pytest.param(one, id=str(name)) for name, one in {**VERBS, **STEPS}.items()])
def test_every_flow_and_step_is_discreet(one: Flow | Task) -> None:
    """Prefect keeps what is raised in logs, states and results: see `tasks.policy.discreet`."""
    assert one.fn.__code__.co_qualname == "discreet.<locals>.done"


def test_there_are_flows_and_steps_to_look_at() -> None:
    assert len(VERBS) >= 13
    assert len(STEPS) >= 15
