"""Where an Evidently report goes: JSON always, an HTML page on demand, and the workspace that `evidently ui` draws trends from."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from pillars.config import Project, Task
from pillars.errors import SourceBroken, UnknownName
from pillars.periods import FORMS, last_second
from pillars.stores import Stores, write_atomically

Kind = Literal["drift", "quality"]
KINDS: tuple[Kind, ...] = ("drift", "quality")
Line = tuple[str, str, dict[str, str]]  # of a trend panel: legend, Evidently's metric, the labels that pick one of its values


@contextmanager
def quiet() -> Iterator[None]:
    """Import and run Evidently without its telemetry and its dependencies' deprecation notes."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", SyntaxWarning)  # Python 3.12 and later: Evidently, when it is compiled
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"(numpy|scipy|pandas)\.")  # constant columns: correlation 0/0
        yield


def keep(stores: Stores, project: Project, period: str, kind: Kind, snapshot: Any, page: bool) -> tuple[str, str]:
    """Write one period's Evidently snapshot: `reports/<project>/<period>/<kind>.json`, the HTML beside it if `page`, and the workspace.

    A second time for the same period replaces all three. Returns both paths relative to `var`; the page's is empty without one.
    """
    report = stores.folder("reports", project.project, period) / f"{kind}.json"
    report.with_suffix(".html").unlink(missing_ok=True)  # an earlier page must not stand beside other numbers
    write_atomically(report, snapshot.json().encode())
    _write_project(stores, project)
    _put(stores, project.project, _snapshot_file(stores, project.project, period, kind), snapshot.dumps().encode())
    return stores.relative(report), write_page(stores, project.project, period, kind) if page else ""


def write_page(stores: Stores, project: str, period: str, kind: Kind) -> str:
    """Draw a kept snapshot as one HTML file that opens offline (about 4 MB, script embedded); its path relative to `var`.

    Raises:
        UnknownName: nothing of this kind was kept for the period.
    """
    kept = _snapshot_file(stores, project, period, kind)
    if not kept.is_file():
        raise UnknownName(f"{kind} report", period, sorted(p.parent.name for p in stores.folder("reports", project).glob(f"*/{kind}.json")))
    with quiet():
        from evidently.core.report import Snapshot

        html = str(Snapshot.loads(kept.read_text()).get_html_str(as_iframe=False))
    path = stores.folder("reports", project, period) / f"{kind}.html"
    write_atomically(path, html.encode())
    return stores.relative(path)


def clear(stores: Stores, project: str) -> None:
    """Take a project out of the workspace: its history starts over."""
    if (folder := _folder(stores, project)).exists():
        shutil.rmtree(folder)


def period_end(project: Project, period: str) -> datetime:
    """The last second of a period: where a replayed year stands on the trend's time axis.

    Raises:
        SourceBroken: its name is no time and no number.
    """
    if (end := last_second(period)) is None:
        raise SourceBroken(project.source.name, period, f"a period is named {FORMS}")
    return end


def _project_id(project: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"five-pillars:{project}")  # a name, not a random number: two processes make the same project


def _folder(stores: Stores, project: str) -> Path:
    return stores.folder("evidently") / str(_project_id(project))


def _snapshot_file(stores: Stores, project: str, period: str, kind: Kind) -> Path:
    return _folder(stores, project) / "snapshots" / f"{uuid5(_project_id(project), f'{period}:{kind}')}.json"


def _put(stores: Stores, project: str, path: Path, content: bytes) -> None:
    """Place a file in the workspace, drafted outside of it: a running UI watches for files that appear, and must never read half of one."""
    write_atomically(path, content, drafts=stores.folder("reports", project))


def _write_project(stores: Stores, project: Project) -> None:
    """Make the workspace's project with its trend panels, or bring the panels up to date with the config."""
    with quiet():
        from evidently.legacy.utils import NumpyEncoder
        from evidently.sdk.models import DashboardModel, DashboardTabModel, ProjectModel

    owner = _project_id(project.project)
    panels = [panel for tab in _panels(project).values() for panel in tab]
    tabs = [
        DashboardTabModel(id=uuid5(owner, f"tab:{title}"), title=title, panels=[panel.id for panel in tab])
        for title, tab in _panels(project).items()
    ]
    files = {
        "dashboard.json": DashboardModel(tabs=tabs, panels=panels).dict(),
        "metadata.json": ProjectModel(id=owner, name=project.project, description=project.description).dict(),
    }
    for name, content in files.items():
        path, text = _folder(stores, project.project) / name, json.dumps(content, cls=NumpyEncoder, indent=1).encode()
        if not path.is_file() or path.read_bytes() != text:
            _put(stores, project.project, path, text)


def _panels(project: Project) -> dict[str, list[Any]]:
    """Trend panels by tab: what moved, and what it cost."""
    drift = project.monitoring.drift
    means: list[Line] = [("predicted", "MeanValue", {"column": "score"}), ("realized", "MeanValue", {"column": project.target})]
    of_task: dict[Task, dict[str, list[Line]]] = {
        "binary": {
            "ROC AUC": [("AUC", "RocAuc", {})],
            "Log loss": [("log loss", "LogLoss", {})],
            f"{project.target}: predicted and realized": means,
            "Decisions": [("precision", "Precision", {}), ("recall", "Recall", {})],
        },
        "multiclass": {
            "Accuracy": [("accuracy", "Accuracy", {})],
            "Mean over the classes": [("F1", "F1Score", {}), ("precision", "Precision", {}), ("recall", "Recall", {})],
        },
        "regression": {
            "Errors": [("RMSE", "RMSE", {}), ("mean absolute error", "MAE", {"value_type": "mean"})],
            "R²": [("R²", "R2Score", {})],
            f"{project.target}: predicted and realized": means,
        },
    }
    moved: dict[str, list[Line]] = {
        "Share of structural columns that drifted": [("share", "DriftedColumnsCount", {"value_type": "share"})] if drift.structural else [],
        "Drift score, structural columns": [(c, "ValueDrift", {"column": c}) for c in drift.structural],
        "Drift score, seasonal columns (reported only)": [(c, "ValueDrift", {"column": c}) for c in drift.seasonal],
        "Share of nulls": [(c, "MissingValueCount", {"column": c, "value_type": "share"}) for c in (*drift.structural, *drift.seasonal)],
    }
    return {
        tab: [_panel(project.project, title, lines) for title, lines in panels.items() if lines]
        for tab, panels in {"Quality": of_task[project.task], "Drift": moved}.items()
    }


def _panel(project: str, title: str, lines: list[Line]) -> Any:
    from evidently.sdk.models import DashboardPanelPlot, PanelMetric

    values = [PanelMetric(legend=legend, metric=metric, metric_labels=labels) for legend, metric, labels in lines]
    named = uuid5(_project_id(project), f"panel:{title}")
    return DashboardPanelPlot(id=named, title=title, subtitle="", size="half", values=values, plot_params={"plot_type": "line"})
