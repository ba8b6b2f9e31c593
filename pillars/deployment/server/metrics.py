"""Prometheus: counts and times, never a value of a request. Several workers keep theirs in files, and any of them answers for all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pillars.deployment.server.snapshot import Fallback

if TYPE_CHECKING:
    from pillars.deployment.server.snapshot import Arm, Snapshot

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # seconds


class Metrics:
    """Made after PROMETHEUS_MULTIPROC_DIR is set, which prometheus_client reads when it is imported."""

    def __init__(self) -> None:
        import prometheus_client as client

        client.disable_created_metrics()  # a second line for each
        self.registry = client.CollectorRegistry()
        registry = self.registry
        self.requests = client.Counter("pillars_requests", "Requests by path and status", ["path", "status"], registry=registry)
        self.rows = client.Counter("pillars_predictions", "Rows answered, by arm and model version", ["arm", "version"], registry=registry)
        self.seconds = client.Histogram("pillars_request_seconds", "Time to answer a prediction", buckets=BOUNDS, registry=registry)
        self.unknown = client.Counter(
            "pillars_unknown_category_rows", "Rows with a category that the model did not learn", ["column"], registry=registry
        )
        self.dropped = client.Counter(
            "pillars_shadow_dropped_rows", "Rows that a shadow did not see, for its queue was full", registry=registry
        )
        self.loads = client.Counter("pillars_policy_loads", "Traffic policies taken over, or refused", ["outcome"], registry=registry)
        self.generation = client.Gauge(
            "pillars_policy_generation", "Generation that answers", multiprocess_mode="livemin", registry=registry
        )
        self.ready = client.Gauge(
            "pillars_workers_ready", "Workers that answer predictions", multiprocess_mode="livesum", registry=registry
        )
        self.fallback = client.Gauge(
            "pillars_fallback", "Workers that answer by a fallback", ["kind"], multiprocess_mode="livesum", registry=registry
        )
        self._requests: dict[tuple[str, int], client.Counter] = {}
        self._rows: dict[tuple[str, int], client.Counter] = {}

    def answered(self, path: str, status: int) -> None:
        """Count a request; `path` is one of ours, never the client's."""
        key = (path, status)
        child = self._requests.get(key)
        if child is None:  # looking a child up takes seven times as long as counting
            child = self._requests[key] = self.requests.labels(path, str(status))
        child.inc()

    def predicted(self, arm: Arm, rows: int) -> None:
        """Count rows that an arm answered."""
        key = (arm.role, arm.release.version)
        child = self._rows.get(key)
        if child is None:
            child = self._rows[key] = self.rows.labels(arm.role, str(arm.release.version))
        child.inc(rows)

    def changed(self, snapshot: Snapshot | None) -> None:
        """Another policy answers."""
        self.loads.labels("fallback" if snapshot and snapshot.fallback else "taken").inc()
        self.generation.set(snapshot.generation if snapshot else 0)
        self.ready.set(1 if snapshot else 0)
        for kind in get_args(Fallback)[1:]:
            self.fallback.labels(kind).set(1 if snapshot and snapshot.fallback == kind else 0)

    def refused(self) -> None:
        """A policy was not taken over."""
        self.loads.labels("refused").inc()

    def text(self) -> bytes:
        """As Prometheus reads it."""
        from prometheus_client import CollectorRegistry, generate_latest, multiprocess

        if not (folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR")):
            return generate_latest(self.registry)
        for file in Path(folder).glob("gauge_live*_*.db"):  # a killed worker left them
            if not Path(f"/proc/{file.stem.rpartition('_')[2]}").exists():
                file.unlink(missing_ok=True)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        return generate_latest(registry)
