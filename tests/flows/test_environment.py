import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from flows.environment import is_up, local_settings, names_a_server, prepare_prefect, project_settings, running_api
from pillars.stores import Stores


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No Prefect variable, an empty HOME; what a call adds to the environment is taken away again."""
    for name in [n for n in os.environ if n.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.fixture
def healthy() -> Iterator[str]:
    """Address of something that answers 200 to everything."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()
    server.server_close()


def write_up(stores: Stores, **content: object) -> None:
    (stores.folder() / "up.json").write_text(json.dumps(content))


def test_without_a_choice_prefect_lives_under_var(clean: None) -> None:
    stores = Stores()
    added = prepare_prefect(stores)
    assert os.environ["PREFECT_HOME"] == str(stores.var / "prefect")
    assert os.environ["PREFECT_SERVER_EPHEMERAL_ENABLED"] == "true"
    assert "PREFECT_API_URL" not in added


@pytest.mark.parametrize("variable", ["PREFECT_API_URL", "PREFECT_PROFILE"])
def test_a_chosen_server_is_left_alone(clean: None, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "theirs")
    added = prepare_prefect(Stores())
    assert os.environ[variable] == "theirs"
    assert not {"PREFECT_HOME", "PREFECT_LOCAL_STORAGE_PATH", "PREFECT_SERVER_EPHEMERAL_ENABLED"} & added.keys()


@pytest.mark.parametrize(
    ("profiles", "chosen"),
    [
        pytest.param('active = "work"\n[profiles.work]\nPREFECT_API_URL = "http://example.org/api"\n', True, id="active names a server"),
        pytest.param('active = "ephemeral"\n[profiles.work]\nPREFECT_API_URL = "http://example.org/api"\n', False, id="another one does"),
        pytest.param('active = "gone"\n', False, id="active is missing"),
        pytest.param("active = [", False, id="not TOML"),
        pytest.param(None, False, id="no file"),
    ],
)
def test_the_active_profile_decides(tmp_path: Path, profiles: str | None, chosen: bool) -> None:
    if profiles is not None:
        (tmp_path / "profiles.toml").write_text(profiles)
    assert names_a_server({"PREFECT_HOME": str(tmp_path)}) is chosen


def test_a_running_stack_is_used(clean: None, healthy: str) -> None:
    write_up(Stores(), pid=os.getpid(), started=psutil.Process().create_time(), prefect_api=healthy)
    assert prepare_prefect(Stores())["PREFECT_API_URL"] == healthy


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("[1]", id="not a mapping"),
        pytest.param('{"pid": "x", "started": null}', id="damaged"),
        pytest.param('{"pid": 4194303, "started": 1.0, "prefect_api": "URL"}', id="dead"),
        pytest.param(json.dumps({"pid": os.getpid(), "started": 1.0, "prefect_api": "URL"}), id="pid used again"),
    ],
)
def test_what_a_killed_stack_left_is_not_believed(healthy: str, content: str) -> None:
    stores = Stores()
    (stores.folder() / "up.json").write_text(content.replace("URL", healthy))
    assert running_api(stores) is None


def test_a_live_process_whose_server_is_silent_is_not_used() -> None:
    write_up(Stores(), pid=os.getpid(), started=psutil.Process().create_time(), prefect_api="http://127.0.0.1:9/api")
    assert running_api(Stores()) is None


def test_nothing_is_never_up() -> None:
    assert not is_up({})


def test_the_project_file_counts_in_every_folder() -> None:
    settings = project_settings(Stores().root)
    assert settings["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] == "90"
    assert settings["PREFECT_RESULTS_PERSIST_BY_DEFAULT"] == "true"
    assert settings["PREFECT_RESULTS_DEFAULT_SERIALIZER"] == "json"


def test_prefect_understands_every_setting(tmp_path: Path) -> None:
    wanted = project_settings(Stores().root) | local_settings(Stores())
    code = "import json, prefect.settings as s; print(json.dumps(s.get_current_settings().to_environment_variables(exclude_unset=True)))"
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | wanted
    answer = subprocess.run([sys.executable, "-c", code], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
    understood = {name: value.lower() for name, value in json.loads(answer.stdout).items()}
    for name, value in wanted.items():
        if name.startswith("PREFECT_"):
            assert understood[name.replace("PREFECT_LOCAL_", "PREFECT_RESULTS_LOCAL_")].removesuffix(".0") == value.lower(), name


def test_deciding_does_not_import_prefect() -> None:
    code = "import sys, flows.environment as e, pillars.stores as s; e.prepare_prefect(s.Stores()); print('prefect' in sys.modules)"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    answer = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
