"""What every candidate's scores must do, as the YAML says: stay when a column changes, move one way, hold on given rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pillars.bundle.bundle import Bundle
from pillars.config import Behaviour, Project
from pillars.training.rows import Rows
from pillars.vocabulary import Condition, Decision

ROWS = 2_000  # spread evenly over the newest period
TOLD = 6  # columns of the example
ROUNDING = 1e-6  # scores are sums of float32


def behaved(project: Project, bundle: Bundle, newest: Rows) -> tuple[Condition, ...]:
    """Each declared behaviour of the bundle that may be released, tried on rows of the newest period."""
    places = np.unique(np.linspace(0, len(newest.y) - 1, min(ROWS, len(newest.y))).astype(np.int64))
    columns = {name: column[places] for name, column in newest.columns.items()}
    return tuple(Condition(f"behaviour {one.name}", _tried(project, bundle, columns, one)) for one in project.behaviour)


def _tried(project: Project, bundle: Bundle, columns: Mapping[str, np.ndarray], one: Behaviour) -> Decision:
    if one.kind == "minimum":
        columns = _given(project, one)
    before = _scores(bundle, columns, one)
    if one.kind == "minimum":
        least, most = (one.above if one.above is not None else -np.inf), (one.below if one.below is not None else np.inf)
        off, after, asked = (before <= least) | (before >= most), before, f"a score {_bounds(one)}"
    elif one.kind == "direction":
        after = _scores(bundle, {**columns, str(one.column): columns[str(one.column)] + float(one.add or 0)}, one)
        wrong = before - after if one.score == "up" else after - before
        off, asked = (
            wrong > one.most + ROUNDING,
            f"{one.column} + {one.add:g} never moves the score {_other(one)} by more than {one.most:g}",
        )
    else:
        tried = [_scores(bundle, changed, one) for changed in _changes(columns, one)]
        furthest = np.abs(np.stack(tried) - before)
        after = np.stack(tried)[furthest.argmax(axis=0), np.arange(len(before))]
        off, asked = furthest.max(axis=0) > one.most + ROUNDING, f"{one.column} changes the score by {one.most:g} at most"
    share = float(off.mean())
    reason = f"{asked}: {int(off.sum())} of {len(off)} rows fail ({share:.2%}), {one.share:.2%} may"
    if off.any():
        place = int(np.where(off, np.abs(after - before), -1).argmax())  # the furthest
        reason += f"; one: {_told(project, columns, one, place, before, after)}"
    return Decision.by(share <= one.share, reason)


def _given(project: Project, one: Behaviour) -> dict[str, np.ndarray]:
    numbers = {name: np.array([_number(row.get(name)) for row in one.rows]) for name in project.features.numeric}
    words = {}
    for name in project.features.categorical:
        words[name] = np.array([*(_word(row.get(name)) for row in one.rows), None], dtype=object)[:-1]
    return numbers | words


def _changes(columns: Mapping[str, np.ndarray], one: Behaviour) -> list[dict[str, np.ndarray]]:
    column = columns[str(one.column)]
    if one.add is not None:
        return [{**columns, str(one.column): column + one.add}]
    if column.dtype.kind == "O":
        return [{**columns, str(one.column): np.array([_word(value)] * len(column), dtype=object)} for value in one.to]
    return [{**columns, str(one.column): np.full(len(column), _number(value))} for value in one.to]


def _scores(bundle: Bundle, columns: Mapping[str, np.ndarray], one: Behaviour) -> np.ndarray:
    scores = bundle.scores(columns)
    return scores if one.of is None else scores[:, bundle.classes.index(one.of)]


def _told(project: Project, columns: Mapping[str, np.ndarray], one: Behaviour, place: int, before: np.ndarray, after: np.ndarray) -> str:
    """An example row in a line, less what must not be shown: the changed column first."""
    names = sorted((n for n in columns if n not in project.confidential), key=lambda n: n != one.column)
    if one.kind == "minimum":
        names = [n for n in names if n in one.rows[place]]
    row = ", ".join(f"{name} = {_shown(columns[name][place])}" for name in names[:TOLD])
    return f"{row or 'a row of columns that are not shown'}; score {before[place]:.4f}" + (
        "" if one.kind == "minimum" else f", then {after[place]:.4f}"
    )


def _number(value: object) -> float:
    return float("nan") if value is None else float(str(value)) if not isinstance(value, bool) else float(value)


def _word(value: object) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _bounds(one: Behaviour) -> str:
    return " and ".join(f"{word} {bound:g}" for word, bound in (("above", one.above), ("below", one.below)) if bound is not None)


def _other(one: Behaviour) -> str:
    return "down" if one.score == "up" else "up"
