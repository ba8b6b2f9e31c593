import json

import numpy as np
import pytest

from pillars.bundle.bundle import Bundle
from pillars.stores import Stores
from pillars.training.refitting import refit
from pillars.vocabulary import Decision, Judged
from tests.factories import binary_project, reading, rows_and_outcomes
from tests.pillars.training.worlds import MONTHS, RECIPE, readable, released

PROJECT = binary_project()
READ = readable(PROJECT)


@pytest.fixture
def stores() -> Stores:
    return Stores()


def judged(offset: float = 0.0) -> Judged:
    yes = Decision.accept("")
    return Judged("trams", "2013-03", RECIPE, yes, yes, (), {"kind": "sigmoid", "a": 1.0, "b": offset}, 0.25, "")


def test_the_bundle_is_fitted_on_all_periods_and_says_so(stores: Stores) -> None:
    path, sha256, through, decision = refit(stores, PROJECT, READ, MONTHS[:3], "2013-03", judged(), {"data": "23b6ec22.dir"})
    bundle = Bundle.load(stores.var / path)
    assert path.startswith("candidates/trams/2013-03-")
    assert (bundle.identity, through, bundle.threshold) == (sha256, "2013-03", 0.25)
    assert bundle.lineage["fit_periods"] == MONTHS[:3]
    assert bundle.lineage["data"] == "23b6ec22.dir"
    assert bundle.lineage["recipe"]["rounds"] == RECIPE.rounds
    assert bundle.schema["inputs"][0] == {"name": "load", "type": "double"}
    said = {one["name"]: one for one in bundle.schema["columns"]}
    assert said["load"] == {"name": "load", "type": "float", "nullable": PROJECT.columns["load"].nullable, "kept": True}
    assert {*bundle.encoder.feature_names, *bundle.schema["key"], *bundle.schema["entity"]} == {*said}
    assert decision
    assert "golden rows equal" in decision.reason


def test_equal_inputs_give_equal_bytes_anywhere_and_a_second_run_changes_nothing(stores: Stores) -> None:
    there = Stores(root=stores.root, var=stores.var / "there", threads=2)
    one = released(stores, PROJECT, READ, "2013-03")
    other = released(there, PROJECT, READ, "2013-03")
    assert {path.name: path.read_bytes() for path in one.path.iterdir()} == {path.name: path.read_bytes() for path in other.path.iterdir()}
    times = {path.name: path.stat().st_mtime_ns for path in one.path.iterdir()}
    released(stores, PROJECT, READ, "2013-03")
    assert {path.name: path.stat().st_mtime_ns for path in one.path.iterdir()} == times


def test_shuffled_rows_give_the_same_bytes(stores: Stores) -> None:
    import pyarrow as pa

    from pillars.development import features

    rows, outcomes = rows_and_outcomes(MONTHS)
    order = np.random.default_rng(1).permutation(rows.num_rows)
    mixed = reading(rows.take(pa.array(order)), outcomes.take(pa.array(order[::-1])))
    shuffled = released(stores, PROJECT, features.reader(PROJECT, "shuffled", mixed), "2013-03")
    assert shuffled.path == released(stores, PROJECT, READ, "2013-03").path
    assert shuffled.digest == released(stores, PROJECT, READ, "2013-03").digest


def test_another_threshold_or_lineage_is_another_bundle_of_the_same_identity(stores: Stores) -> None:
    one, other = (released(stores, PROJECT, READ, "2013-03", threshold=threshold) for threshold in (0.25, 0.5))
    assert one.identity == other.identity
    assert one.path != other.path


def test_golden_rows_are_real_rows_of_the_newest_period(stores: Stores) -> None:
    bundle = released(stores, PROJECT, READ, "2013-03")
    golden = json.loads((bundle.path / "golden.json").read_text())
    assert len(golden["scores"]) == 32
    assert set(golden["columns"]["load"]) <= set(READ(["2013-03"]).columns["load"].tolist())
    bundle.check_golden()


def test_scores_far_from_the_outcome_rate_are_refused(stores: Stores) -> None:
    *_, decision = refit(stores, PROJECT, READ, MONTHS[:3], "2013-03", judged(offset=3.0), {})
    assert decision.outcome == "refuse"
    assert "outcome rate" in decision.reason


def test_scores_that_are_no_number_are_refused(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = released(stores, PROJECT, READ, "2013-03")
    from pillars.training import refitting
    from pillars.training.rows import gather
    from pillars.training.splits import Part

    rows = gather(READ, Part(("2013-03",)))
    monkeypatch.setattr(Bundle, "check_golden", lambda self: None)
    monkeypatch.setattr(Bundle, "scores", lambda self, columns: np.full(len(rows.y), np.nan))
    decision = refitting._passed(bundle, rows, "log_loss")
    assert decision.outcome == "refuse"
    assert "no number" in decision.reason


def test_an_unseen_category_is_answered(stores: Stores) -> None:
    bundle = released(stores, PROJECT, READ, "2013-03")
    row = {name: column[:1] for name, column in READ(["2013-04"]).columns.items()} | {"stop": np.array(["a stop opened in May"], object)}
    assert 0 < bundle.predict(row).score[0] < 1
