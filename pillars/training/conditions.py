"""What a challenger must hold beside its gate: limits of its measures on the judged rows, of its slices and groups, an own policy."""

from __future__ import annotations

from collections.abc import Iterator

from pillars.config import Limit, Project
from pillars.training import own
from pillars.vocabulary import Condition, Decision, Measure, Scorecard


def conditions(project: Project, challenger: Scorecard) -> tuple[Condition, ...]:
    """Everything that the YAML asks of a challenger, answered from its scorecard."""
    return tuple(_limits(project, challenger))


def policy(project: Project, scorecards: tuple[Scorecard, ...]) -> tuple[Condition, ...]:
    """What the project's own policy says, where it has one.

    Raises:
        ConfigInvalid: see `own.policy`.
    """
    return (Condition("policy", own.policy(project, scorecards)),) if project.gate.policy else ()


def _limits(project: Project, challenger: Scorecard) -> Iterator[Condition]:
    for name, limit in project.gate.limits.items():
        measure = challenger.measures.get(name)
        yield Condition(name, within(limit, measure) if measure else Decision.inconclusive(f"{challenger.rows_of} gives no {name}"))


def within(limit: Limit, measure: Measure) -> Decision:
    """Accept where the whole interval holds the limit, refuse where none of it does."""
    least, most = limit.least if limit.least is not None else -float("inf"), limit.most if limit.most is not None else float("inf")
    said = " and ".join([f"at least {least:g}"] * (limit.least is not None) + [f"at most {most:g}"] * (limit.most is not None))
    reason = f"{measure}, asked for: {said or 'nothing'}"
    if least <= measure.low and measure.high <= most:
        return Decision.accept(reason)
    return Decision.refuse(reason) if measure.high < least or measure.low > most else Decision.inconclusive(reason)
