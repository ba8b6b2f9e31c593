"""Ports and secrets of the running stack, from the environment (`PILLARS_*`)."""

from __future__ import annotations

from pydantic import Field, SecretStr

from pillars.stores import Environment

POOL = "pillars"
READY = "up.ready"  # under var: the worker has applied the deployments


class Serve(Environment):
    """What one request to `pillars serve` may take (docs/serving.md). Its tokens, PILLARS_SERVE_TOKENS, the server reads itself."""

    serve_rows: int = Field(default=10_000, ge=1, description="rows of one request")
    serve_body_bytes: int = Field(default=4 << 20, ge=1_000, description="bytes of its body")
    serve_body_s: float = Field(default=10.0, gt=0, description="seconds that its body may take")
    serve_head_s: float = Field(default=5.0, gt=0, description="seconds that its head may take")
    serve_requests: int = Field(default=512, ge=1, description="requests at once, in one worker")


class Serving(Environment):
    """Where `pillars up` listens, always on 127.0.0.1, and whom it tells of failures."""

    port_prefect: int = Field(default=4200, ge=1, le=65535, description="Prefect server and its UI; the next free port when taken")
    port_mlflow: int = Field(default=5000, ge=1, le=65535, description="MLflow server and its UI; the next free port when taken")
    port_evidently: int = Field(default=8000, ge=1, le=65535, description="Evidently UI; the next free port when taken")
    port_serving: int = Field(default=8080, ge=1, le=65535, description="prediction server; the next free port when taken")
    alert_webhook: SecretStr | None = Field(default=None, description="URL that gets a POST for each failed or crashed run of a deployment")
