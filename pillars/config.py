"""What a `configs/<project>.yaml` may say, as frozen, typed values; `project_file` reads it. What it says of its data: `config_data`."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, ValidationError, field_validator, model_validator

from pillars.config_data import MODULE, Column, ColumnType, Expectations, Privacy, Retention, Role, Section, Share, Source
from pillars.config_rollout import Rollout
from pillars.vocabulary import Encoding

NAME = r"^[a-z][a-z0-9_-]{0,40}$"
MEASURE = r"^[a-z][a-z0-9_]{0,40}$"
FUNCTION = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$"
CRON = r"^(@[a-z]+|\S+(\s+\S+){4})$"
CRON_NAMES = ("@hourly", "@midnight", "@daily", "@weekly", "@monthly", "@yearly", "@annually")
SHAPES = {  # what a pattern asks for, in words
    NAME: "small letters, digits, - and _, a letter first, 41 at most",
    MEASURE: "small letters, digits and _, a letter first, 41 at most",
    MODULE: "the full name of a module, such as projects.flights",
    FUNCTION: "the full name of a function, such as projects.flights.late_share",
    CRON: "five fields, such as 0 6 1 * *",
}
SETTLED = ("description", "schedule")  # sections that may change freely: no result depends on them


class Features(Section):
    """What the model sees, in this order."""

    numeric: tuple[str, ...] = Field(description="columns used as numbers")
    categorical: tuple[str, ...] = Field(default=(), description="columns used as categories")
    min_category_rows: int = Field(default=50, ge=1, description="rarer categories share one code with unseen ones")
    monotone: dict[str, Literal["increasing", "decreasing"]] = Field(
        default={}, description="numeric feature to the direction the score may go as it grows; a null counts as below every value"
    )
    sets: dict[str, tuple[str, ...]] = Field(default={}, description="name to some of these columns, for `search.sets`")

    @property
    def named(self) -> set[tuple[str, str]]:
        """Each with what it is taken as."""
        return {("number", name) for name in self.numeric} | {("category", name) for name in self.categorical}

    @model_validator(mode="after")
    def sets_fit(self) -> Features:
        """Refuse a set that is empty or holds a column that is no feature."""
        named = (*self.numeric, *self.categorical)
        for name, columns in self.sets.items():
            if not columns:
                raise ValueError(f"sets.{name} is empty")
            if lost := [column for column in columns if column not in named]:
                raise ValueError(f"sets.{name}: {lost[0]} is no feature{nearest(lost[0], named)}")
        return self


class Folds(Section):
    """Rows on which a search compares recipes. Whatever they are, they lie before the newest period, and the gate judges on that."""

    by: Literal["time", "group", "outcome"] = Field(
        default="time",
        description="time: the newest periods, each by a fit on those before; group: no group on both sides; outcome: its shares alike",
    )
    count: int = Field(default=1, ge=1, le=20, description="folds; each costs a fit of every trial and finalist")
    group: str | None = Field(default=None, description="column of the rows whose values stay together (by: group)")
    repeats: int = Field(default=1, ge=1, le=20, description="so many times other folds of the same rows (by: outcome)")

    @model_validator(mode="after")
    def goes_together(self) -> Folds:
        """Refuse folds that hold nothing out, and keys of another kind."""
        if self.by != "time" and self.count < 2:
            raise ValueError(f"count {self.count} holds nothing out; by: {self.by} needs 2 or more")
        if (self.by == "group") != (self.group is not None):
            raise ValueError(
                "by: group needs group, the column" if self.by == "group" else f"group goes with by: group, not with {self.by}"
            )
        if self.by != "outcome" and self.repeats > 1:
            raise ValueError(f"repeats goes with by: outcome, not with {self.by}")
        return self


class Split(Section):
    """How time separates fitting from judging."""

    gap_periods: int = Field(default=0, ge=0, description="periods left out between fitting and judging")
    first_share: Share = Field(default=0.7, description="with a single period known, the share of its blocks that is fitted on")
    block: Literal["day", "hour", "row"] = Field(default="day", description="rows of one block stay together and are resampled together")
    folds: Folds = Field(
        default=Folds(), description="rows on which a search compares recipes; by default the newest period before the judged one"
    )


class Leakage(Section):
    """When one column tells the outcome so well that it is likely known only with it; then nothing is trained."""

    limit: float | None = Field(
        default=None,
        gt=0.5,
        le=1,
        description="AUC, share of errors spared, or R squared of one column alone that is a leak; null: 0.99, 0.97, 0.99",
    )
    allow: tuple[str, ...] = Field(default=(), description="features that somebody has looked at: known in time, however well they tell")


class Range(Section):
    """A search dimension. Integers stay integers when both ends are."""

    low: float | int = Field(description="smallest value")
    high: float | int = Field(description="largest value")
    log: bool = Field(default=False, description="sample on a logarithmic scale")
    points: int = Field(default=3, ge=1, description="values of it in a grid (`sampler: grid`)")

    @model_validator(mode="after")
    def ends_fit(self) -> Range:
        """Refuse a range without a value in it."""
        if self.high < self.low:
            raise ValueError(f"high {self.high} is below low {self.low}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low} has no logarithm; it must be above 0")
        return self


STYLES = ("encoding", "growth", "set")  # dimensions of a search that are no parameter of XGBoost
Growth = Literal["depth", "leaves"]
Sampler = Literal["auto", "tpe", "gp", "random", "grid"]


class Search(Section):
    """The Optuna study of one retraining."""

    trials: int = Field(default=8, ge=0, description="budget: fits with sampled parameters")
    seconds: float | None = Field(
        default=None,
        gt=0,
        description="budget: seconds of fitting in the search; fixed recipes, a first batch of trials and its best always are",
    )
    memory_mb: int | None = Field(
        default=None, ge=64, description="budget: trials take fewer rows to stay below, and end when the process grew by more"
    )
    sampler: Sampler = Field(
        default="auto", description="who chooses parameters; auto: each style once at the middle of the space, then TPE around all of them"
    )
    encodings: tuple[Encoding, ...] = Field(
        default=("codes",),
        min_length=1,
        description="styles tried: categories as numbers (codes), one against the others (onehot), as sets of them (native)",
    )
    growth: tuple[Growth, ...] = Field(
        default=("depth",),
        min_length=1,
        description="styles tried: trees grown level by level (depth), or leaf by leaf with 2^(max_depth - 1) leaves (leaves)",
    )
    sets: tuple[str, ...] = Field(default=(), description="styles tried beside all columns: names of `features.sets`")
    lead: Literal["surely", "best"] = Field(
        default="surely", description="what was searched leads where it surely won by `gate.margin`, or where its estimate did (best)"
    )
    average: int = Field(
        default=1, ge=1, le=10, description="the best so many trials are fitted on all rows, and averages of the best of all tried; 1: none"
    )
    bags: int = Field(default=1, ge=1, le=20, description="an average of so many seeds of the best recipe is tried; 1: none")
    batch: int = Field(default=2, ge=1, description="trials asked for together; with the seed it decides the history")
    workers: int = Field(default=2, ge=1, description="threads that fit, one core each; changes speed only")
    seed: int = Field(default=0, ge=0, le=2_000_000_000, description="seed of sampler and boosters")
    rows: int = Field(default=40_000, ge=100, description="newest rows used per search fit; the final fits use all")
    max_rounds: int = Field(default=400, ge=1, description="boosting rounds before early stopping ends a fit")
    early_stopping: int = Field(default=20, ge=1, description="rounds without gain that end a fit")
    max_bin: int = Field(default=128, ge=2, description="histogram bins, one value for the study")
    final_rounds_scale: float = Field(default=1.0, gt=0, description="rounds of the final fit per round of the search fit")
    space: dict[str, Range] = Field(default={}, description="XGBoost parameter to range")
    prior: dict[str, float | int | str] = Field(default={}, description="the project's hand-chosen parameters, always a candidate")
    prior_rounds: int = Field(default=120, ge=1, description="boosting rounds of the prior recipe")
    recipe: str | None = Field(
        default=None,
        pattern=FUNCTION,
        description="a function of your own from the project to a Recipe, always a candidate, e.g. projects.flights.recipe",
    )

    @model_validator(mode="after")
    def styles_fit(self) -> Search:
        """Refuse a style that is named twice, and one in the space of parameters."""
        for name, values in (("encodings", self.encodings), ("growth", self.growth), ("sets", self.sets)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: one is named twice")
        if wrong := [name for name in STYLES if name in self.space]:
            raise ValueError(f"space: {wrong[0]} is no parameter of XGBoost; styles have keys of their own (encodings, growth, sets)")
        return self


class Backtesting(Section):
    """The candidate's parameters at earlier moments, on its scorecard. It decides nothing."""

    origins: int = Field(
        default=3,
        ge=0,
        le=120,
        description="newest periods that are judged by a fit on what lies before them, the judged one among them; 0: none",
    )
    rows: int | None = Field(
        default=None, ge=100, description="newest rows that the earlier ones are fitted on; null: all, as the twins are"
    )
    nested: int = Field(default=0, ge=0, le=120, description="newest periods at which the whole search is repeated, too; 0: none")
    seconds: float | None = Field(
        default=None, gt=0, description="budget of `nested`: no further search is begun once they fitted for so long"
    )


