"""The least that a server of this model does: decode, encode, predict, answer. `python -m bench.serving_plain SETTINGS`.

What our server costs beside that is routing, the request log, checks and limits, metrics, the policy that it follows, and what an
answer says beside its predictions. All else is the same, to the line: uvicorn with the same options and guard, the decoders made from
the schema (checks included: reading without types would take twice as long), the encoder, rows of one turn scored together. Where a
challenger answers a share of the rows, it does so here, too, of single rows every so many and of others the last ones, counted instead
of asked who they are: as many calls of the model.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pillars.deployment.server import lean

OPTIONS: dict[str, Any] = {"ws": "none", "log_level": "warning", "access_log": False, "server_header": False, "proxy_headers": False}


def create() -> Callable[..., Awaitable[None]]:
    """The app."""
    import msgspec

    from pillars.deployment.server import invocations, policy, settings, snapshot
    from pillars.deployment.server.batching import Batcher

    told = settings.read(Path(os.environ[settings.SETTINGS]))
    taken = snapshot.take(policy.read(told.policy, told.project), told, None)
    assert taken is not None
    decoders, every = taken.decoders, round(policy.WHOLE / sum(taken.weights)) if taken.weights else 0
    batcher: Batcher | None = None
    asked = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal batcher, asked
        if scope["type"] != "http":
            await _live(receive, send)
            return
        if batcher is None:
            batcher = Batcher()
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        content = b"{}"
        if scope["path"] == "/invocations":
            rows = invocations.rows(decoders, body)
            asked += rows.count
            cut = asked // every - (asked - rows.count) // every if every else 0
            parts = [(taken.champion, 0, rows.count - cut), *((arm, rows.count - cut, rows.count) for arm in taken.challengers)]
            floats, answers = taken.champion.floats(rows.columns, rows.count), []
            for arm, first, last in parts:
                if first < last:
                    columns = rows.columns if last - first == rows.count else [column[first:last] for column in rows.columns]
                    answers.append(batcher.predict(arm, arm.encode(columns, last - first, floats[:, first:last]), None))
            predictions: list[dict[str, Any]] = []
            for answer in answers:
                outputs = await answer
                names = tuple(outputs)
                predictions += [dict(zip(names, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
            content = msgspec.json.encode({"predictions": predictions})
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": content})

    return app


async def _live(receive: Any, send: Any) -> None:
    while True:
        what = (await receive())["type"]
        await send({"type": f"{what}.complete"})
        if what == "lifespan.shutdown":
            return


def main() -> None:
    """Serve in the foreground."""
    lean.keep_out()
    lean.keep_memory()
    import uvicorn

    from pillars.deployment.server import guard, settings

    os.environ[settings.SETTINGS] = sys.argv[1]
    port = settings.read(Path(sys.argv[1])).port
    uvicorn.run("bench.serving_plain:create", factory=True, host="127.0.0.1", port=port, http=guard.Guarded, lifespan="on", **OPTIONS)


if __name__ == "__main__":
    main()
