"""Hold the gate against pairs of models that are equal in truth: how often it promotes one, and which margin keeps that rare."""

from __future__ import annotations

from prefect import flow

from pillars.vocabulary import GateNoise
from tasks import gate, show
from tasks.opened import open_as_it_is
from tasks.policy import discreet


@flow(name="calibrate", flow_run_name="{project}")
@discreet
def calibrate(
    project: str, periods: list[str] | None = None, models: int = 40, pairs: int = 0, rate: float = 0.05, rows: int | None = None
) -> GateNoise:
    """Fit models that differ in seed and luck only, pair them, put the rates and the smallest margin on record. Nothing else changes.

    Args:
        project: name of the YAML in configs/
        periods: judged periods; the newest with outcomes if none is named. The models are fitted on what lies before the first of them
        models: independently seeded models
        pairs: distinct pairs of them; 0: all
        rate: false promotions that are put up with, as a share
        rows: newest rows that are fitted on; all if not given

    Raises:
        UnknownName: there is no such period with outcomes.
        TooFewRows: no period lies before the judged ones, or one of them is too small for the gate.
    """
    opened = open_as_it_is(project)
    version, known = gate.newest(opened)
    judged = sorted(set(periods or known[-1:]))
    inputs = gate.asked(opened, version, judged, models, pairs, rate, rows)
    found = opened.recall("gate", inputs, GateNoise) or gate.measure(opened, version, known, judged, models, pairs, rate, rows)
    found = gate.write(opened, found)
    opened.record("gate", inputs, found.asked, found)
    show.gate(found)
    return found