class Fit(Section):
    """Where the final fits run, and how rows count in them. The trials of a search stay on the newest rows, in memory.

    Equal bytes: on the CPU, not by Dask.
    """

    device: Literal["cpu", "auto", "cuda"] = Field(default="cpu", description="auto: a GPU where XGBoost finds one; cuda: that or nothing")
    engine: Literal["local", "external-memory", "dask"] = Field(
        default="local",
        description="local: all rows in memory; external-memory: a period at a time, from the disk; dask: workers at PILLARS_DASK_ADDRESS",
    )
    imbalance: Literal["none", "balanced"] = Field(
        default="none", description="balanced: each class counts alike in fitting; its probabilities need calibration.method"
    )

    @model_validator(mode="after")
    def tried_together(self) -> Fit:
        """Refuse what nobody has tried."""
        if self.device == "cuda" and self.engine != "local":
            raise ValueError(f"engine {self.engine} fits on the CPU; device cuda goes with engine local")
        if self.imbalance != "none" and self.engine != "local":
            raise ValueError(f"engine {self.engine} counts rows as they are; imbalance goes with engine local")
        return self


class Calibration(Section):
    """From what boosters say to probabilities that hold."""

    method: Literal["auto", "none", "sigmoid", "isotonic"] = Field(
        default="auto",
        description="auto: of binary targets what won in three periods in a row; sigmoid, isotonic: always, from rows not fitted on",
    )


class Intervals(Section):
    """Beside a number, between which two numbers it will lie. How often that held is measured, and not promised: data drift."""

    method: Literal["none", "conformal", "cqr"] = Field(
        default="none",
        description="conformal: as wide as errors on rows not fitted on; cqr: boosters of two quantiles, corrected by such rows",
    )
    coverage: float = Field(default=0.9, gt=0, lt=1, description="share of rows whose number is to lie between the two")
    by: str | None = Field(default=None, description="categorical feature whose values each get a width of their own (Mondrian)")


class Cost(Section):
    """Business cost per row, in one unit of the user's choice. Of rows that are right it may be negative: a gain."""

    false_positive: float = Field(default=1.0, ge=0, description="cost of acting on a row that did not need it")
    false_negative: float = Field(default=1.0, ge=0, description="cost of missing a row that did")
    true_positive: float = Field(default=0.0, description="cost of acting on a row that needed it; negative: a gain")
    true_negative: float = Field(default=0.0, description="cost of leaving a row alone that needed nothing; negative: a gain")
    matrix: dict[str, dict[str, float]] = Field(
        default={}, description="multiclass: class that came true to class that was said to cost; right ones cost 0 where not named"
    )
    unit: str = Field(default="units", description="name of the unit, for tables")

    @model_validator(mode="after")
    def errors_cost_more(self) -> Cost:
        """Refuse costs by which one answer is best for every row, whatever is predicted (Elkan 2001, 1.1)."""
        for wrong, right in (("false_positive", "true_negative"), ("false_negative", "true_positive")):
            if (error := getattr(self, wrong)) < (held := getattr(self, right)):
                raise ValueError(f"{wrong} ({error:g}) costs less than {right} ({held:g}): one answer would be best for every row")
        return self

    def table(self, classes: tuple[str, ...]) -> list[list[float]]:
        """The matrix as rows of what came true and columns of what was said, in the order of `classes`."""
        return [[self.matrix.get(actual, {}).get(said, 0.0) for said in classes] for actual in classes]


