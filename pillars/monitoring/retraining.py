"""The retraining policy: what a period's drift and realized quality mean for the model. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pillars.config import Project
from pillars.vocabulary import Drift, Measure, Scorecard, Verdict


@dataclass(frozen=True)
class _Loss:
    """Realized loss held against what the champion is expected to lose (per row); `needed` is the increase that is a cause."""

    name: str
    realized: Measure
    expected: float
    source: str  # where `expected` comes from, in words
    needed: float

    @property
    def worse(self) -> bool:
        return self.realized.low > self.expected + self.needed

    def __str__(self) -> str:
        place = "lies above" if self.worse else "does not lie above"
        return f"{self.name} {self.realized} {place} {self.expected:.4f} ({self.source}) + {self.needed:.4f}"


def verdict(
    project: Project,
    period: str,
    index: int,
    history: Sequence[Scorecard],
    drift: Drift | None,
    quality: Scorecard | None,
    reference: Scorecard | None,
    periods_since_promotion: int | None,
    champion: int | None,
) -> Verdict:
    """Whether to train again after `period`, with every cause in words. Drift alone is none: it halves the increase in loss that is one.

    `index` counts the project's periods from 0; the schedule retrains at 0, `every`, 2 `every`, ... `quality` is the champion's realized
    scorecard; it is held against `reference`, its twin's scorecard at promotion, else against the mean of `history`, its earlier realized
    ones. Within `cooldown` periods after a promotion nothing retrains; alarms are raised all the same.
    """
    policy = project.monitoring.retraining
    moved = _drift_alarm(project, drift)
    loss = _loss(project, history, quality, reference, bool(moved) and policy.with_drift)
    alarms = tuple(f"{kind}: {text}" for kind, text in (("drift", moved), ("quality", str(loss) if loss and loss.worse else "")) if text)
    causes = []
    if policy.every is not None and index % policy.every == 0:
        causes.append("scheduled every period" if policy.every == 1 else f"scheduled every {policy.every} periods")
    if loss and loss.worse and policy.loss_increase is not None:
        causes.append(str(loss))
    if champion is None:
        retrain, reason = True, "no champion yet"
    elif causes and policy.cooldown and periods_since_promotion is not None and periods_since_promotion <= policy.cooldown:
        since = f"{periods_since_promotion} period{'' if periods_since_promotion == 1 else 's'} since the promotion"
        retrain, reason = False, f"cooldown of {policy.cooldown} holds, {since}; put off: {'; '.join(causes)}"
    else:
        retrain, reason = bool(causes), "; ".join(causes) or _quiet(policy.every, index, loss, moved)
    return Verdict(project.project, period, retrain, reason, champion, drift, quality, alarms)


def alarming(project: Project, drift: Drift) -> bool:
    """Whether so many structural columns drifted that somebody should look."""
    return bool(drift.structural_drifted) and drift.share >= project.monitoring.drift.alarm_share


def _drift_alarm(project: Project, drift: Drift | None) -> str:
    """The drift alarm in words; empty below the alarm's share of structural columns."""
    declared = project.monitoring.drift
    if drift is None or not alarming(project, drift):
        return ""
    counted = f"{len(drift.structural_drifted)} of {len(declared.structural)} structural columns"
    return f"{counted} lie {declared.threshold:g} or more from {drift.reference}: {', '.join(drift.structural_drifted)}"


def _loss(
    project: Project, history: Sequence[Scorecard], quality: Scorecard | None, reference: Scorecard | None, halved: bool
) -> _Loss | None:
    """The comparison, or None without a realized loss or anything to hold it against."""
    name = project.gate.loss
    earlier = [card.measures[name].value for card in history if name in card.measures]
    if quality is None or name not in quality.measures:
        return None
    if reference is not None and name in reference.measures:
        expected, source = reference.measures[name].value, f"twin on {reference.rows_of}"
    elif earlier:
        expected, source = sum(earlier) / len(earlier), f"mean of {len(earlier)} earlier"
    else:
        return None
    needed = project.monitoring.retraining.loss_increase or 0.0
    return _Loss(name, quality.measures[name], expected, source, needed / 2 if halved else needed)


def _quiet(every: int | None, index: int, loss: _Loss | None, moved: str) -> str:
    """Why nothing is to be done."""
    said = [
        f"next scheduled in {every - index % every}" if every else "never by schedule",
        str(loss) if loss else "no realized loss to compare",
    ]
    return "; ".join([*said, *(["drift alone does not retrain"] if moved else [])])
