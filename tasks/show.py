"""What the Prefect UI shows of a step: one artifact each, made from the values on record."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from pillars.data.auditing import Audit
from pillars.drill.faults import false_alarms, problems
from pillars.vocabulary import (
    Attribution,
    Backtest,
    Candidate,
    Decision,
    Drilled,
    Experiment,
    GateNoise,
    Leakage,
    Measure,
    Reproduction,
    Rollout,
    Scorecard,
    Scored,
    Tuned,
    Validation,
    Verdict,
)

if TYPE_CHECKING:
    from tasks.retention import Retained

PICTURES = ("reliability", "confusion", "realized", "slices", "groups", "reliance", "dependence")  # of all that MLflow has
SAID = {"accept": "accepted", "refuse": "refused", "inconclusive": "inconclusive"}


def validation(checked: Validation) -> None:
    """Table of all checks, with the decision above it."""
    rows = [
        {
            "result": c.status.replace("_", " "),
            "check": c.expectation.removeprefix("expect_"),
            "column": c.column,
            "severity": "quarantine" if c.quarantine else c.severity,
            "unexpected": f"{c.unexpected} ({c.unexpected_share:.2%})",
            "observed": c.observed or c.detail,
        }
        for c in sorted(checked.checks, key=lambda c: c.status == "passed")
    ]
    counts = f"Rows {checked.rows}, quarantined {checked.quarantined}, repaired {checked.repaired}."
    head = f"{SAID[checked.decision.outcome]}: {checked.decision.reason}. {counts} Page: `var/{checked.page}`"
    create_table_artifact(rows, key=_key("validation", checked.project), description=head)


def drill(drilled: Drilled) -> None:
    """A line per play, and what did not hold."""
    rows = [
        {
            "strategy": each.strategy,
            "fault": each.fault,
            "end": each.end or each.expected.outcome,
            "seconds": "" if each.seconds is None else f"{each.seconds:.1f}",
            "harmed": f"{each.harmed} of {each.requests}",
            "seen": each.injected or each.expected.why,
            "noticed by": each.detected,
            "does not hold": "; ".join(problems(each)),
        }
        for each in drilled.plays
    ]
    alarms, clean = false_alarms(drilled.plays)
    head = f"v{drilled.version}: {alarms} of {clean} clean runs were taken back. Nothing of the project was changed."
    create_table_artifact(rows, key=_key("drill", drilled.project), description=head)


def audit(found: Audit) -> None:
    """A line per period, and what was wrong with the copies."""
    rows = [
        {
            "period": each.period,
            "today": SAID[each.decision.outcome],
            "rows": each.rows,
            "would be set aside": each.quarantined,
            "reason": each.decision.reason,
            "page": f"var/{each.page}",
        }
        for each in found.periods
    ]
    create_table_artifact(rows, key=_key("audit", found.project), description=f"Data version {found.said}")


def retained(found: Retained) -> Retained:
    """What goes, by kind, and what is held back."""
    plan, would = found.plan, "" if found.row else "would be "
    rows = [
        {"what": "what came in", "periods": ", ".join(plan.collected), "then": f"{len(plan.files)} files {would}deleted"},
        {"what": "rows of the data set", "periods": ", ".join(plan.rows), "then": f"{len(plan.objects)} files {would}deleted"},
        *(
            [{"what": "requests", "periods": f"before {plan.requests_before}", "then": f"{len(plan.requests)} files {would}deleted"}]
            if plan.requests
            else []
        ),
        *({"what": f"held for {one.version[:12]}", "periods": ", ".join(one.periods), "then": one.why} for one in plan.held),
    ]
    head = (
        "Older than its time"
        + (f", counted from {plan.newest}" if plan.newest else "")
        + (f"; ledger row {found.row}." if found.row else ". Nothing was changed.")
    )
    create_table_artifact(rows, key=_key("retention", plan.project), description=head)
    return found


def reproductions(project: str, found: Sequence[Reproduction]) -> None:
    """A line per version that was made again."""
    rows = [
        {
            "version": f"v{one.version}",
            "verdict": one.verdict,
            "reason": one.reason,
            "recorded": one.recorded[:12],
            "made": one.made[:12],
            "not as recorded": "; ".join(map(str, one.factors)),
            "notes": "; ".join(one.notes),
        }
        for one in found
    ]
    same = sum(one.verdict == "IDENTICAL" for one in found)
    create_table_artifact(rows, key=_key("reproduction", project), description=f"{same} of {len(rows)} versions are the same bytes again.")


def leakage(found: Leakage) -> Leakage:
    """Columns that tell the outcome: nothing was trained."""
    lines = [f"# Nothing trained in {found.period}: {found.decision.reason}", *(f"- `{one.column}`: {one.said}" for one in found.leaks)]
    create_markdown_artifact("\n".join(lines), key=_key("leakage", found.project))
    return found


def attribution(found: Attribution) -> None:
    """A line per factor in which two versions differ."""
    one, other = f"v{found.one}", f"v{found.other}"
    rows = [
        {
            "factor": each.factor,
            one: each.one,
            other: each.other,
            f"{one} takes {other}'s": str(each.forward),
            f"{other} without it": str(each.backward),
            f"{other}'s is": each.said,
        }
        for each in found.factors
    ]
    rest = f"Interaction {found.interaction_forward} from {one}, {found.interaction_backward} from {other}."
    head = (
        f"{found.loss} gain of {other} over {one}: {found.total} on {found.rows} rows of {found.judged_on}. {rest} {'; '.join(found.notes)}"
    )
    create_table_artifact(rows, key=_key("attribution", found.project), description=head)


def leaderboard(tuned: Tuned) -> None:
    """Recipes by validation loss."""
    rows = [
        {
            "recipe": tried.recipe.name,
            "loss": f"{tried.loss:.6g}",
            "rounds": tried.recipe.rounds,
            "fitted on": "all rows" if tried.full else "sample",
            "seconds": f"{tried.seconds:.1f}",
            "parameters": ", ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in tried.recipe.said.items()),
        }
        for tried in tuned.leaderboard
    ]
    create_table_artifact(rows, key=_key("leaderboard", tuned.project), description=tuned.verdict)


def candidate(made: Candidate) -> None:
    """Both decisions and the scorecards behind them."""
    lines = [
        f"# Candidate of {made.period}",
        f"- recipe {SAID[made.recipe_decision.outcome]}: {made.recipe_decision.reason}",
        f"- refresh {SAID[made.refresh_decision.outcome]}: {made.refresh_decision.reason}",
        *(f"- {one.name} {SAID[one.decision.outcome]}: {one.decision.reason}" for one in made.conditions),
        f"- recipe `{made.recipe.name}`, fitted through {made.fitted_through}, data `{made.data_version}`",
        f"- boosters `{made.sha256[:16]}`, MLflow run `{made.run_id}`",
        "",
        *scorecards(made.scorecards),
        *_slices(made),
        *_groups(made),
        *_reliance(made),
        *backtest(made.backtest),
        "",
        "The scorecards belong to the twin that did not see these rows; the released boosters are refitted through them.",
    ]
    create_markdown_artifact("\n".join(lines), key=_key("candidate", made.project))


def pictures(project: str, period: str, drawn: Mapping[str, bytes]) -> None:
    """The pictures of a retraining on one page, in it: the UI asks no other server for them."""
    lines = [f"# Pictures of {period}"]
    for name in (each for each in PICTURES if each in drawn):
        lines += ["", f"![{name}](data:image/png;base64,{base64.b64encode(drawn[name]).decode()})"]
    create_markdown_artifact("\n".join(lines), key=_key("pictures", project))


def experiment(found: Experiment) -> None:
    """What was changed, and what it gained."""
    lines = [
        f"# Experiment on {found.period}",
        *(f"- `{change.key}`: `{change.was}` -> `{change.now}`" for change in found.changes),
        "",
        *(f"- against {gain.against}: {gain.said}" for gain in found.gains),
        *(f"- {one.name} {SAID[one.decision.outcome]}: {one.decision.reason}" for one in found.conditions),
        f"- {found.verdict}",
        f"- data `{found.data_version}`, MLflow run `{found.run_id}`",
        "",
        *scorecards(found.scorecards),
        "",
        "Nothing was released.",
    ]
    create_markdown_artifact("\n".join(lines), key=_key("experiment", found.project))


def decision(what: str, made: Candidate, taken: Decision) -> None:
    """One decision with its reason."""
    head = f"# {what} of {made.period}: {SAID[taken.outcome]}\n{taken.reason}"
    text = f"{head}\n\nRecipe: {made.recipe_decision.outcome}, {made.recipe_decision.reason}"
    create_markdown_artifact(text, key=_key(what, made.project))


def gate(found: GateNoise) -> None:
    """Rates of false promotions, then the power, each with its interval over models."""

    def line(what: str, rate: Measure) -> dict[str, str]:
        return {"question": what, "promoted": f"{rate.value:.3f}", "interval": f"[{rate.low:.3f}, {rate.high:.3f}]"}

    rows = [
        *(line(f"equal: {what}", rate) for what, rate in found.rates.items()),
        *(line(f"better by {one.gain:.5f}", one.promoted) for one in found.power),
    ]
    head = f"{SAID[found.asked.outcome]}: {found.asked.reason}. Picture: `var/{found.picture}`"
    create_table_artifact(rows, key=_key("gate", found.project), description=head)


def scored(done: Scored) -> None:
    """Where the predictions lie and who made them."""
    lines = (f"model version: {done.model_version or 'none'}", f"rows: {done.rows}", f"file: `var/{done.path or '-'}`")
    text = f"# Scored {done.period}\n{done.reason}\n\n" + "\n".join(f"- {line}" for line in lines)
    create_markdown_artifact(text, key=_key("scored", done.project))


def verdict(seen: Verdict) -> None:
    """Drift by column, realized quality, and what follows."""
    lines = [f"# {seen.period}: {'retrain' if seen.retrain else 'keep'}", seen.reason, ""]
    lines += [f"- **alarm**, {alarm}" for alarm in seen.alarms]
    if seen.quality:
        lines += ["", *scorecards((seen.quality,))]
    if seen.drift:
        rows = sorted(seen.drift.scores.items(), key=lambda item: -item[1])
        lines += ["", f"Drift against {seen.drift.reference}: {seen.drift.share:.0%} of structural columns.", ""]
        lines += ["| column | distance | |", "|---|---|---|"]
        lines += [f"| {name} | {score:.3f} | {_drift_mark(seen, name)} |" for name, score in rows]
        lines += ["", f"Report: `var/{seen.drift.report}`" + (f", page: `var/{seen.drift.page}`" if seen.drift.page else "")]
    create_markdown_artifact("\n".join(lines), key=_key("verdict", seen.project))


def rollout(now: Rollout) -> None:
    """Who answers from here on."""
    before = f"v{now.previous[0].version}" if now.previous else "nothing"
    beside = f", v{now.trial.challenger.version} is on trial ({now.trial.mode})" if now.trial else ""
    head = f"# v{now.champion.version} answers{beside} (generation {now.generation})\n{now.reason}"
    text = f"{head}\n\nBefore: {before}. Back: `pillars rollback {now.project}`"
    create_markdown_artifact(text, key=_key("traffic", now.project))


def request(project: str, reason: str) -> None:
    """Something that a person should answer."""
    create_markdown_artifact(f"# Somebody asks\n{reason}", key=_key("request", project))


def scorecards(cards: tuple[Scorecard, ...]) -> list[str]:
    """Markdown table, a line per model; intervals are 95 % over blocks of rows."""
    if not cards:
        return []
    names = list(cards[0].measures)
    positive = f", {cards[0].positives} positive" if "auc" in cards[0].measures else ""
    lines = [f"Judged on {cards[0].rows} rows of {cards[0].rows_of}{positive}.", ""]
    lines += ["| model | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    return lines + [f"| {card.model} | " + " | ".join(str(card.measures.get(n, "")) for n in names) + " |" for card in cards]


def _slices(made: Candidate) -> list[str]:
    if not made.slices:
        return []
    against = made.slices[0].against
    lines = ["", "## Slices", f"Loss per row; the increase is over the {against} on the same rows.", ""]
    lines += [f"| slice | rows | increase | challenger | {against} | |", "|---|---|---|---|---|---|"]
    return lines + [f"| {_cell(s.name)} | {s.rows} | {s.increase} | {s.loss} | {s.other} | {s.found} |" for s in made.slices]


def _groups(made: Candidate) -> list[str]:
    lines = []
    for one in made.fairness:
        lines += ["", f"## Groups by {_cell(one.by)}", *(f"- {name}: {measure}" for name, measure in one.differences.items())]
        lines += [f"- {one.small} smaller groups are not compared"] if one.small else []
        lines += ["", "| group | rows | positive | selection rate | tpr | fpr |", "|---|---|---|---|---|---|"]
        for group in one.groups:
            rates = " | ".join(str(group.rates.get(name, "")) for name in ("selection_rate", "tpr", "fpr"))
            lines += [f"| {_cell(group.name)} | {group.rows} | {group.positives} | {rates} |"]
    return lines


def _reliance(made: Candidate) -> list[str]:
    if not made.reliance:
        return []
    lines = ["", "## What the released boosters lean on", "", "| column | mean SHAP | loss added by shuffling |", "|---|---|---|"]
    return lines + [f"| {one.column} | {one.contribution:.4f} | {one.permutation:.5f} |" for one in made.reliance]


def _cell(text: str) -> str:
    """Text of the data in a Markdown table's cell, as it is."""
    kept = " ".join(text.split()).replace("|", "/").replace("`", "'")
    return kept.replace("<", "&lt;").replace("[", "&#91;")


def backtest(found: Backtest) -> list[str]:
    """Markdown table, a line per period; nothing where there was none."""
    if not found.said:
        return []
    lines = ["", f"Rolling origin: {found.said}.", ""]
    lines += [f"| period | fitted through | rows fitted on | recipe | {found.loss} | one answer for all |", "|---" * 6 + "|"]
    for which, ones in (("", found.origins), (", searched then", found.procedure)):
        for one in ones:
            mark = " (the search chose by it)" if one.chosen_on else ""
            lines.append(
                f"| {one.judged}{mark} | {one.fitted_through} | {one.fit_rows} | {one.recipe}{which} | {one.loss} | {one.base:.4f} |"
            )
    return lines


def _drift_mark(seen: Verdict, column: str) -> str:
    if seen.drift is None or column not in seen.drift.drifted:
        return ""
    return "**structural**" if column in seen.drift.structural_drifted else "seasonal"


def _key(what: str, project: str) -> str:
    return f"{what}-{project}".replace("_", "-").lower()