MOST_COMPARED = 20  # columns; each costs Evidently about 0.1 s a period, most of it for its chart
Task = Literal["binary", "multiclass", "regression"]
Loss = Literal["log_loss", "brier", "squared_error", "absolute_error"]
LOSSES: dict[Task, tuple[Loss, ...]] = {
    "binary": ("log_loss", "brier"),
    "multiclass": ("log_loss", "brier"),
    "regression": ("squared_error", "absolute_error"),
}
MEASURES: dict[
    Task, tuple[str, ...]
] = {  # of the scorecard; `cost` of several classes needs a cost.matrix, the last two of numbers intervals, `mape` outcomes away from 0
    "binary": ("log_loss", "brier", "cost", "ece", "auc", "pr_auc", "accuracy", "precision", "recall", "f1"),
    "multiclass": ("log_loss", "brier", "accuracy", "ece", "cost", "macro_auc", "macro_f1"),
    "regression": (
        *("squared_error", "absolute_error", "rmse", "r2", "median_absolute_error", "mape"),
        *("interval_coverage", "interval_width"),
    ),
}
TARGETS: dict[Task, tuple[ColumnType, ...]] = {"binary": ("bool",), "multiclass": ("category",), "regression": ("float", "int")}


Comparator = Literal["linear", "constant", "histgb", "lightgbm"]


class Limit(Section):
    """What a measure must hold surely: the whole of its interval, not its point."""

    least: float | None = Field(default=None, description="the interval lies above this")
    most: float | None = Field(default=None, description="the interval lies below this")

    @model_validator(mode="after")
    def says_enough(self) -> Limit:
        """Refuse a limit that nothing breaks, and one that nothing holds."""
        if self.least is None and self.most is None:
            raise ValueError("say least or most")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"nothing is at least {self.least:g} and at most {self.most:g}")
        return self


class Latency(Section):
    """How long the refitted bundle may take, on the machine that trains: the median of repeated calls, in the best of some rounds."""

    one_row: float | None = Field(default=None, gt=0, description="milliseconds for one row, at most")
    thousand_rows: float | None = Field(default=None, gt=0, description="milliseconds for 1,000 rows, at most")


class Slices(Section):
    """Rows told apart by what is in them, each part judged by itself."""

    columns: tuple[str, ...] = Field(default=(), description="columns each of whose values is a slice; they need not be features")
    pairs: tuple[tuple[str, str], ...] = Field(default=(), description="two of these columns each, whose crossed values are slices, too")
    discover: bool = Field(default=True, description="look for slices with high losses: found on half of the blocks, judged on the others")
    min_rows: int = Field(default=200, ge=2, description="a slice with fewer judged rows is not judged")
    min_blocks: int = Field(default=5, ge=2, description="nor one with fewer blocks")


DIFFERENCES = ("demographic_parity_difference", "equal_opportunity_difference", "fpr_difference", "equalised_odds_difference")
Difference = Literal["demographic_parity_difference", "equal_opportunity_difference", "fpr_difference", "equalised_odds_difference"]


class FairnessWaiver(Section):
    """One limit that a challenger may break for some time."""

    group: str = Field(min_length=1, description="the column whose groups differ, one of fairness.groups")
    metric: Difference = Field(description="the difference that may be larger than its limit")
    until: str = Field(min_length=1, description="the last period that it holds for, such as 2013-06")
    reason: str = Field(min_length=10, description="why it may be so")
    by: str = Field(min_length=1, description="who answers for it")

    @field_validator("until", mode="before")
    @classmethod
    def as_written(cls, until: object) -> object:
        """A day or a year is a date or a number to YAML, and a period's name to us."""
        return str(until) if isinstance(until, dt.date | int) else until


class FairnessRules(Section):
    """Groups of people whose rates at the threshold are compared."""

    groups: tuple[str, ...] = Field(default=(), description="columns of the rows that say the group; features or not, of every class")
    limits: dict[Difference, Share] = Field(
        default={}, description="largest difference between the groups of one column, surely; without a limit it is reported only"
    )
    min_rows: int = Field(default=100, ge=1, description="smaller groups are counted, and not compared")
    min_outcomes: int = Field(default=10, ge=1, description="a group with fewer positives (negatives) is not compared by tpr (fpr)")
    waivers: tuple[FairnessWaiver, ...] = Field(default=(), description="limits that may be broken, each until a period")


class Behaviour(Section):
    """One thing that every candidate's scores must do."""

    name: str = Field(min_length=1, max_length=80, description="what is asked, in a few words")
    kind: Literal["invariance", "direction", "minimum"] = Field(
        description="invariance: changing a column changes little; direction: raising it moves the score one way; minimum: given rows"
    )
    column: str | None = Field(default=None, description="invariance, direction: the feature that is changed")
    add: float | None = Field(default=None, description="invariance, direction: what is added to a numeric feature")
    to: tuple[str | float | bool, ...] = Field(default=(), description="invariance: values that the column is set to, one after the other")
    score: Literal["up", "down"] = Field(default="up", description="direction: where the score may go when the column is raised")
    most: float = Field(
        default=0.0, ge=0, description="invariance: largest change of the score; direction: how far it may go the wrong way"
    )
    share: Share = Field(default=0.0, description="share of the rows that may fail")
    rows: tuple[dict[str, str | float | bool | None], ...] = Field(
        default=(), description="minimum: rows, each feature to value; a feature left out is missing"
    )
    above: float | None = Field(default=None, description="minimum: the scores of the rows lie above this")
    below: float | None = Field(default=None, description="minimum: the scores of the rows lie below this")
    of: str | None = Field(default=None, description="multiclass: the class whose probability is the score")

    @model_validator(mode="after")
    def says_enough(self) -> Behaviour:
        """Refuse what cannot be tried."""
        if self.kind == "minimum":
            if not self.rows or (self.above is None and self.below is None):
                raise ValueError("a minimum needs rows, and above or below")
            if self.column or self.add is not None or self.to:
                raise ValueError("a minimum changes no column")
            return self
        if not self.column:
            raise ValueError(f"{self.kind}: name a column")
        if self.rows or self.above is not None or self.below is not None:
            raise ValueError(f"{self.kind} has neither rows nor above and below; they are a minimum's")
        if self.kind == "direction" and (not self.add or self.add < 0 or self.to):
            raise ValueError("direction: add a number above 0")
        if self.kind == "invariance" and bool(self.to) == bool(self.add):
            raise ValueError("invariance: say either to or add")
        return self


