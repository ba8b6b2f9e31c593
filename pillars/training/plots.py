"""Pictures of a retraining as PNG bytes. Figures are objects of their own: nothing global, so tasks may draw at once."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from pillars.bundle.bundle import Bundle
from pillars.vocabulary import Judged, Tried, Tuned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = {"challenger": "#1f6feb", "champion": "#d97706"}
COLORS |= {"logistic": "#6b7280", "linear": "#6b7280", "majority": "#d1d5db", "mean": "#d1d5db", "histgb": "#059669", "lightgbm": "#7c3aed"}
RELIABILITY_BINS = 10
MOST_BARS = 20


def draw(predictions: BinaryIO | Path, tuned: Tuned, judged: Judged, bundle: Bundle) -> dict[str, bytes]:
    """The pictures of one retraining by name: importance, search, and how well it says what came; that depends on the kind of target.

    `predictions` is the file of `judged`.
    """
    said = outcomes(predictions, judged.period, bundle.task, bundle.classes)
    return said | {"importance": importance(bundle.gains()), "search": search_history(tuned.leaderboard)}


def outcomes(predictions: BinaryIO | Path, rows_of: str, task: str, classes: Sequence[str]) -> dict[str, bytes]:
    """How well each side of a file of judged predictions says what came, by name of the picture."""
    import pyarrow.parquet as pq

    table = pq.read_table(predictions)
    y = table.column("outcome").to_numpy()
    names = [name.removeprefix("score_") for name in table.column_names if name.startswith("score_")]
    sides = {name: np.array(table.column(f"score_{name}").to_pylist(), dtype=np.float64) for name in names}
    match task:
        case "multiclass":
            return {"confusion": confusion(y, sides["challenger"], classes, rows_of)}
        case "regression":
            return {"realized": realized(y, sides, rows_of), "errors": errors(y, sides, rows_of)}
        case _:
            return {"reliability": reliability(y, sides, rows_of), "roc_pr": roc_pr(y, sides, rows_of)}


def reliability(y: np.ndarray, sides: Mapping[str, np.ndarray], rows_of: str) -> bytes:
    """Outcome rate over mean probability, in bins of equal size. y: 0 or 1, each side: probabilities, all of shape (n,)."""
    figure, (axes,) = _figure(1, 5.5, 5)
    axes.plot([0, 1], [0, 1], color="#9ca3af", linewidth=1, linestyle=":")
    for name, p in sides.items():
        parts = np.array_split(np.argsort(p, kind="stable"), RELIABILITY_BINS)
        held = [part for part in parts if len(part)]
        axes.plot(
            [p[part].mean() for part in held], [y[part].mean() for part in held], marker="o", markersize=3, label=name, color=COLORS[name]
        )
    return _png(figure, axes, f"Reliability on {rows_of}", "mean probability", "outcome rate")


def roc_pr(y: np.ndarray, sides: Mapping[str, np.ndarray], rows_of: str) -> bytes:
    """ROC and precision-recall curves, side by side."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    figure, (left, right) = _figure(2, 10, 4.5)
    if 0 < y.sum() < len(y):
        for name, p in sides.items():
            fpr, tpr, _ = roc_curve(y, p)
            precision, recall, _ = precision_recall_curve(y, p)
            left.plot(fpr, tpr, label=name, color=COLORS[name])
            right.plot(recall, precision, label=name, color=COLORS[name])
    _png(figure, left, f"ROC on {rows_of}", "false positive rate", "true positive rate")
    return _png(figure, right, f"Precision and recall on {rows_of}", "recall", "precision")


def confusion(y: np.ndarray, p: np.ndarray, classes: Sequence[str], rows_of: str) -> bytes:
    """Share of each class's rows by the class that was most probable. y: places of the classes (n,), p: (n, classes)."""
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (y.astype(np.int64), p.argmax(axis=1)), 1)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (axes,) = _figure(1, 2.5 + 0.5 * len(classes), 2 + 0.5 * len(classes))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(share):
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color="white" if value > 0.5 else "#374151")
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    return _png(figure, axes, f"Classes on {rows_of}", "most probable", "came true", grid=False)


def realized(y: np.ndarray, sides: Mapping[str, np.ndarray], rows_of: str) -> bytes:
    """Mean outcome over mean score, in bins of equal size: a reliability plot of numbers. y and each side: (n,)."""
    figure, (axes,) = _figure(1, 5.5, 5)
    for name, p in sides.items():
        if not np.ptp(p):
            continue  # one number for all rows has no bins
        held = [part for part in np.array_split(np.argsort(p, kind="stable"), RELIABILITY_BINS) if len(part)]
        axes.plot(
            [p[part].mean() for part in held], [y[part].mean() for part in held], marker="o", markersize=3, label=name, color=COLORS[name]
        )
    axes.axline((float(y.mean()), float(y.mean())), slope=1, color="#9ca3af", linewidth=1, linestyle=":")
    return _png(figure, axes, f"Said and realized on {rows_of}", "mean score", "mean outcome")


def errors(y: np.ndarray, sides: Mapping[str, np.ndarray], rows_of: str) -> bytes:
    """Share of rows whose absolute error is at most so large. y and each side: (n,)."""
    figure, (axes,) = _figure(1, 5.5, 5)
    for name, p in sides.items():
        off = np.sort(np.abs(p - y))
        axes.plot(off, np.arange(1, len(off) + 1) / len(off), label=name, color=COLORS[name])
    axes.set_xlim(0, float(np.quantile(np.abs(sides["challenger"] - y), 0.99)) * 1.5 or None)
    return _png(figure, axes, f"Absolute errors on {rows_of}", "error at most", "share of rows")


def importance(gains: Mapping[str, float]) -> bytes:
    """The columns with the largest shares of the total gain."""
    largest = sorted(gains.items(), key=lambda pair: pair[1])[-MOST_BARS:]
    figure, (axes,) = _figure(1, 6.5, 5.5)
    axes.barh([name for name, _ in largest], [share for _, share in largest], color=COLORS["challenger"])
    return _png(figure, axes, "Share of total gain", "share", "")


def search_history(leaderboard: Sequence[Tried]) -> bytes:
    """Losses of the trials in their order, and of the candidates at full fidelity as lines."""
    trials = sorted((tried for tried in leaderboard if not tried.full), key=lambda tried: int(tried.recipe.name.split()[-1]))
    figure, (axes,) = _figure(1, 6.5, 4.5)
    if trials:
        losses = [tried.loss for tried in trials]
        axes.scatter(range(len(losses)), losses, s=18, color="#6b7280", label="trials (sample)")
        axes.plot(np.minimum.accumulate(losses), color="#6b7280", linewidth=1)
    for place, tried in enumerate(tried for tried in leaderboard if tried.full):
        axes.axhline(
            tried.loss, linewidth=1, linestyle="--", color=list(COLORS.values())[place % 3], label=f"{tried.recipe.name} (all rows)"
        )
    return _png(figure, axes, "Search", "trial", "validation loss")


def _figure(panels: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, panels, place + 1) for place in range(panels)]


def _png(figure: Figure, axes: Axes, title: str, x: str, y: str, grid: bool = True) -> bytes:
    axes.set(title=title, xlabel=x, ylabel=y)
    if grid:
        axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=8)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})  # equal pictures are equal bytes
    return drawn.getvalue()
