"""FastAPI as most tutorials do it: a pydantic model a row, a plain function. `uvicorn bench.serving_fastapi:create --factory`."""

from __future__ import annotations

from typing import Any

from bench.serving_model import Model


def create() -> Any:
    """The app."""
    from fastapi import FastAPI
    from pydantic import BaseModel, create_model

    model = Model()
    numbers: dict[str, Any] = dict.fromkeys(model.numbers, (float | None, None))
    Row: Any = create_model("Row", **numbers, **dict.fromkeys(model.words, (str | None, None)))

    class Frame(BaseModel):
        dataframe_records: list[Row]

    app = FastAPI()

    @app.get("/ping")
    def ping() -> dict[str, bool]:
        return {"ready": True}

    def invocations(frame: Frame) -> dict[str, Any]:
        rows = frame.dataframe_records
        numbers = [[getattr(row, name) for name in model.numbers] for row in rows]
        return {"predictions": model.said(numbers, [[getattr(row, name) for row in rows] for name in model.words])}

    invocations.__annotations__ = {"frame": Frame, "return": dict}
    app.post("/invocations")(invocations)
    return app