class Gate(Section):
    """When a challenger may replace the champion. Differences are in the primary loss, per row."""

    loss: Loss = Field(
        default="log_loss", description="primary loss: log_loss or brier of classes, squared_error or absolute_error of numbers"
    )
    margin: float = Field(default=0.001, ge=0, description="recipe decision: the gain's lower bound must exceed this, in units of the loss")
    refresh_margin: float = Field(default=0.005, ge=0, description="refresh decision: the refitted twin may be this much worse")
    min_rows: int = Field(default=1000, ge=1, description="fewer judged rows are inconclusive")
    resamples: int = Field(default=1000, ge=100, description="bootstrap resamples of blocks")
    comparators: tuple[Comparator, ...] = Field(
        default=("linear", "constant"), description="models beside challenger and champion on the scorecard; they decide nothing"
    )
    size_mb: float | None = Field(default=None, gt=0, description="megabytes (10^6 bytes) that the refitted bundle may have on disk")
    latency_ms: Latency = Field(default=Latency(), description="how long the refitted bundle may take")
    limits: dict[str, Limit] = Field(default={}, description="measure of the scorecard to what it must hold on the judged rows")
    worst_slice: float | None = Field(
        default=None, ge=0, description="in no slice the loss may surely lie above the champion's (the simple baseline's) by more than this"
    )
    policy: str | None = Field(
        default=None, pattern=FUNCTION, description="a function of your own from the scorecards to a Decision, e.g. projects.flights.policy"
    )


class Drift(Section):
    """What Evidently compares, and what counts."""

    structural: tuple[str, ...] = Field(default=(), description="columns whose drift counts in the verdict")
    seasonal: tuple[str, ...] = Field(default=(), description="columns whose drift is reported only")
    threshold: float = Field(default=0.1, gt=0, description="normed Wasserstein or Jensen-Shannon distance that counts as drift")
    alarm_share: Share = Field(default=0.5, description="share of structural columns whose drift raises an alarm")
    sample: int = Field(default=30_000, ge=500, description="rows compared on each side, drawn by seed")


class Retraining(Section):
    """Retraining policy: any cause suffices, drift never alone."""

    every: int | None = Field(default=1, ge=1, description="retrain each so many periods; null: never by schedule")
    loss_increase: float | None = Field(
        default=None, ge=0, description="retrain when the interval of the loss lies above the reference by this"
    )
    with_drift: bool = Field(default=True, description="structural drift halves the loss increase that is needed")
    cooldown: int = Field(default=0, ge=0, description="periods after a promotion without another retraining")


class Monitoring(Section):
    """Watching data and quality."""

    drift: Drift = Field(default=Drift(), description="drift of columns")
    retraining: Retraining = Field(default=Retraining(), description="when to train again")


class Registry(Section):
    """The model registry."""

    external_changes: Literal["ask", "revert"] = Field(
        default="ask", description="an alias moved by hand in MLflow is put back; ask: and is a request on record"
    )
    dirty_tree: Literal["record", "refuse"] = Field(
        default="record",
        description="a model trained from uncommitted code; record: the changes are kept with it; refuse: it is not promoted",
    )


class Schedule(Section):
    """When the scheduled cycle runs, and what else runs by itself (Prefect deployments)."""

    cron: str = Field(default="0 6 1 * *", pattern=CRON, description="cron expression")
    timezone: str = Field(default="UTC", description="time zone of the expression")
    active: bool = Field(default=True, description="whether the schedule starts active")
    audit: str | None = Field(
        default=None,
        pattern=CRON,
        description="cron expression of an audit of the newest data version, in the same zone; null: by hand only",
    )
    reproduce: str | None = Field(
        default=None, pattern=CRON, description="cron expression: make a random earlier version again; null: never"
    )

    compact: str | None = Field(
        default="7 * * * *",
        pattern=CRON,
        description="cron expression: finished pieces of the prediction server's log become Parquet; null: by hand only",
    )

    @field_validator("cron", "audit", "reproduce", "compact")
    @classmethod
    def known_times(cls, cron: str | None) -> str | None:
        """Refuse a line that Prefect would refuse, which looks at it only when the schedule is deployed."""
        if cron is None:
            return None
        if cron.startswith("@"):
            if cron not in CRON_NAMES:
                raise ValueError(f"{cron} is none of {', '.join(CRON_NAMES)}")
            return cron
        for (name, shape), field in zip(_cron_fields().items(), cron.split(), strict=True):
            if not re.fullmatch(shape, field, re.IGNORECASE | re.ASCII):
                raise ValueError(f"{field} is no {name}, in {cron}")
        return cron

    @field_validator("timezone")
    @classmethod
    def known_zone(cls, timezone: str) -> str:
        """Refuse a zone that does not exist. A machine without a list of zones takes any."""
        try:
            ZoneInfo(timezone)
        except (LookupError, ValueError, OSError):
            if known := available_timezones():
                raise ValueError(f"there is no time zone {timezone}{nearest(timezone, known)}") from None
        return timezone


