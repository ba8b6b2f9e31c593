"""BentoML with one service class: `bentoml serve bench.serving_bentoml:Flights`."""

from __future__ import annotations

from typing import Any

import bentoml

from bench.serving_model import Model


@bentoml.service(workers=1, traffic={"timeout": 60})
class Flights:
    """Rows in, predictions out."""

    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api(route="/invocations")  # type: ignore[untyped-decorator]  # it is installed in an environment of its own
    def invocations(self, dataframe_records: list[dict[str, Any]]) -> dict[str, Any]:
        """As the other sides answer."""
        return {"predictions": self.model.of_records(dataframe_records)}
