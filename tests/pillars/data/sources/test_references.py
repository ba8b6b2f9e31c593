"""Secrets of a source come by reference, are sent where they belong and are quoted nowhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pillars import masking
from pillars.data.sources.queries import Queries
from pillars.data.sources.references import of_environment
from pillars.data.sources.web import Web
from pillars.errors import SettingInvalid, SourceBroken
from pillars.stores import Stores
from tests.pillars.data.sources.ways import PERIODS, csv_text, database, project_of, whole

TOKEN = "Bearer geheim-4711"


@contextmanager
def asking_for(headers: dict[str, str], moved_to: str = "") -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that gives the parcels to who sends these headers, or sends everybody on; its address, and the headers that came."""
    came: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(dict(self.headers))
            right = all(self.headers.get(name) == value for name, value in headers.items())
            content = csv_text(whole()).encode() if right and not moved_to else b""
            self.send_response(302 if moved_to else 200 if right else 401)
            if moved_to:
                self.send_header("Location", moved_to)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/parcels.csv", came
        server.shutdown()


def web(url: str, **headers: str) -> Web:
    project = project_of({"http": {"url": url, "headers_from": headers, "attempts": 1}})
    assert project.source.http
    return Web(project, project.source.http, {"SHOP_AUTH": TOKEN, "block:shop-key": "geheim-4712", "ODD": "a\nb"}.get)  # type: ignore[arg-type]


def test_headers_are_sent_from_where_they_are_kept() -> None:
    with asking_for({"Authorization": TOKEN, "X-Api-Key": "geheim-4712"}) as (url, _):
        assert web(url, **{"Authorization": "SHOP_AUTH", "X-Api-Key": "block:shop-key"}).periods() == list(PERIODS)


def test_a_login_of_the_users_netrc_does_not_take_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with asking_for({"Authorization": TOKEN}) as (url, _):
        assert web(url, Authorization="SHOP_AUTH").periods() == list(PERIODS)


def test_who_is_sent_on_to_another_host_takes_no_secret_there() -> None:
    with asking_for({}) as (there, came), asking_for({}, moved_to=there.replace("127.0.0.1", "localhost")) as (url, first):
        web(url, **{"Authorization": "SHOP_AUTH", "X-Api-Key": "block:shop-key"}).periods()
    assert first[0]["X-Api-Key"] == "geheim-4712"
    assert not {"Authorization", "X-Api-Key"} & set(came[0])


def test_who_is_sent_on_within_the_host_takes_them_along() -> None:
    files: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            files.append(dict(self.headers))
            content = b"" if self.path == "/old.csv" else csv_text(whole()).encode()
            self.send_response(302 if self.path == "/old.csv" else 200)
            self.send_header("Location", "/new")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        web(f"http://127.0.0.1:{server.server_port}/old.csv", Authorization="SHOP_AUTH").periods()
        server.shutdown()
    assert [came["Authorization"] for came in files] == [TOKEN, TOKEN]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("NOT_SET", r"NOT_SET is not set: source\.http\.headers_from\.Authorization expects the header's whole value"),
        ("block:empty", "block:empty is empty"),
        ("ODD", "ODD holds more than a header can"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named_without_a_value(reference: str, message: str) -> None:
    with pytest.raises(SettingInvalid, match=message) as caught:
        web("http://127.0.0.1:9/x", Authorization=reference).periods()
    assert "a\nb" not in str(caught.value)


def test_a_refused_header_is_said_and_not_quoted() -> None:
    with asking_for({"Authorization": "another"}) as (url, _), pytest.raises(SourceBroken, match="the server answers 401") as caught:
        web(url, Authorization="SHOP_AUTH").periods()
    assert "geheim" not in str(caught.value)


def test_a_block_is_looked_up_by_who_runs_the_source(stores: Stores) -> None:
    database(stores.root)
    project = project_of({"sql": {"url_from": "block:shop-db", "rows": "SELECT * FROM parcels"}})
    assert project.source.references == ("block:shop-db",)
    assert project.source.name == "sql block:shop-db"
    assert project.source.sql
    asked: list[str] = []

    def reveal(reference: str) -> str:
        asked.append(reference)
        return "sqlite:///parcels.db"

    assert Queries(stores.root, project, project.source.sql, reveal).periods() == list(PERIODS)
    assert set(asked) == {"block:shop-db"}
    with pytest.raises(SettingInvalid, match="block:shop-db is a Prefect Secret block"):
        Queries(stores.root, project, project.source.sql).periods()


def test_what_was_looked_up_in_the_environment_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_AUTH", "Bearer geheim-4713")
    assert of_environment("SHOP_AUTH") == "Bearer geheim-4713"
    assert "geheim" not in masking.masked("sent geheim-4713")