class Project(Section):
    """The whole of one project."""

    project: str = Field(pattern=NAME, description="name, equal to the file's")
    description: str = Field(default="", description="one line for people")
    task: Task = Field(default="binary", description="kind of target: one of two (a bool), one of several (a category), a number")
    target: str = Field(description="the outcome column that is predicted")
    classes: tuple[str, ...] = Field(
        default=(), description="multiclass: all values of the target, in the order that predictions have them"
    )
    source: Source = Field(description="where rows come from")
    columns: dict[str, Column] = Field(description="every column with its type and roles; undeclared columns are refused")
    features: Features = Field(description="what the model sees")
    expectations: Expectations = Field(default=Expectations(), description="what a batch must be")
    privacy: Privacy = Field(default=Privacy(), description="whose data these are, and how small a group may be told apart")
    retention: Retention = Field(default=Retention(), description="how long what is kept is kept")
    split: Split = Field(default=Split(), description="time and blocks")
    leakage: Leakage = Field(default=Leakage(), description="columns that tell the outcome")
    search: Search = Field(default=Search(), description="tuning")
    backtest: Backtesting = Field(default=Backtesting(), description="earlier moments, on the scorecard")
    fit: Fit = Field(default=Fit(), description="device and engine of the final fits, and how rows count in them")
    calibration: Calibration = Field(default=Calibration(), description="probabilities that hold")
    intervals: Intervals = Field(default=Intervals(), description="between which two numbers a predicted number lies")
    cost: Cost = Field(default=Cost(), description="what errors cost")
    gate: Gate = Field(default=Gate(), description="promotion")
    metrics: dict[Annotated[str, Field(pattern=MEASURE)], Annotated[str, Field(pattern=FUNCTION)]] = Field(
        default={}, description="measures of your own: name to a function of outcomes and scores, e.g. late: projects.flights.late_share"
    )
    slices: Slices = Field(default=Slices(), description="parts of the judged rows")
    fairness: FairnessRules = Field(default=FairnessRules(), description="groups of people")
    behaviour: tuple[Behaviour, ...] = Field(default=(), description="what every candidate's scores must do")
    rollout: Rollout = Field(default=Rollout(), description="deployment")
    monitoring: Monitoring = Field(default=Monitoring(), description="drift, quality, retraining")
    registry: Registry = Field(default=Registry(), description="model registry")
    schedule: Schedule = Field(default=Schedule(), description="when it runs")

    @model_validator(mode="after")
    def roles_fit(self) -> Project:
        """Refuse features that cannot be known, and roles that do not exist."""
        problems = []
        named = (*self.features.numeric, *self.features.categorical)
        if not named:
            problems.append("features: name one column or more")
        for name in sorted({n for n in named if named.count(n) > 1}):
            problems.append(f"features: {name} is named twice")
        for name in dict.fromkeys(named):
            column = self.columns.get(name)
            if column is None:
                problems.append(f"features: {name} is not declared under columns{nearest(name, self.columns)}")
            elif {"outcome", "known_later"} & set(column.role):
                problems.append(f"features: {name} is known only after the prediction moment")
            elif column.personal:
                problems.append(f"features: {name} is personal, and only its pseudonyms are kept")
        for name in self.leakage.allow:
            if name not in named:
                problems.append(f"leakage.allow: {name} is no feature{nearest(name, named)}")
        if "outcome" not in self.columns.get(self.target, Column(type="bool")).role:
            problems.append(f"target: {self.target} must be a column with role outcome{nearest(self.target, self.of('outcome'))}")
        else:
            problems += self._task_problems()
        for name in self.key:
            if {"outcome", "known_later"} & set(self.columns[name].role):
                problems.append(f"columns: {name} is a key, and known only after the prediction moment")
        if not self.key:
            problems.append("columns: one or more columns need role key")
        problems += self._time_problems()
        problems += self._privacy_problems()
        for name in self.search.sets:
            if name not in self.features.sets:
                problems.append(f"search.sets: {name} is not declared under features.sets{nearest(name, self.features.sets)}")
        if self.retention.rows is not None and self.retention.rows < self.source.outcome_lag:
            problems.append(
                f"retention.rows: outcomes come {self.source.outcome_lag} periods after their rows, which would be gone by then"
            )
        problems += self._fold_problems() + self._weight_problems() + self._monotone_problems() + self._choice_problems()
        problems += self._name_problems() + self._drift_problems() + self._repair_problems() + self._coverage_problems()
        problems += self._judging_problems()
        problems += self._rollout_problems()
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _name_problems(self) -> list[str]:
        """Keys that a table of predictions could not hold beside its own columns."""
        problems, own = [], {"score", "decision", "model_version", "data_version", "generation", *(f"p_{name}" for name in self.classes)}
        own |= {"low", "high"} if self.intervals.method != "none" else set()
        own |= {"champion", "shadow_score", "shadow_decision"} if self.rollout.strategy != "direct" else set()
        for name in dict.fromkeys((*self.key, *self.of("weight"))):
            if name in own:
                kind = "a key" if name in self.key else "the weight"
                problems.append(f"columns: {name} is {kind}, and predictions have a column of that name; rename it")
        return problems

    def _rollout_problems(self) -> list[str]:
        """Why traffic cannot be split, or reported, by a column."""
        problems, name, of = [], self.rollout.entity, self.rollout.slice
        if of is not None and of not in self.columns:
            problems.append(f"rollout.slice: {of} is not declared under columns{nearest(of, self.columns)}")
        elif of is not None and (self.columns[of].confidential or {"outcome", "known_later"} & set(self.columns[of].role)):
            problems.append(f"rollout.slice: {of} is confidential, or known only after the prediction moment")
        if name is not None and name not in self.columns:
            problems.append(f"rollout.entity: {name} is not declared under columns{nearest(name, self.columns)}")
        elif name is not None and {"outcome", "known_later"} & set(self.columns[name].role):
            problems.append(f"rollout.entity: {name} is known only after the prediction moment")
        return problems + self._fallback_problems()

    def _fallback_problems(self) -> list[str]:
        """Why a constant is no answer of this task."""
        said, problem = self.rollout.fallback, ""
        if self.task == "multiclass":
            if isinstance(said, float):
                problem = "a probability of each class is needed, such as {" + ", ".join(f"{name}: ..." for name in self.classes) + "}"
            elif said is not None and {*said} != {*self.classes}:
                problem = f"it names {', '.join(said) or 'nothing'}, the classes are {', '.join(self.classes)}"
            elif said is not None and (min(said.values()) < 0 or abs(sum(said.values()) - 1) > 1e-6):
                problem = f"probabilities add up to 1 and are not negative; these add up to {sum(said.values()):g}"
        elif isinstance(said, dict):
            problem = "one number is needed; classes are for multiclass"
        elif said is not None and self.task == "binary" and not 0 <= said <= 1:
            problem = f"{said:g} is no probability"
        return [f"rollout.fallback: {problem}"] if problem else []

    def _weight_problems(self) -> list[str]:
        """Why a column cannot say how much its rows count."""
        named, problems = self.of("weight"), []
        if len(named) > 1:
            problems.append(f"columns: {' and '.join(named)} are weights; a row has one")
        for name in named:
            column, other = self.columns[name], sorted({"key", "time", "feature", "outcome", "known_later"} & set(self.columns[name].role))
            if column.type not in ("float", "int"):
                problems.append(f"columns: {name} is a weight, and declared {column.type}; a weight is a float or int")
            if other:
                problems.append(f"columns: {name} is a weight, and cannot be {other[0]}, too")
            if name in (*self.features.numeric, *self.features.categorical):
                problems.append(f"features: {name} is a weight, which the model does not see")
            if column.nullable:
                problems.append(f"columns: {name} is a weight, and every row has one: say nullable: false")
            if column.confidential or name in self.privacy.quasi:
                problems.append(f"columns: {name} is a weight, and cannot be personal, sensitive or coarsened")
        return problems

    def _fold_problems(self) -> list[str]:
        """A column that groups no rows."""
        if (name := self.split.folds.group) is None:
            return []
        if name not in self.columns:
            return [f"split.folds.group: {name} is not declared under columns{nearest(name, self.columns)}"]
        if name not in self.row_columns:
            return [f"split.folds.group: {name} is known only after the prediction moment; a group is a column of the rows"]
        if self.columns[name].type == "float" or name == self.weight:
            return [f"split.folds.group: {name} is a {'weight' if name == self.weight else 'float'}, whose values are no groups"]
        return []

    def _monotone_problems(self) -> list[str]:
        """Features that have no direction, and scores that cannot be held to one."""
        problems, where = [], "features.monotone"
        for name in self.features.monotone:
            if name in self.features.categorical:
                problems.append(f"{where}: {name} is a category, whose values have no order")
            elif name not in self.features.numeric:
                problems.append(f"{where}: {name} is not under features.numeric{nearest(name, self.features.numeric)}")
        if self.features.monotone and self.task == "multiclass":
            problems.append(f"{where}: the probabilities of several classes cannot all follow one direction")
        if self.features.monotone and self.gate.loss == "absolute_error":
            problems.append(f"{where}: boosters that minimize absolute errors do not keep to it; let gate.loss be squared_error")
        if self.features.monotone and "monotone_constraints" in {*self.search.prior, *self.search.space}:
            problems.append(f"{where}: search names monotone_constraints, too; say it once")
        return problems

    def _choice_problems(self) -> list[str]:
        """Choices that this kind of target does not have, or that need another one."""
        problems, task, calibrated = [], self.task, self.calibration.method in ("sigmoid", "isotonic")
        if task == "regression":
            if self.fit.imbalance != "none":
                problems.append("fit.imbalance: a number has no classes to balance")
            if calibrated:
                problems.append(f"calibration.method: {self.calibration.method} is of probabilities, and a number is none")
        elif self.fit.imbalance == "balanced" and not calibrated:
            problems.append(
                f"fit.imbalance: balanced probabilities are no shares of rows: say calibration.method: sigmoid or isotonic, "
                f"not {self.calibration.method}"
            )
        if self.intervals.method != "none" and task != "regression":
            problems.append(f"intervals.method: a {task} target has probabilities; intervals are of numbers")
        if (by := self.intervals.by) is not None and by not in self.features.categorical:
            problems.append(f"intervals.by: {by} is not under features.categorical{nearest(by, self.features.categorical)}")
        return problems + self._limit_problems() + self._cost_problems()

    def _limit_problems(self) -> list[str]:
        """Measures that no scorecard of this project has: nothing would ever be released."""
        lacking = {"cost"} if self.task == "multiclass" and not self.cost.matrix else set()
        lacking |= {"interval_coverage", "interval_width"} if self.intervals.method == "none" else set()
        known = [name for name in (*MEASURES[self.task], *self.metrics) if name not in lacking]
        return [
            f"gate.limits: {name} is no measure of this scorecard{nearest(name, known)}" for name in self.gate.limits if name not in known
        ]

    def _cost_problems(self) -> list[str]:
        """A matrix that does not say what each answer costs."""
        said, where = self.cost.matrix, "cost.matrix"
        if not said:
            return []
        if self.task != "multiclass":
            return [f"{where}: a {self.task} target has no classes to confuse"]
        problems = []
        for name in dict.fromkeys((*said, *(name for row in said.values() for name in row))):
            if name not in self.classes:
                problems.append(f"{where}: {name} is no class{nearest(name, self.classes)}")
        for actual in self.classes:
            row = said.get(actual, {})
            problems += [
                f"{where}: nothing says what {other} costs where {actual} came true"
                for other in self.classes
                if other not in row and other != actual
            ]
            if cheap := [other for other in row if other != actual and row[other] < row.get(actual, 0.0)]:
                problems.append(f"{where}: where {actual} came true, {cheap[0]} costs less than {actual} itself")
        return problems

    def _drift_problems(self) -> list[str]:
        """Why columns cannot be compared from period to period."""
        problems, named = [], (*self.monitoring.drift.structural, *self.monitoring.drift.seasonal)
        for name in named:
            if name not in self.columns:
                problems.append(f"monitoring.drift: {name} is not declared under columns{nearest(name, self.columns)}")
            elif self.columns[name].confidential:
                problems.append(f"monitoring.drift: {name} is personal or sensitive, and a report would show its values")
            elif self.columns[name].type == "timestamp":
                problems.append(f"monitoring.drift: {name} is a timestamp; compare a column derived from it")
        if len(named) > MOST_COMPARED:
            problems.append(f"monitoring.drift: {len(named)} columns, at most {MOST_COMPARED} are compared")
        return problems

    def _privacy_problems(self) -> list[str]:
        """A subject that names nobody, and columns that cannot be coarsened."""
        problems, said = [], self.privacy
        if (subject := said.subject) is not None:
            if subject not in self.columns:
                problems.append(f"privacy.subject: {subject} is not declared under columns{nearest(subject, self.columns)}")
            elif not self.columns[subject].personal or subject not in self.row_columns:
                problems.append(f"privacy.subject: {subject} must be a personal column of the rows")
            elif subject not in self.key and (lonely := [name for name in self.outcome_columns if self.columns[name].personal]):
                problems.append(f"columns: {lonely[0]} is personal, of the outcomes, where {subject} is not; make {subject} a key")
        for name, ladder in said.quasi.items():
            where = f"privacy.quasi: {name}"
            if name not in self.columns:
                problems.append(f"{where} is not declared under columns{nearest(name, self.columns)}")
                continue
            column = self.columns[name]
            if column.confidential or {"key", "time"} & set(column.role) or name not in self.row_columns or column.type == "bool":
                problems.append(f"{where} must be no flag and a column of the rows; and neither key, time, personal nor sensitive")
            elif said.small_groups == "suppress" and not column.nullable:
                problems.append(f"{where} may become null in a small group: let it be nullable, or say small_groups: refuse")
            elif problem := column.unfit_steps(ladder):
                problems.append(f"{where}: {problem}")
        return problems

    def _coverage_problems(self) -> list[str]:
        """Columns whose values are no groups of rows, or must not be shown."""
        problems, where = [], "expectations.coverage"
        for name in self.expectations.coverage.segments:
            if name not in self.columns:
                problems.append(f"{where}: {name} is not declared under columns{nearest(name, self.columns)}")
            elif self.columns[name].confidential:
                problems.append(f"{where}: {name} is personal or sensitive, and a report would show its values")
            elif self.columns[name].type in ("float", "timestamp") or name not in self.row_columns:
                problems.append(f"{where}: {name} must be a category, text, int or bool of the rows")
        return problems

    def _judging_problems(self) -> list[str]:
        """Why rows cannot be told apart, or changed, as the sections on judging say."""
        problems = []
        for where, names in (("slices.columns", self.slices.columns), ("fairness.groups", self.fairness.groups)):
            for name in names:
                if name not in self.columns:
                    problems.append(f"{where}: {name} is not declared under columns{nearest(name, self.columns)}")
                elif self.columns[name].type in ("float", "timestamp") or name not in self.row_columns:
                    problems.append(f"{where}: {name} must be a category, text, int or bool of the rows")
                elif where == "slices.columns" and name in self.confidential:
                    problems.append(f"{where}: {name} is personal or sensitive, and slices show its values; name it under fairness.groups")
                elif self.columns[name].personal and self.privacy.subject is not None:
                    problems.append(
                        f"{where}: {name} is personal, and with privacy.subject each person has pseudonyms of its own: no groups"
                    )
        if odd := [name for pair in self.slices.pairs for name in pair if name not in self.slices.columns]:
            problems.append(f"slices.pairs: {odd[0]} is not named under slices.columns")
        if self.fairness.groups and self.task != "binary":
            problems.append(f"fairness: rates at a threshold are of binary targets; this one is {self.task} (slices judge its groups)")
        if self.fairness.limits and not self.fairness.groups:
            problems.append("fairness.limits: name the groups")
        for waiver in self.fairness.waivers:
            if waiver.group not in self.fairness.groups:
                problems.append(f"fairness.waivers: {waiver.group} is not named under fairness.groups")
            elif waiver.metric not in self.fairness.limits:
                problems.append(
                    f"fairness.waivers: {waiver.metric} has no limit to waive; there are {', '.join(self.fairness.limits) or 'none'}"
                )
        problems += [
            f"metrics: {name} is a measure of every scorecard; take another name" for name in self.metrics if name in MEASURES[self.task]
        ]
        if self.gate.worst_slice is not None and not (self.slices.columns or self.slices.discover):
            problems.append("gate.worst_slice: there are no slices; name slices.columns, or let slices.discover be true")
        if self.gate.worst_slice is not None and not self.gate.comparators:
            problems.append("gate.worst_slice: a first challenger has nothing to be held against; let gate.comparators have one")
        asked = [one.name for one in self.behaviour]
        problems += [f"behaviour: {name} is named twice" for name in sorted({n for n in asked if asked.count(n) > 1})]
        return problems + [f"behaviour.{one.name}: {problem}" for one in self.behaviour if (problem := self._untried(one))]

    def _untried(self, one: Behaviour) -> str:
        """Why a behaviour cannot be tried on this project's features; empty when it can."""
        features = (*self.features.numeric, *self.features.categorical)
        if odd := [name for name in (*([one.column] if one.column else []), *(n for row in one.rows for n in row)) if name not in features]:
            return f"{odd[0]} is no feature{nearest(odd[0], features)}"
        if one.add is not None and one.column not in self.features.numeric:
            return f"add: {one.column} is a category; say to"
        given = [(str(one.column), value) for value in one.to] + [pair for row in one.rows for pair in row.items()]
        if odd := [name for name, value in given if isinstance(value, str) and name in self.features.numeric]:
            return f"{odd[0]} is a number"
        if self.task == "multiclass" and one.of not in self.classes:
            return f"of: name one of the classes{nearest(one.of or '', self.classes)}"
        return f"of: a {self.task} target has no classes" if self.task != "multiclass" and one.of else ""

    def _repair_problems(self) -> list[str]:
        """Columns that repairs look at beside their own."""
        problems = []
        for name, column in self.columns.items():
            if (repair := column.repair) is None or repair.convert is None:
                continue
            by, of = repair.convert.by, f"columns.{name}.repair.convert"
            beside = self.row_columns if name in self.row_columns else self.outcome_columns
            if by not in self.columns:
                problems.append(f"{of}: {by} is not declared under columns{nearest(by, self.columns)}")
            elif by not in beside or self.columns[by].type not in ("category", "text") or self.columns[by].personal:
                problems.append(f"{of}: {by} must be a category or text of the same table, and not personal")
        if (said := self.expectations.duplicates) and said.of is not None:
            if said.of not in self.columns:
                problems.append(f"expectations.duplicates: {said.of} is not declared under columns{nearest(said.of, self.columns)}")
            elif self.columns[said.of].type not in ("float", "int", "timestamp"):
                problems.append(
                    f"expectations.duplicates: {said.of} is a {self.columns[said.of].type}; a number or timestamp is greater or less"
                )
        return problems

    def _in_memory_only(self) -> list[str]:
        """What is asked for that only rows in memory can give."""
        search, comparators = self.search, [name for name in self.gate.comparators if name not in ("linear", "constant")]
        return [
            *([f"weights by {self.weight}"] if self.weight else []),
            *(["intervals.method cqr"] if self.intervals.method == "cqr" else []),
            *(["search.encodings other than codes"] if set(search.encodings) != {"codes"} else []),
            *(["search.sets"] if search.sets else []),
            *([f"split.folds by {self.split.folds.by}"] if self.split.folds.by != "time" else []),
            *([f"gate.comparators {name}" for name in comparators]),
        ]

    def _task_problems(self) -> list[str]:
        """Why the target, its classes and the loss do not go together."""
        problems, given, wanted = [], self.columns[self.target].type, TARGETS[self.task]
        if self.fit.engine != "local":
            problems += [f"fit.engine: {self.fit.engine} does not know {asked}; take local" for asked in self._in_memory_only()]
        if given not in wanted:
            problems.append(f"target: {self.target} is declared {given}; a {self.task} target is a {' or '.join(wanted)}")
        if self.gate.loss not in LOSSES[self.task]:
            problems.append(f"gate.loss: {self.gate.loss} is no loss of a {self.task} target; there are {' and '.join(LOSSES[self.task])}")
        if self.task != "multiclass" and self.classes:
            problems.append(f"classes: a {self.task} target has none to name")
        if self.task == "multiclass" and len(set(self.classes)) < 3:
            problems.append("classes: name the values of a multiclass target, three or more")
        if len(set(self.classes)) < len(self.classes):
            problems.append("classes: one is named twice")
        return problems

    def _time_problems(self) -> list[str]:
        """Why rows cannot be placed in time as the YAML says. Blocks of rows need no time; then rows are blocks of their own."""
        named, timeless = self.of("time"), self.source.python is None and self.source.batches.by != "time"
        if [n for n in named if self.columns[n].confidential]:
            return [f"columns: {named[0]} is the time, and personal or sensitive: the names of periods would tell it"]
        if len(named) == 1 or (timeless and not named and self.split.block == "row"):
            return []
        if timeless and not named:
            return [f"split: block {self.split.block} needs a column with role time; without one it must be row"]
        return ["columns: exactly one column needs role time"]

    def of(self, role: Role) -> tuple[str, ...]:
        """Names of the columns that have `role`, in the order of the file."""
        return tuple(name for name, column in self.columns.items() if role in column.role)

    @property
    def personal(self) -> tuple[str, ...]:
        """Columns of which only pseudonyms are kept."""
        return tuple(name for name, column in self.columns.items() if column.personal)

    @property
    def confidential(self) -> tuple[str, ...]:
        """Columns that nothing for people may show as they came, personal ones among them. Where there is one, what came in is sealed."""
        return tuple(name for name, column in self.columns.items() if column.confidential or name in self.privacy.quasi)

    @property
    def sealed(self) -> bool:
        """Whether what came in is sealed on disk."""
        return bool(self.confidential) or self.privacy.encrypt

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that name a row."""
        return self.of("key")

    @property
    def entity(self) -> tuple[str, ...]:
        """Columns that name whom a row is about: by them the traffic is split."""
        return (self.rollout.entity,) if self.rollout.entity else self.of("entity") or self.key

    @property
    def asked(self) -> list[dict[str, Any]]:
        """What a request's row may hold: features, then key and entity columns, each with its `type`, whether it is `nullable`, and
        whether it may be `kept` in the request log: none that is confidential."""
        names = dict.fromkeys((*self.features.numeric, *self.features.categorical, *self.key, *self.entity))
        return [
            {
                "name": name,
                "type": self.columns[name].type,
                "nullable": self.columns[name].nullable,
                "kept": name not in self.confidential,
            }
            for name in names
        ]

    @property
    def time(self) -> str:
        """The column of the prediction moment's period; empty where rows have none."""
        return next(iter(self.of("time")), "")

    @property
    def row_columns(self) -> tuple[str, ...]:
        """Columns of the rows table: all but outcomes and what is known later."""
        return tuple(n for n, c in self.columns.items() if not {"outcome", "known_later"} & set(c.role))

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """Columns of the outcomes table: the key, then outcomes and what is known later."""
        return (*self.key, *(n for n, c in self.columns.items() if {"outcome", "known_later"} & set(c.role)))

    @property
    def rules(self) -> tuple[str, ...]:
        """Sections that a batch is checked and changed by."""
        return ("columns", "expectations", *(("privacy",) if self.privacy != Privacy() else ()))

    @property
    def aside(self) -> tuple[str, ...]:
        """Columns by which judged rows are told apart, beside the features: no model sees them."""
        return tuple(dict.fromkeys((*self.slices.columns, *self.fairness.groups)))

    @property
    def judging(self) -> tuple[str, ...]:
        """Sections that say more than the gate of how a challenger is judged; those left at their default are not named."""
        said = {"metrics": {}, "slices": Slices(), "fairness": FairnessRules(), "behaviour": ()}
        return tuple(name for name, default in said.items() if getattr(self, name) != default)

    @property
    def learning(self) -> tuple[str, ...]:
        """Sections that decide what labelled rows hold."""
        return ("project", "columns", "features", "split", "target", *(("task", "classes") if self.task != "binary" else ()))

    @property
    def fitting(self) -> tuple[str, ...]:
        """Sections that decide how rows are fitted, where they say anything."""
        return tuple(name for name in self.choices if name == "fit")

    @property
    def weight(self) -> str:
        """The column that says how much a row counts; empty where all count alike."""
        return next(iter(self.of("weight")), "")

    @property
    def choices(self) -> tuple[str, ...]:
        """Sections that change what is fitted or answered, without those at their defaults: records stay as they were."""
        defaults = {"fit": Fit(), "calibration": Calibration(), "intervals": Intervals()}
        return tuple(name for name, default in defaults.items() if getattr(self, name) != default)

    def digest(self) -> str:
        """sha256 over the canonical JSON of all that is not left at its default: a later release may know more keys."""
        return digest(self.model_dump(mode="json", exclude_defaults=True))

    def section_digest(self, *sections: str) -> str:
        """sha256 over some sections, as `digest`: what one step depends on."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        return digest({s: said.get(s) for s in sections})


def digest(value: Any) -> str:
    """sha256 (hex) over canonical JSON: sorted keys, no blanks."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def changed_keys(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted keys that differ between two dumped projects, each with both values; None where a side has no such key."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found |= changed_keys(a, b, f"{prefix}{key}.")
        elif a != b:
            found[f"{prefix}{key}"] = (a, b)
    return found


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Dotted keys that differ between two dumped projects, each with both values."""
    return [f"{key}: {_short(a)} -> {_short(b)}" for key, (a, b) in changed_keys(old, new).items()]


def binding_differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The differences that matter to a history: those in sections that results depend on.

    `old` may be of an earlier release; a key that it did not have yet stands at its default.
    """
    with suppress(ValidationError):
        old = Project.model_validate(old).model_dump(mode="json")
    before, after = ({key: value for key, value in dump.items() if key not in SETTLED} for dump in (old, new))
    return differences(before, after)


