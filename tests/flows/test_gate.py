"""`pillars gate`: calibrated once, on record, stale when the settings change, the margin in the YAML where that is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.gate_commands import rounded_up, with_margin
from pillars.errors import ConfigInvalid
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from tests.bad_input.door import say
from tests.small import edit_config


def test_a_margin_is_rounded_up_to_two_figures() -> None:
    assert [rounded_up(m) for m in (0.0, 0.00123, 0.0012, 0.0998, 12.1)] == [0.0, 0.0013, 0.0012, 0.1, 13.0]


def test_a_margin_in_the_yaml_is_replaced_and_nothing_else() -> None:
    text = "a: 1\ngate: # why\n  margin: 0.001 # so\n  loss: log_loss\n"
    assert with_margin("p.yaml", text, 0.0042) == text.replace("0.001", "0.0042")
    assert with_margin("p.yaml", "gate: {margin: 0.5, loss: brier}\n", 0.01) == "gate: {margin: 0.01, loss: brier}\n"
    with pytest.raises(ConfigInvalid, match="does not name it"):
        with_margin("p.yaml", "gate: {loss: brier}\n", 0.01)


@pytest.mark.flow
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_calibration_is_made_once_and_said_to_be_stale_when_it_is(replayed: Path) -> None:
    assert say("gate", "show", "small").exit_code == 1
    asked = ("gate", "calibrate", "small", "--models", "6", "--json")
    first, again = say(*asked), say(*asked)
    assert first.exit_code == 0, first.out + first.err
    assert json.loads(first.out) == json.loads(again.out)
    told = json.loads(first.out)
    assert (told["models"], told["pairs"]) == (6, 15)
    assert len(Ledger(Stores()).entries("small", "gate")) == 1
    assert (Stores().var / told["picture"]).is_file()
    shown = say("gate", "show", "small")
    assert "15 pairs, 200 say enough" in shown.out or "is below it" in shown.out
    assert "calibrated" in json.loads(say("status", "small", "--json").out)["gate"]
    file = replayed / "configs" / "small.yaml"
    before = file.read_text()
    try:
        edit_config(replayed, gate={"resamples": 150})
        assert "stale" in say("gate", "show", "small").out
    finally:
        file.write_text(before)  # the clone is shared
