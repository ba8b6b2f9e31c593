"""LitServe with one API class, one worker, no batching, as its documentation begins: `python -m bench.serving_litserve PORT`."""

import sys
from typing import Any

import litserve

from bench.serving_model import Model


class Flights(litserve.LitAPI):  # type: ignore[misc]  # untyped here: it is installed in an environment of its own
    """Rows in, predictions out."""

    def setup(self, device: str) -> None:
        """Load the model, in the worker."""
        self.model = Model()

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe reads types as a form's fields
        """The rows."""
        return list(request["dataframe_records"])

    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Their predictions."""
        return self.model.of_records(rows)

    def encode_response(self, said: list[dict[str, Any]]) -> dict[str, Any]:
        """As the other sides answer."""
        return {"predictions": said}


if __name__ == "__main__":
    server = litserve.LitServer(Flights(api_path="/invocations"), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
