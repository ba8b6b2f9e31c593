"""What the prediction server is measured against, as apps for uvicorn: FastAPI with pydantic models, and one that only decodes.

The folder of the bundle comes in PILLARS_BENCH_BUNDLE. Neither keeps a log of requests, routes, or follows a policy: that is ours alone.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from pillars.bundle.bundle import Bundle


def bundle() -> Bundle:
    """The model of all sides."""
    return Bundle.load(Path(os.environ["PILLARS_BENCH_BUNDLE"]))


def fastapi() -> Any:
    """As most tutorials do it: a pydantic model a row, a plain function."""
    from fastapi import FastAPI
    from pydantic import BaseModel, create_model

    model = bundle()
    numbers: dict[str, Any] = dict.fromkeys(model.encoder.numeric, (float | None, None))
    words: dict[str, Any] = dict.fromkeys(model.encoder.categorical, (str | None, None))
    Row: Any = create_model("Row", **numbers, **words)

    class Frame(BaseModel):
        dataframe_records: list[Row]

    app = FastAPI()

    @app.get("/ping")
    def ping() -> dict[str, bool]:
        return {"ready": True}

    def invocations(frame: Frame) -> dict[str, Any]:
        rows = frame.dataframe_records
        columns = {name: np.array([getattr(row, name) for row in rows], dtype=np.float64) for name in numbers}
        columns |= {name: np.array([getattr(row, name) for row in rows], dtype=object) for name in words}
        said = model.predict(columns)
        return {"predictions": [{"score": s, "decision": d} for s, d in zip(said.score.tolist(), said.decision.tolist(), strict=True)]}  # type: ignore[union-attr]

    invocations.__annotations__ = {"frame": Frame, "return": dict}
    app.post("/invocations")(invocations)
    return app


def bare() -> Callable[..., Awaitable[None]]:
    """The least that any app does: read, decode with our decoders, answer one thing."""
    import msgspec

    from pillars.deployment.server import invocations
    from pillars.deployment.server.contract import contract
    from pillars.deployment.server.decoding import decoders
    from pillars.deployment.server.settings import Settings

    decode = decoders(contract([bundle()], Settings(project="bench", var="")))
    answer = msgspec.json.encode({"predictions": [{"score": 0.5, "decision": True}]})
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if scope["path"] == "/invocations":
            invocations.rows(decode, body)
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": answer})

    return app
