"""Drift says how far columns moved, once per period, and is silent when nothing moved."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pillars.config import Project
from pillars.errors import SourceBroken, UnknownName
from pillars.monitoring import drift, reports
from pillars.stores import Stores
from pillars.vocabulary import Drift
from tests.pillars.monitoring.worlds import project, trips

TRIPS = project()


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(root=tmp_path, var=tmp_path / "var", key="ab" * 32)


def compare(stores: Stores, current: pa.Table, of: Project = TRIPS, period: str = "2013-02", page: bool = False) -> Drift:
    return drift.compare(stores, of, period, trips(), current, "2013-01", page)


def snapshots(stores: Stores) -> list[Path]:
    return sorted((stores.var / "evidently").glob("*/snapshots/*.json"))


def outcomes(late: Any, score: Any) -> pa.Table:
    return pa.table({"late": late, "score": score, "decision": np.asarray(score) >= 0.5})


def renamed() -> pa.Table:
    table = trips(seed=1)
    return table.set_column(table.column_names.index("carrier"), "carrier", pa.array([c.lower() for c in table["carrier"].to_pylist()]))


def test_the_same_rows_have_not_drifted(stores: Stores) -> None:
    seen = compare(stores, trips())
    assert set(seen.scores) == {"carrier", "fare", "humid", "carrier nulls", "fare nulls", "humid nulls"}
    assert max(seen.scores.values()) == 0
    assert (seen.drifted, seen.structural_drifted, seen.share) == ((), (), 0.0)


def test_other_rows_of_the_same_kind_have_not_drifted(stores: Stores) -> None:
    seen = drift.compare(stores, TRIPS, "2013-02", trips(rows=5_000), trips(rows=5_000, seed=7), "2013-01")
    assert seen.drifted == ()
    assert max(seen.scores.values()) > 0


def test_a_renamed_carrier_drifts(stores: Stores) -> None:
    seen = compare(stores, renamed())
    assert seen.structural_drifted == ("carrier",)
    assert seen.scores["carrier"] > 0.5
    assert seen.share == 0.5


def test_seasonal_columns_drift_without_counting(stores: Stores) -> None:
    seen = compare(stores, trips(humid=np.linspace(0, 30, 600)))
    assert seen.drifted == ("humid",)
    assert (seen.structural_drifted, seen.share, seen.page) == ((), 0.0, "")


def test_nulls_count_as_drift_though_the_values_that_are_left_did_not_move(stores: Stores) -> None:
    values = [v if i % 3 else None for i, v in enumerate(trips()["humid"].to_pylist())]
    seen = compare(stores, trips(humid=pa.array(values, pa.float64())))
    assert seen.scores["humid"] < 0.1
    assert seen.scores["humid nulls"] == pytest.approx(1 / 3)
    assert seen.drifted == ("humid",)


def test_a_column_that_lost_all_values_has_drifted(stores: Stores) -> None:
    seen = compare(stores, trips(fare=pa.nulls(600, pa.float64())))
    assert seen.structural_drifted == ("fare",)
    assert "fare" not in seen.scores
    assert seen.scores["fare nulls"] == 1


def test_scores_are_numbers_that_json_can_hold(stores: Stores) -> None:
    seen = compare(stores, trips(fare=np.full(600, 30.0), carrier=pa.nulls(600, pa.string())))
    assert json.loads(json.dumps(seen.scores, allow_nan=False)) == seen.scores


def test_a_sample_is_drawn_the_same_each_time(stores: Stores) -> None:
    small = project(drift={"sample": 500})
    first = compare(stores, trips(rows=3_000, seed=3), small)
    assert first.scores == compare(stores, trips(rows=3_000, seed=3), small).scores
    assert first.scores != compare(stores, trips(rows=3_000, seed=3), project(drift={"sample": 500}, search={"seed": 1})).scores


def test_an_identical_period_larger_than_the_sample_has_not_drifted(stores: Stores) -> None:
    rows = trips(rows=3_000)
    seen = drift.compare(stores, project(drift={"sample": 500}), "2013-02", rows, rows, "2013-01")
    assert max(seen.scores.values()) == 0


def test_a_second_run_of_a_period_replaces_its_snapshot(stores: Stores) -> None:
    compare(stores, trips())
    compare(stores, renamed())
    compare(stores, trips(), period="2013-03")
    assert len(snapshots(stores)) == 2
    report = json.loads((stores.var / "reports/trips/2013-02/drift.json").read_text())
    assert next(m["value"] for m in report["metrics"] if m["config"].get("column") == "carrier") > 0.5


def test_evidently_reads_the_workspace_with_its_trends_and_the_years_own_dates(stores: Stores) -> None:
    from evidently.ui.workspace import Workspace

    compare(stores, trips(), period="2012-12")
    drift.quality(stores, TRIPS, "2012-12", outcomes([True, False] * 50, np.linspace(0, 1, 100)))
    workspace = Workspace(str(stores.var / "evidently"))
    [kept] = workspace.list_projects()
    runs = [workspace.get_run(kept.id, run) for run in workspace.list_runs(kept.id)]
    assert kept.name == "trips"
    assert {str(run.timestamp) for run in runs} == {"2012-12-31 23:59:59"}
    assert sorted(run.tags[0] for run in runs) == ["drift", "quality"]
    titles = {panel.title for panel in kept.dashboard.model().panels}
    assert {"ROC AUC", "Log loss", "Share of structural columns that drifted"} <= titles


def test_every_line_of_every_panel_has_a_point_per_period(stores: Stores) -> None:
    from evidently.ui.service.base import SeriesFilter
    from evidently.ui.service.storage.local.base import InMemoryDataStorage
    from evidently.ui.workspace import Workspace

    for period, threshold in (("2013-01", 0.4), ("2013-02", 0.6)):  # another threshold must not start another line
        compare(stores, trips(), period=period)
        score = np.linspace(0, 1, 100)
        landed = pa.table({"late": [True, False] * 50, "score": score, "decision": score >= threshold})
        drift.quality(stores, TRIPS, period, landed)
    folder = str(stores.var / "evidently")
    [kept] = Workspace(folder).list_projects()
    served = InMemoryDataStorage(folder)  # what `evidently ui` answers from
    for panel in kept.dashboard.model().panels:
        for line in panel.values:
            asked = SeriesFilter(tags=line.tags, metadata=line.metadata, metric=line.metric, metric_labels=line.metric_labels)
            [series] = asyncio.run(served.get_data_series(kept.id, [asked], None, None)).series
            assert len(series.values) == 2, f"{panel.title}: {line.legend}"
            assert None not in series.values


def test_panels_follow_the_config(stores: Stores) -> None:
    compare(stores, trips())
    compare(stores, trips(), project(structural=("minute",), seasonal=()))
    [dashboard] = (stores.var / "evidently").glob("*/dashboard.json")
    assert "minute" in dashboard.read_text()
    assert "humid" not in dashboard.read_text()


def test_a_crash_leaves_no_half_snapshot_and_the_next_run_mends_it(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    place = os.replace

    def die(source: Any, target: Any) -> None:
        if "snapshots" in str(target):
            raise KeyboardInterrupt
        place(source, target)

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        compare(stores, trips())
    assert snapshots(stores) == []
    monkeypatch.setattr(os, "replace", place)
    compare(stores, trips())
    assert len(snapshots(stores)) == 1


def test_the_page_is_written_for_alarms_and_on_demand_only(stores: Stores) -> None:
    assert compare(stores, trips()).page == ""
    assert compare(stores, trips(), page=True).page == "reports/trips/2013-02/drift.html"
    alarmed = compare(stores, renamed(), period="2013-03")
    assert alarmed.page == "reports/trips/2013-03/drift.html"
    assert (stores.var / alarmed.report).is_file()
    compare(stores, trips(), period="2013-03")
    assert not (stores.var / alarmed.page).exists()  # it showed other numbers


def test_the_page_opens_offline(stores: Stores) -> None:
    html = (stores.var / compare(stores, trips(), page=True).page).read_text()
    assert re.findall(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)\s*=\s*["']?(?:https?:)?//""", html) == []


