"""The ASGI app: paths, tokens, limits, and the way of a request from its body to its answer."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from pillars.deployment.server import answering, inference, invocations, openapi
from pillars.deployment.server.answering import Asked
from pillars.deployment.server.batching import Batcher
from pillars.deployment.server.body import CLOSE, Gone, read
from pillars.deployment.server.decoding import Rows
from pillars.deployment.server.journal import Journal
from pillars.deployment.server.log import Log
from pillars.deployment.server.metrics import Metrics
from pillars.deployment.server.problems import Refused, complain
from pillars.deployment.server.settings import SETTINGS, Settings, tokens
from pillars.deployment.server.settings import read as read_settings
from pillars.deployment.server.shadowing import Shadowing
from pillars.deployment.server.snapshot import Arm, Snapshot
from pillars.deployment.server.watcher import Watcher

JSON, TEXT, HTML = b"application/json", b"text/plain; version=0.0.4; charset=utf-8", b"text/html; charset=utf-8"
ENTITY, TRACE = b"x-entity-key", b"traceparent"
PARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C trace context
OPEN = ("/live", "/ready", "/ping", "/v2/health/live", "/v2/health/ready")  # asked by machines that have no token
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Content = tuple[int, bytes, bytes, dict[str, str]]  # status, type, body, headers


class App:
    """One worker. Everything that a request needs is read from `watcher.snapshot` once."""

    def __init__(self, settings: Settings, allowed: tuple[str, ...] = ()) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.allowed = tuple(hashlib.sha256(token.encode()).digest() for token in allowed)
        self.watcher = Watcher(settings, self.metrics.changed, self.metrics.refused)
        self.log: Log  # these four from `start` on
        self.journal: Journal
        self.batcher: Batcher
        self.shadowing: Shadowing
        self.started = False
        self.under_way = 0
        model = f"/v2/models/{settings.project}"
        self.gets: dict[str, Callable[[], Content]] = {
            "/live": lambda: (200, JSON, b'{"live":true}', {}),
            "/v2/health/live": lambda: (200, JSON, b'{"live":true}', {}),
            "/ready": self._ready,
            "/ping": self._ready,
            "/v2/health/ready": self._ready,
            f"{model}/ready": self._ready,
            "/version": self._version,
            "/metrics": lambda: (200, TEXT, self.metrics.text(), {}),
            "/openapi.json": lambda: (200, JSON, msgspec.json.encode(self._document()), {}),
            "/docs": self._page,
            "/v2": lambda: (200, JSON, msgspec.json.encode({"name": "five-pillars", "version": settings.version, "extensions": []}), {}),
            model: self._model,
        }
        self.posts = {"/invocations", f"{model}/infer"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the server's life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    def start(self) -> None:
        """Open the log and follow the policy; in the event loop."""
        self.log = Log(self.settings.requests, self.settings.segment_bytes, self.settings.segment_s, self.settings.seal)
        self.batcher = Batcher()
        self.journal = Journal(self.log, self.batcher.loop)
        self.shadowing = Shadowing(self.log, self.metrics, self.settings.shadow_queue)
        self.started = True
        self.watcher.start()

    def stop(self) -> None:
        """Put down what is held; all requests are answered."""
        self.watcher.stop()
        if self.started:
            self.shadowing.close()
            self.batcher.close()
            self.log.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    self.start()
                    await self.batcher.loop.run_in_executor(None, self.watcher.first)  # who listens answers: a worker that comes back, too
                except OSError as err:
                    await send({"type": "lifespan.startup.failed", "message": f"the request log cannot be opened ({err.strerror})"})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        shown = path if path in self.gets or path in self.posts else "other"
        try:
            status, kind, body, headers = await self._answer(scope, path, receive)
        except Refused as refused:
            status, kind, body, headers = refused.status, JSON, refused.content(), refused.headers
        except Gone:
            return
        except Exception as err:  # a bug: said without the words of the error, which could quote a row
            complain(_place(err))
            status, kind, body, headers = 500, JSON, Refused(500, "INTERNAL", "an error of this server; its log says where").content(), {}
        self.metrics.answered(shown, status)
        given = [(name.encode(), value.encode()) for name, value in headers.items()]
        head = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *given]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Scope, path: str, receive: Receive) -> Content:
        if scope.get("too_long"):
            raise Refused(431, "TOO_LARGE", "the head of the request is too long", headers=CLOSE)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if self.allowed and path not in OPEN:
            self._admit(headers)
        get = self.gets.get(path)
        if get is not None:
            if scope["method"] not in ("GET", "HEAD"):
                raise Refused(405, "METHOD", "use GET", headers={"allow": "GET, HEAD"})
            return get()
        pinned = None if path in self.posts else self._versioned(path)
        if pinned is not None and pinned[1] != "/infer":
            return self._of_version(*pinned, scope["method"])
        if scope["method"] != "POST":
            raise Refused(405, "METHOD", "use POST", headers={"allow": "POST"})
        return await self._predict(path, headers, receive, pinned[0] if pinned else None)

    def _admit(self, headers: dict[bytes, bytes]) -> None:
        """Raises: Refused."""
        given = headers.get(b"authorization", b"")
        token = given[7:].strip() if given[:7].lower() == b"bearer " else headers.get(b"x-api-key", b"")
        digest = hashlib.sha256(token).digest()
        if not any(hmac.compare_digest(digest, known) for known in self.allowed):  # of hashes: time tells nothing of a token
            raise Refused(401, "TOKEN", "a token is needed", headers={"www-authenticate": "Bearer"})

    def _versioned(self, path: str) -> tuple[int, str]:
        """The version that a path of the Open Inference Protocol names. Raises: Refused."""
        found = inference.MODEL.fullmatch(path)
        if found is None or found.group(1) != self.settings.project or found.group(2) is None:
            raise Refused(404, "UNKNOWN", "there is no such path, model or version")
        if not re.fullmatch(r"[0-9]{1,9}", found.group(2)):
            raise Refused(404, "UNKNOWN", "there is no such version")
        return int(found.group(2)), found.group(3) or ""

    def _of_version(self, version: int, what: str, method: str) -> Content:
        if method not in ("GET", "HEAD"):
            raise Refused(405, "METHOD", "use GET", headers={"allow": "GET, HEAD"})
        self._arm(self._snapshot(), version)
        return self._ready() if what else self._model()

    def _snapshot(self) -> Snapshot:
        """What answers now. Raises: Refused."""
        if (snapshot := self.watcher.snapshot) is None:
            raise Refused(503, "NOT_READY", "nobody answers yet", headers={"retry-after": "1"})
        return snapshot

    @staticmethod
    def _arm(snapshot: Snapshot, version: int) -> Arm:
        """Raises: Refused."""
        if (arm := snapshot.version(version)) is None:
            raise Refused(404, "UNKNOWN", "this version is not here")
        return arm

    async def _predict(self, path: str, headers: dict[bytes, bytes], receive: Receive, version: int | None) -> Content:
        """Raises: Refused, Gone."""
        if self.under_way >= self.settings.limits.requests:
            raise Refused(503, "BUSY", "too many requests at once", headers={"retry-after": "1", **CLOSE})
        self.under_way += 1
        try:
            return await self._predicted(path, headers, receive, version)
        finally:
            self.under_way -= 1

    async def _predicted(self, path: str, headers: dict[bytes, bytes], receive: Receive, version: int | None) -> Content:
        began = time.perf_counter_ns()
        body = await read(receive, headers, self.settings.limits)
        snapshot = self._snapshot()  # after the body: a slow client must not be answered by a policy of long ago
        pinned = None if version is None else self._arm(snapshot, version)
        at_us, id, trace, entity = time.time_ns() // 1_000, _new_id(), _trace(headers), headers.get(ENTITY) or None
        asked: Asked | None = None
        try:
            rows, named, wanted = self._rows(path, snapshot, body)
            asked = Asked(id, trace, rows, began, at_us, entity, pinned)
            answered = await answering.answer(snapshot, asked, self.batcher)
            about = answering.about(snapshot, asked, answered)
            content = self._content(path, snapshot, pinned, named, wanted, answered, about)
            lines = answering.lines(snapshot, asked, answered)
        except Refused:
            raise
        except answering.Failed as failed:
            self._witness(answering.failed(snapshot, asked, failed.arm) if asked else b"", [failed.arm.head])
            raise
        except Exception:  # a bug of ours: who judges a rollout must not be blind to it
            self._witness(*answering.unanswered(snapshot, asked or answering.unread(snapshot, id, trace, began, at_us, entity)))
            raise
        try:
            await self.journal.write(lines, answering.heads(answered.arms), alone=self.under_way == 1)
        except OSError as err:
            complain(f"the request log cannot be written ({err.strerror})")
            raise Refused(503, "LOG", "the request log cannot be written", headers={"retry-after": "5"}) from None
        self._counted(answered)
        if snapshot.shadows:
            self.shadowing.show(snapshot, asked, answered.buckets)
        self.metrics.seconds.observe((time.perf_counter_ns() - began) / 1e9)
        return 200, JSON, content, {"x-request-id": id, "x-generation": str(snapshot.generation)}

    def _rows(self, path: str, snapshot: Snapshot, body: bytes) -> tuple[Rows, str | None, tuple[str, ...]]:
        """The rows, the id that the client gave, and the outputs it wants. Raises: Refused."""
        if path == "/invocations":
            rows, id, wanted = invocations.rows(snapshot.decoders, body), None, tuple(snapshot.outputs)
        else:
            rows, id, wanted = inference.rows(snapshot.decoders, body, tuple(snapshot.outputs))
        self._count(rows)
        return rows, id, wanted

    def _content(
        self,
        path: str,
        snapshot: Snapshot,
        pinned: Arm | None,
        id: str | None,
        wanted: tuple[str, ...],
        answered: answering.Answered,
        about: dict[str, Any],
    ) -> bytes:
        """The answer's body; made before it is on record, so that nothing can fail between that and saying it."""
        if path == "/invocations":
            return invocations.answer(answered.said, about)
        of = str(pinned.release.version if pinned else answered.arms[0].release.version)
        chosen = {name: answered.outputs[name] for name in wanted}
        return inference.answer(self.settings.project, of, id, chosen, snapshot.outputs, about)

    def _witness(self, lines: bytes, heads: list[bytes]) -> None:
        """Put on record that a request was not answered. A disk that refuses is no reason not to say it."""
        with suppress(OSError):
            self.log.write(lines, heads)

    def _count(self, rows: Rows) -> None:
        """Raises: Refused."""
        if rows.count == 0:
            raise Refused(422, "INVALID", "there are no rows")
        if rows.count > self.settings.limits.rows:
            raise Refused(413, "TOO_LARGE", f"{rows.count} rows, at most {self.settings.limits.rows} are answered at once")

    def _counted(self, answered: answering.Answered) -> None:
        if len(answered.arms) == 1:
            self.metrics.predicted(answered.arms[0], 1)
        else:
            for arm, rows in Counter(answered.arms).items():
                self.metrics.predicted(arm, rows)
        for name, lost in answered.unknown.items():
            self.metrics.unknown.labels(name).inc(len(lost))

    def _ready(self) -> Content:
        if self.watcher.snapshot is None:
            return 503, JSON, msgspec.json.encode({"ready": False}), {"retry-after": "1"}
        fallback = {"fallback": self.watcher.snapshot.fallback} if self.watcher.snapshot.fallback else {}
        return 200, JSON, msgspec.json.encode({"ready": True, **fallback}), {}

    def _version(self) -> Content:
        snapshot = self.watcher.snapshot
        told: dict[str, Any] = {"project": self.settings.project, "server": self.settings.version, "worker": os.getpid()}
        told |= snapshot.told() if snapshot else {"generation": None, "arms": [], "fallback": None}
        return 200, JSON, msgspec.json.encode(told | {"refused": self.watcher.refused}), {}

    def _model(self) -> Content:
        snapshot = self._snapshot()
        versions = [arm.release.version for arm in snapshot.arms]
        told = inference.metadata(self.settings.project, versions, snapshot.contract.columns, snapshot.outputs)
        return 200, JSON, msgspec.json.encode(told), {}

    def _document(self) -> dict[str, Any]:
        settings = self.settings
        return openapi.document(settings.project, settings.version, self._snapshot(), settings.limits, tokens=bool(self.allowed))

    def _page(self) -> Content:
        snapshot = self._snapshot()
        golden = snapshot.champion.bundle.golden["columns"]
        shown = {column.name: column for column in snapshot.contract.columns if column.name in golden and (column.kept or column.required)}
        example = {n: _usual(golden[n]) if c.kept else "" if c.kind == "text" else 0.0 for n, c in shown.items()}
        address = f"http://{self.settings.host}:{self.settings.port}"
        return 200, HTML, openapi.page(self.settings.project, address, self._document(), example), {}


def create() -> App:
    """The app of this process, as uvicorn asks for it. Raises: SettingInvalid."""
    return App(read_settings(Path(os.environ[SETTINGS])), tokens())


def _new_id() -> str:
    """Sorts by time; the rest is drawn."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def _trace(headers: dict[bytes, bytes]) -> str:
    found = PARENT.fullmatch(given) if (given := headers.get(TRACE)) else None
    return found.group(1).decode() if found else ""


def _usual(values: list[Any]) -> Any:
    """The middle one of numbers, the most frequent of words: an example that is nobody's row."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    return max(known, key=known.count) if isinstance(known[0], str) else known[len(known) // 2]


def _place(err: Exception) -> str:
    frames = traceback.extract_tb(err.__traceback__)
    return f"{type(err).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else type(err).__name__