def schema() -> dict[str, Any]:
    """JSON schema of a project file, from which editors complete."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Project.model_json_schema()}


def _cron_fields() -> dict[str, str]:
    """The patterns of a cron line's fields, as Prefect's croniter reads them (`pillars` may not import it)."""
    day, weekday = r"0?[1-9]|[12]\d|3[01]", r"0?[0-7]|sun|mon|tue|wed|thu|fri|sat"
    return {
        "minute": _list_of(_times(r"[0-5]?\d")),
        "hour": _list_of(_times(r"[01]?\d|2[0-3]")),
        "day of the month": rf"\?|{_list_of(rf'{_times(day)}|l')}",  # l: the last
        "month": _list_of(_times(r"0?[1-9]|1[0-2]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec")),
        "day of the week": rf"\?|{_list_of(_times(weekday))}|{_list_of('l[0-7]')}|{_list_of(rf'({weekday})#[1-5]')}",  # mon#2: the second
    }


def _times(value: str) -> str:
    """All values or some, from one to another, each or by steps."""
    return rf"(\*|({value})(-({value}))?)(/0*[1-9]\d*)?"


def _list_of(item: str) -> str:
    return rf"({item})(,({item}))*"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name; empty when nothing known is like it."""
    near = get_close_matches(name, list(known), n=1)
    return f"; nearest: {near[0]}" if near else ""