def test_a_page_can_be_drawn_later_from_what_was_kept(stores: Stores) -> None:
    compare(stores, renamed())
    assert "carrier" in (stores.var / reports.write_page(stores, "trips", "2013-02", "drift")).read_text()
    with pytest.raises(UnknownName, match="2013-02"):
        reports.write_page(stores, "trips", "2013-20", "drift")


def test_a_project_that_starts_over_leaves_the_workspace_and_others_stay(stores: Stores) -> None:
    compare(stores, trips())
    compare(stores, trips(), TRIPS.model_copy(update={"project": "buses"}))
    reports.clear(stores, "trips")
    reports.clear(stores, "trips")
    assert len(snapshots(stores)) == 1


def test_a_project_that_declares_no_columns_watches_none(stores: Stores) -> None:
    seen = compare(stores, trips(), project(structural=(), seasonal=()))
    assert seen == Drift("2013-02", "2013-01", {}, (), (), 0.0)
    assert not (stores.var / "evidently").exists()


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        pytest.param({"structural": ("at",)}, "at is a timestamp", id="timestamp"),
        pytest.param(
            {"structural": tuple(f"x{i}" for i in range(21)), "columns": {f"x{i}": {"type": "float"} for i in range(21)}},
            "22 columns, at most 20",
            id="too many",
        ),
    ],
)
def test_columns_that_cannot_be_compared_are_refused_before_anything_runs(config: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        project(**config)


@pytest.mark.parametrize(
    ("current", "problem"),
    [
        pytest.param(trips(rows=0), "no rows", id="no rows"),
        pytest.param(trips().drop_columns(["fare"]), "no column fare", id="no column"),
    ],
)
def test_nothing_to_compare_is_not_no_drift(stores: Stores, current: pa.Table, problem: str) -> None:
    with pytest.raises(SourceBroken, match=problem):
        compare(stores, current)


def test_realized_quality_is_what_scikit_learn_says(stores: Stores) -> None:
    from sklearn.metrics import log_loss, precision_score, roc_auc_score

    rng = np.random.default_rng(0)
    late = rng.random(800) < 0.3
    score = np.clip(0.3 + 0.2 * late + rng.normal(0, 0.15, 800), 0.01, 0.99)
    path = drift.quality(stores, TRIPS, "2013-02", outcomes(late, score), page=True)
    found = {m["config"]["type"].rpartition(":")[2]: m["value"] for m in json.loads((stores.var / path).read_text())["metrics"]}
    assert found["RocAuc"] == pytest.approx(roc_auc_score(late, score))
    assert found["LogLoss"] == pytest.approx(log_loss(late, score))
    assert found["Precision"] == pytest.approx(precision_score(late, score >= 0.5))
    assert (stores.var / "reports/trips/2013-02/quality.html").is_file()


def test_outcomes_that_are_all_alike_give_no_quality_report(stores: Stores) -> None:
    assert drift.quality(stores, TRIPS, "2013-02", outcomes([False] * 10, np.linspace(0, 1, 10))) == ""
    assert snapshots(stores) == []


@pytest.mark.parametrize(
    ("period", "end"),
    [
        pytest.param("2013", "2013-12-31 23:59:59", id="year"),
        pytest.param("2012-02", "2012-02-29 23:59:59", id="month"),
        pytest.param("2013-12-31", "2013-12-31 23:59:59", id="day"),
        pytest.param("2013-12-31T23", "2013-12-31 23:59:59", id="hour"),
        pytest.param("2013-Q4", "2013-12-31 23:59:59", id="quarter"),
        pytest.param("2013-W01", "2013-01-06 23:59:59", id="week"),
        pytest.param("00000002", "2000-01-02 23:59:59", id="the second block"),
    ],
)
def test_a_period_ends_with_its_last_second(period: str, end: str) -> None:
    assert str(reports.period_end(TRIPS, period)) == end


@pytest.mark.parametrize("period", ["2013-13", "2013-02-30", "q1", "2013-1", "0000", "2012-W53", "2013-Q5", "12"])
def test_a_period_without_a_date_is_refused(period: str) -> None:
    with pytest.raises(SourceBroken, match="a period is named 2013, 2013-Q1, 2013-02"):
        reports.period_end(TRIPS, period)
