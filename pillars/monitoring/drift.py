"""The Evidently door: how far one period's columns lie from a reference, and how good its predictions turned out to be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.errors import SourceBroken
from pillars.monitoring import reports
from pillars.monitoring.retraining import alarming
from pillars.stores import Stores
from pillars.vocabulary import Drift

DIGITS = 9  # Evidently sums over categories in the order of a set: from process to process the last digits differ
METHOD = {
    "numerical": "wasserstein",
    "categorical": "jensenshannon",
}  # effect sizes: Evidently's chisquare alarms on 39 to 85 % of equal samples


def compare(
    stores: Stores, project: Project, period: str, reference: pa.Table, current: pa.Table, reference_name: str, page: bool = False
) -> Drift:
    """Hold a period's columns against the reference's.

    Scores: normed Wasserstein distance for numbers (in the reference's standard deviations), Jensen-Shannon distance for categories
    (0 to 0.83), and as `<column> nulls` the change in the share of nulls (0 to 1), which neither distance sees.

    Both tables need the declared columns; at most `sample` rows of each are compared, drawn by the search seed. The JSON report and the
    workspace's snapshot are always written, the HTML page when `page` or when the share of drifted structural columns is an alarm.

    Raises:
        SourceBroken: a table has no rows, or lacks a declared column.
    """
    declared = project.monitoring.drift
    kinds = _kinds(project)
    if not kinds:
        return Drift(period, reference_name, {}, (), (), 0.0)
    before, now = (_sampled(project, period, table, list(kinds)) for table in (reference, current))
    nulls = {c: (_null_share(before[c]), _null_share(now[c])) for c in kinds}
    filled = [c for c in kinds if max(nulls[c]) < 1]  # a column without values on one side has a distance to nothing: its nulls tell
    snapshot = _run(project, period, {c: kinds[c] for c in filled}, before, now, reference_name)
    values = [m for m in snapshot.dict()["metrics"] if m["config"]["type"].endswith(":ValueDrift")]
    distances = {m["config"]["column"]: round(float(m["value"]), DIGITS) for m in values}
    scores = {c: distances[c] for c in filled} | {f"{c} nulls": abs(now - before) for c, (before, now) in nulls.items()}
    drifted = tuple(c for c in kinds if max(scores.get(c, 0.0), scores[f"{c} nulls"]) >= declared.threshold)
    structural = tuple(c for c in drifted if c in declared.structural)
    share = len(structural) / len(declared.structural) if declared.structural else 0.0
    seen = Drift(period, reference_name, scores, drifted, structural, share)
    report, html = reports.keep(stores, project, period, "drift", snapshot, page or alarming(project, seen))
    return replace(seen, report=report, page=html)


def compared(project: Project) -> tuple[str, ...]:
    """The columns that `compare` looks at."""
    return (*project.monitoring.drift.structural, *project.monitoring.drift.seasonal)


def quality(stores: Stores, project: Project, period: str, joined: pa.Table, page: bool = False) -> str:
    """Realized quality of a period as an Evidently report, once its outcomes are known; the JSON's path relative to `var`.

    `joined` is what `performance.joined` gives: what was predicted, and the target without nulls.
    Empty when the target has a single value: no ranking can be judged then.
    """
    if len(pc.unique(joined[project.target])) < 2:
        return ""
    run = {"binary": _of_flags, "multiclass": _of_classes, "regression": _of_numbers}[project.task]
    with reports.quiet():
        snapshot = run(project, period, joined)
    return reports.keep(stores, project, period, "quality", snapshot, page)[0]


def _of_flags(project: Project, period: str, joined: pa.Table) -> Any:
    target = pc.cast(joined[project.target], pa.int64())
    table = pa.table({project.target: target, "score": joined["score"], "decision": pc.cast(joined["decision"], pa.int64())})
    from evidently import BinaryClassification, DataDefinition
    from evidently.metrics import Accuracy, F1Score, LogLoss, MeanValue, Precision, Recall, RocAuc

    # two tasks: a threshold among a metric's parameters would start a new trend line with every model
    tasks = [
        BinaryClassification(name="score", target=project.target, prediction_probas="score", pos_label=1),
        BinaryClassification(name="decision", target=project.target, prediction_labels="decision", pos_label=1),
    ]
    definition = DataDefinition(numerical_columns=["score", project.target, "decision"], classification=tasks)
    ranked = [RocAuc(classification_name="score"), LogLoss(classification_name="score")]
    acted = [metric(classification_name="decision") for metric in (Precision, Recall, F1Score, Accuracy)]
    means = [MeanValue(column=project.target), MeanValue(column="score")]
    return _judged(project, period, table, definition, [*ranked, *acted, *means])


def _of_classes(project: Project, period: str, joined: pa.Table) -> Any:
    from evidently import DataDefinition, MulticlassClassification
    from evidently.metrics import Accuracy, F1Score, Precision, Recall

    table = joined.select([project.target, "decision"])
    task = MulticlassClassification(name="decision", target=project.target, prediction_labels="decision")
    definition = DataDefinition(categorical_columns=[project.target, "decision"], classification=[task])
    metrics = [metric(classification_name="decision") for metric in (Accuracy, F1Score, Precision, Recall)]
    return _judged(project, period, table, definition, metrics)


def _of_numbers(project: Project, period: str, joined: pa.Table) -> Any:
    from evidently import DataDefinition, Regression
    from evidently.metrics import MAE, RMSE, MeanError, MeanValue, R2Score

    table = pa.table({project.target: pc.cast(joined[project.target], pa.float64()), "score": joined["score"]})
    task = Regression(name="score", target=project.target, prediction="score")
    definition = DataDefinition(numerical_columns=["score", project.target], regression=[task])
    errors = [metric(regression_name="score") for metric in (MAE, RMSE, R2Score, MeanError)]
    return _judged(project, period, table, definition, [*errors, MeanValue(column=project.target), MeanValue(column="score")])


def _judged(project: Project, period: str, table: pa.Table, definition: Any, metrics: list[Any]) -> Any:
    from evidently import Dataset, Report

    return Report(metrics, tags=["quality"], metadata={"period": period, "rows": str(table.num_rows)}).run(
        Dataset.from_pandas(table.to_pandas(), data_definition=definition),
        timestamp=reports.period_end(project, period),
        name=f"quality {period}",
    )


def _run(project: Project, period: str, kinds: dict[str, str], reference: pa.Table, current: pa.Table, reference_name: str) -> Any:
    """Evidently's snapshot over the columns in `kinds` (column to numerical or categorical), nulls and row count beside."""
    threshold, structural = project.monitoring.drift.threshold, [c for c in project.monitoring.drift.structural if c in kinds]
    with reports.quiet():
        from evidently import Report
        from evidently.metrics import DriftedColumnsCount, MissingValueCount, RowCount, ValueDrift

        counted = [
            DriftedColumnsCount(columns=structural, cat_method=METHOD["categorical"], num_method=METHOD["numerical"], threshold=threshold)
        ]
        metrics = [
            *(counted if structural else []),
            *(ValueDrift(column=c, method=METHOD[kind], threshold=threshold) for c, kind in kinds.items()),
            *(MissingValueCount(column=c) for c in reference.column_names),
            RowCount(),
        ]
        report = Report(metrics, tags=["drift"], metadata={"period": period, "reference": reference_name})
        return report.run(
            _dataset(current, kinds), _dataset(reference, kinds), timestamp=reports.period_end(project, period), name=f"drift {period}"
        )


def _dataset(table: pa.Table, kinds: dict[str, str]) -> Any:
    from evidently import DataDefinition, Dataset

    by_kind = {f"{kind}_columns": [c for c, k in kinds.items() if k == kind] for kind in METHOD}
    by_kind["categorical_columns"] += [c for c in table.column_names if c not in kinds]  # without values: only their nulls are counted
    return Dataset.from_pandas(table.to_pandas(), data_definition=DataDefinition(**by_kind))


def _kinds(project: Project) -> dict[str, str]:
    """The declared columns as Evidently sorts them: numerical or categorical."""
    return {c: "numerical" if project.columns[c].type in ("float", "int") else "categorical" for c in compared(project)}


def _sampled(project: Project, period: str, table: pa.Table, columns: list[str]) -> pa.Table:
    """The compared columns of at most `sample` rows; numbers as float64, categories as text."""
    missing = [c for c in columns if c not in table.column_names]
    if missing or not table.num_rows:
        problem = f"drift has no column {', '.join(missing)}" if missing else "drift has no rows to compare"
        raise SourceBroken(project.source.name, period, problem)
    size, table = project.monitoring.drift.sample, table.select(columns)
    if table.num_rows > size:
        table = table.take(np.sort(np.random.default_rng(project.search.seed).choice(table.num_rows, size, replace=False)))
    numeric = {c: project.columns[c].type in ("float", "int") for c in columns}
    return pa.table({c: pc.cast(table[c], pa.float64() if numeric[c] else pa.string()) for c in columns})


def _null_share(column: pa.ChunkedArray) -> float:
    return float(pc.mean(pc.cast(pc.is_null(column, nan_is_null=True), pa.float64())).as_py())
