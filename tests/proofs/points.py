"""The write points of a process: every moment at which it is about to change something outside itself, by name.

Files come from Python's audit events, which the interpreter raises for every open, rename, link, folder and removal, whoever asks for it;
git from the same events, by its command; databases from their opening, new tables and commits; Prefect and MLflow servers from the requests
that are not GET. Between two points nothing outside changes, so the gap after one is the gap before the next; only a file that
was just opened, and is still empty, is a state of its own, and a point of its own.
"""

from __future__ import annotations

import builtins
import functools
import io
import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {  # where in its event the changed path stands, and the folder that a relative one is relative to
    "os.rename": (1, 3),
    "os.link": (1, 3),
    "os.symlink": (1, 2),
    "os.remove": (0, 1),
    "os.mkdir": (0, 2),
    "os.rmdir": (0, 1),
    "os.truncate": (0, None),
}
GIT_WRITES = ("hash-object", "mktree", "commit-tree", "mktag", "update-ref")
NAMES = (  # what differs from run to run
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"[0-9a-f]{12,}(\.dir)?"), "<hash>"),
    (re.compile(r"/[0-9a-f]{2}/<hash>"), "/<hash>"),
    (re.compile(r"\.\d+\.[0-9a-f]{8}(?=/|$)"), ""),  # a draft of write_atomically or of a bundle: pid and chance
    (re.compile(r"(tmp|\.)[A-Za-z0-9_-]{8,22}\.tmp$"), "<draft>"),
    (re.compile(r"-\d+-[0-9a-f]{8}\b"), "-<number>-<hash>"),  # a draft of the key: pid and chance, whose digits are no number
    (re.compile(r"-[0-9a-f]{8}\b"), "-<hash>"),
    (re.compile(r"\d{4,}"), "<number>"),
)


@dataclass(frozen=True, order=True)
class Point:
    """The `nth` time (from 1) that a process is about to do what `name` says."""

    name: str
    nth: int

    @property
    def kind(self) -> str:
        """The first word: file, folder, git, sql, http."""
        return self.name.split(" ", 1)[0]

    def __str__(self) -> str:
        return f"{self.name} #{self.nth}"


class Watch:
    """Counts the points of this process, tells `seen` of each, and kills the process at `fatal`."""

    def __init__(self, root: Path, seen: Callable[[Point], None] = lambda _: None, fatal: Point | None = None) -> None:
        self._root, self._seen, self._fatal = f"{root.resolve()}/", seen, fatal
        self._counts: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._inside = threading.local()

    def install(self) -> None:
        """Watch from here on; there is no way back, so only in a process that is about to do one thing and end."""
        self._open = builtins.open
        builtins.open = io.open = self._opened(self._open)  # type: ignore[assignment]
        sys.addaudithook(self._audited)
        self._watch_databases()
        self._watch_requests()

    def reached(self, name: str) -> None:
        """A point: counted, told, and perhaps the end."""
        if getattr(self._inside, "telling", False):
            return
        with self._lock:
            self._counts[name] += 1
            point = Point(name, self._counts[name])
            if point == self._fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            self._inside.telling = True
            try:
                self._seen(point)
            finally:
                self._inside.telling = False

    def _audited(self, event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = given
            if isinstance(flags, int) and flags & WRITING and not (isinstance(mode, str) and mode.strip("bt") == "r"):
                self._changed("file write", path)
        elif event in CHANGES:
            place, beside = CHANGES[event]
            self._changed(f"file {event.removeprefix('os.')}", given[place], given[beside] if beside else -1)
        elif event == "sqlite3.connect":
            commits_are_seen, self._inside.engine = getattr(self._inside, "engine", False), False
            if not (commits_are_seen and os.path.exists(given[0])):  # DVC opens its own: that is the point of what it does there
                self._changed("sql open", given[0])
        elif event == "subprocess.Popen":
            command = [str(word) for word in given[1]]
            if "git" in Path(command[0]).name and (found := [word for word in GIT_WRITES if word in command]):
                self.reached(f"git {found[0]}")

    def _changed(self, what: str, path: object, beside: int = -1) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        folder = os.readlink(f"/proc/self/fd/{beside}") if beside >= 0 else os.getcwd()
        full = os.path.normpath(os.path.join(folder, os.fsdecode(path)))
        locks = what == "file write" and full.endswith((".lock", ".writing"))
        there_already = locks or what == "file mkdir"  # asked for, not changed
        if full.startswith(self._root) and not (there_already and os.path.exists(full)):
            self.reached(f"{what} {common(full.removeprefix(self._root))}")

    def _opened(self, open_: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(open_)
        def opened(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            handle = open_(file, mode, *rest, **named)
            if "w" in mode or "x" in mode:
                self._changed("file begun", file)
            return handle

        return opened

    def _watch_databases(self) -> None:
        """Commits of what was written; a table made or altered is a write of its own, for SQLite's driver commits it at once."""
        from sqlalchemy import Engine, event

        def executing(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            word = statement.split(None, 1)[0].upper()
            if word in ("CREATE", "ALTER", "DROP"):
                self.reached(f"sql {word.lower()} {_database(connection)}")
            elif word in ("INSERT", "UPDATE", "DELETE", "REPLACE"):
                connection.info["written"] = True

        def committing(connection: Any) -> None:
            if connection.info.pop("written", False):
                self.reached(f"sql commit {_database(connection)}")

        def connecting(*_: Any) -> None:
            self._inside.engine = True

        event.listen(Engine, "do_connect", connecting)
        event.listen(Engine, "before_cursor_execute", executing)
        event.listen(Engine, "commit", committing)

    def _watch_requests(self) -> None:
        import httpx
        import requests

        def told(method: str, url: str) -> None:
            if method.upper() not in ("GET", "HEAD", "OPTIONS"):
                self.reached(f"http {method.upper()} {common(re.sub(r'^https?://[^/]+', '', url))}")

        sync, late, session = httpx.Client.send, httpx.AsyncClient.send, requests.Session.send

        def send(client: Any, request: Any, *rest: Any, **named: Any) -> Any:
            told(request.method, str(request.url))
            return sync(client, request, *rest, **named)

        async def send_late(client: Any, request: Any, *rest: Any, **named: Any) -> Any:
            told(request.method, str(request.url))
            return await late(client, request, *rest, **named)

        def send_requests(client: Any, request: Any, *rest: Any, **named: Any) -> Any:
            told(request.method, str(request.url))
            return session(client, request, *rest, **named)

        httpx.Client.send, httpx.AsyncClient.send, requests.Session.send = send, send_late, send_requests  # type: ignore[method-assign]


def _database(connection: Any) -> str:
    url = connection.engine.url
    return Path(url.database or "").name or url.render_as_string()


def common(path: str) -> str:
    """A path or address without what differs from run to run."""
    for pattern, instead in NAMES:
        path = pattern.sub(instead, path)
    return path
