"""The glossary: frozen values that every pillar speaks. All of them are small and survive JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Calibration = dict[str, str | float | list[float]]  # not Json: that is recursive, and Prefect could not read a result back
Interval = dict[str, str | float | list[str] | list[float]]  # see pillars.bundle.answers.bounds
Outcome = Literal["accept", "refuse", "inconclusive"]


@dataclass(frozen=True)
class Measure:
    """A figure with its interval. `low` and `high` bound the central `level` share of its bootstrap distribution."""

    value: float
    low: float
    high: float
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True)
class Decision:
    """An answer with its reason. A refusal is a value, not an error."""

    outcome: Outcome
    reason: str

    def __bool__(self) -> bool:
        return self.outcome == "accept"

    @classmethod
    def accept(cls, reason: str) -> Decision:
        """Yes."""
        return cls("accept", reason)

    @classmethod
    def refuse(cls, reason: str) -> Decision:
        """No."""
        return cls("refuse", reason)

    @classmethod
    def inconclusive(cls, reason: str) -> Decision:
        """Nobody can say, on so little."""
        return cls("inconclusive", reason)

    @classmethod
    def by(cls, held: bool, reason: str) -> Decision:
        """Accept when the condition held, else refuse."""
        return cls("accept" if held else "refuse", reason)


@dataclass(frozen=True)
class Collected:
    """What a source gave for one period, kept byte for byte before anything reads it. Paths are relative to `var`."""

    project: str
    period: str
    rows_path: str
    rows_sha256: str
    rows: int
    outcomes_period: str | None
    outcomes_path: str | None
    outcomes_sha256: str | None
    outcomes: int
    first_time: str
    last_time: str
    source: str = ""
    size_bytes: int = 0  # of both files
    schema: str = ""  # fingerprint of the columns' names and types, as they came: sha256, 16 characters
    licence: str = ""
    keys_destroyed: int = 0  # keys of persons, before it was collected: collected again at another count, its bytes are others


@dataclass(frozen=True)
class Check:
    """One expectation's result. `status`: passed, failed, or could_not_run (an exception inside the check)."""

    expectation: str
    column: str
    severity: Literal["critical", "warning", "info"]
    quarantine: bool
    status: Literal["passed", "failed", "could_not_run"]
    unexpected: int
    unexpected_share: float
    observed: str
    detail: str = ""


@dataclass(frozen=True)
class Treatment:
    """What a declared rule did: `rows` whose value of `column` it changed, flagged (`outliers`), coarsened
    (`k-anonymity`), or set aside (`duplicates`)."""

    table: Literal["rows", "outcomes"]
    column: str
    rule: str
    rows: int
    detail: str


@dataclass(frozen=True)
class Validation:
    """A batch held against its expectations. `decision` is over the batch, row by row failures go to quarantine.

    `treatments` were done before; `repaired` counts rows with one repair or more.
    """

    project: str
    period: str
    rows: int
    quarantined: int
    checks: tuple[Check, ...]
    decision: Decision
    page: str = ""  # path of the HTML page, relative to `var`
    treatments: tuple[Treatment, ...] = ()
    repaired: int = 0


@dataclass(frozen=True)
class Prepared:
    """A checked batch, ready to be published: kept rows and outcomes as Parquet files (relative to `var`)."""

    project: str
    period: str
    rows_path: str
    rows: int
    outcomes_period: str | None
    outcomes_path: str | None
    outcomes: int
    quarantine_path: str  # empty when no row was quarantined
    kept_at: str  # where a rejected batch is kept whole; empty when accepted
    validation: Validation
    flagged_path: str = ""  # keys and values of the outliers; empty when there are none, or no rule


@dataclass(frozen=True)
class DataTag:
    """A name that somebody gave a data version: an annotated git tag `dvc-data/<project>/<name>` on its commit."""

    project: str
    name: str
    version: str  # id
    commit: str
    created: str  # ISO 8601, UTC
    text: str


@dataclass(frozen=True)
class DataVersion:
    """A state of a project's data set. `id` is DVC's `<md5>.dir` (36 characters), `commit` names it on `dvc-data/<project>`."""

    project: str
    id: str
    commit: str
    parent: str | None  # data version id
    rows: int
    size_bytes: int
    periods: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """One period after ingest: in the data set (`version`), or rejected whole and kept at `kept_at`."""

    project: str
    period: str
    decision: Decision
    rows: int
    quarantined: int
    outcomes: int
    version: DataVersion | None
    page: str = ""
    kept_at: str = ""
    collected: Collected | None = None  # what the source gave; None in records of earlier releases
    repaired: int = 0  # rows that a declared rule put right
    quarantine_path: str = ""  # of rows and outcomes that were set aside, relative to `var`; empty when there are none


Encoding = Literal["codes", "onehot", "native"]


@dataclass(frozen=True)
class Member:
    """One more booster in an average: parameters, rounds and seed as of a recipe."""

    params: dict[str, float | int | str]
    rounds: int
    seed: int
    encoding: Encoding = "codes"
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """How to fit: everything of a model but its rows. `params` are XGBoost's, `rounds` boosting rounds per booster.

    `bags` boosters differ by their seed alone. `encoding`: what trees make of a category's code, a number (codes), one category against
    all others (onehot), or a set of them (native). `columns`: those that trees may split on, all where it is empty. `members`: boosters of
    other recipes, averaged with this one's.
    """

    name: str
    params: dict[str, float | int | str]
    rounds: int
    seed: int
    bags: int = 1
    encoding: Encoding = "codes"
    columns: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()

    @property
    def beyond(self) -> dict[str, Json]:
        """What of it an earlier release could not have said; empty where it says no more."""
        return {key: value for key, value in self.to_json().items() if key in ("encoding", "columns", "members")}

    @property
    def said(self) -> dict[str, float | int | str]:
        """Its parameters and style, each in a word, for tables."""
        style = {"encoding": self.encoding, "columns": len(self.columns), "members": len(self.members), "bags": self.bags}
        plain = {"encoding": "codes", "columns": 0, "members": 0, "bags": 1}
        return {**self.params, **{name: value for name, value in style.items() if value != plain[name]}}

    @property
    def parts(self) -> tuple[Recipe, ...]:
        """One recipe per booster, in the order of the boosters."""
        alone = replace(self, bags=1, members=())
        bags = [replace(alone, seed=self.seed + bag) for bag in range(self.bags)]
        return (*bags, *(Recipe(self.name, one.params, one.rounds, one.seed, 1, one.encoding, one.columns) for one in self.members))

    def to_json(self) -> dict[str, Json]:
        """As lineages hold it; what an earlier release did not know is left out where it says nothing, for its code must read it, too."""
        told = asdict(self)
        for key in ("encoding", "columns", "members"):
            if told[key] in ("codes", ()):
                del told[key]
        return told

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Recipe:
        """From a lineage, of this release or an earlier one. Raises: TypeError, KeyError: it is no recipe."""
        told = dict(**content)
        members = tuple(Member(**{**one, "columns": tuple(one["columns"])}) for one in told.get("members", ()))
        return cls(**{**told, "columns": tuple(told.get("columns", ())), "members": members})


@dataclass(frozen=True)
class Tried:
    """One line of the leaderboard: a recipe and its loss on the validation rows. `full`: fitted on all rows, not on a sample."""

    recipe: Recipe
    loss: float
    full: bool
    seconds: float


@dataclass(frozen=True)
class Tuned:
    """What a search found: the best recipe at full fidelity first. `verdict` says whether tuning beat the fixed recipes beyond noise."""

    project: str
    period: str
    leaderboard: tuple[Tried, ...]
    verdict: str
    path: str  # JSON of all trials, relative to `var`

    @property
    def recipe(self) -> Recipe:
        """The best one."""
        return self.leaderboard[0].recipe


@dataclass(frozen=True)
class Scorecard:
    """Measures of one model on rows it has not trained on. Losses and costs: lower is better; auc: higher."""

    model: str
    rows_of: str  # the period judged on
    rows: int
    positives: int
    measures: dict[str, Measure] = field(default_factory=dict)


@dataclass(frozen=True)
class Condition:
    """What a challenger must hold beside its gate: `name` says what was asked, in a word; a refusal keeps it from being released."""

    name: str
    decision: Decision


@dataclass(frozen=True)
class Leak:
    """A feature that is likely known only with the outcome, and what gave it away."""

    column: str
    said: str


@dataclass(frozen=True)
class Leakage:
    """What a look for leaks found on `rows` rows with outcomes, before anything was searched; a refusal names column and figure."""

    project: str
    period: str
    rows: int
    decision: Decision
    leaks: tuple[Leak, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.decision)


@dataclass(frozen=True)
class Foreseen:
    """A column that another future changes, in `rows` of the `of` rows that were asked about by a `moment`."""

    column: str
    moment: str
    rows: int
    of: int


@dataclass(frozen=True)
class Foresight:
    """What changed among `rows` rows asked about by some moments when all that came later was scrambled; `predictions` that differ."""

    project: str
    moments: tuple[str, ...]
    rows: int
    predicted_by: str
    predictions: int
    decision: Decision
    foreseen: tuple[Foreseen, ...] = ()


@dataclass(frozen=True)
class Power:
    """How often the gate promotes a challenger that is better by `gain` in truth (units of the loss); `refused`: surely not, share."""

    gain: float
    dose: float  # of the plants, in [0, 1]
    plants: int
    promoted: Measure
    refused: float


@dataclass(frozen=True)
class GateNoise:
    """What the gate says of models that are equal in truth, and of gains that were planted. Rates are shares of questions, over models."""

    project: str
    settings: str  # digest of what it depends on beside the rows
    data_version: str
    periods: tuple[str, ...]  # judged
    models: int
    pairs: int
    rows: int  # newest rows fitted on; 0: all
    loss: str
    rate: float  # false promotions asked for, at most
    margin: float  # of the YAML then
    plain: Measure  # promoted because the loss is no higher
    by_row: Measure  # because the interval over rows lies above 0
    by_block: Measure  # because the gate's interval lies above 0
    at_margin: Measure  # by the gate with the YAML's margin
    by_period: dict[str, float]  # the same, of each period
    smallest: float  # margin at which the point holds the rate
    at_smallest: Measure
    sure: float | None  # margin at which the upper end does, too
    curve: tuple[tuple[float, float, float, float], ...]  # margin, rate, its low and high
    power: tuple[Power, ...] = ()  # at the larger of both margins
    path: str = ""  # JSON, relative to `var`
    picture: str = ""

    @property
    def rates(self) -> dict[str, Measure]:
        """Rates of false promotions by the question that is asked."""
        return {
            "loss no higher (>=)": self.plain,
            "interval over rows above 0": self.by_row,
            "interval over blocks above 0": self.by_block,
            f"the gate, margin {self.margin:g}": self.at_margin,
            f"the gate, margin {self.smallest:.2g}": self.at_smallest,
        }

    @property
    def asked(self) -> Decision:
        """Whether the YAML's margin holds the rate."""
        rates = f"false promotions {self.at_margin}, {self.rate:g} asked for"
        said = f"margin {self.margin:g}, calibrated {self.smallest:.2g} {self.loss} ({rates})"
        return Decision.by(self.margin >= self.smallest, said)


@dataclass(frozen=True)
class Slice:
    """Judged rows that have something in common, `name` ("origin = JFK"), and how a challenger does there.

    Losses are per row, in `gate.loss`. `increase` is the challenger's loss less that of `against`, on the same rows; above `surely` it lies
    in all slices together, at 95 %.
    """

    name: str
    found: Literal["declared", "discovered"]
    rows: int
    blocks: int
    loss: Measure
    against: str
    other: Measure  # loss of `against`
    increase: Measure
    surely: float


@dataclass(frozen=True)
class Group:
    """One group's rates at the threshold. Of a confidential column the name holds a number instead of the value."""

    name: str
    rows: int
    positives: int
    rates: dict[str, Measure]  # selection_rate, tpr, fpr; one is left out where too few rows give it


@dataclass(frozen=True)
class Fairness:
    """Groups by one column or by two crossed (`by`: "sex", "sex x race"), and the largest differences between them, in [0, 1]."""

    by: str
    groups: tuple[Group, ...]
    differences: dict[str, Measure]
    small: int = 0  # groups with too few rows to be compared


@dataclass(frozen=True)
class Reliance:
    """What a model leans on: mean absolute contribution of a column to the margin (SHAP), and the loss that shuffling it adds per row."""

    column: str
    contribution: float
    permutation: float


@dataclass(frozen=True)
class AtOrigin:
    """A recipe fitted on what lay before a period, and judged on it: mean loss per row, uncalibrated."""

    judged: str
    fitted_through: str
    fit_rows: int
    rows: int
    recipe: str
    loss: Measure
    base: float  # loss there of one answer for all
    chosen_on: bool = False  # the recipe was chosen by these very rows, which flatters it


@dataclass(frozen=True)
class Backtest:
    """A rolling origin, oldest first: `origins` of the winning recipe, `procedure` where the search was repeated, too. `loss` names it."""

    loss: str = ""
    origins: tuple[AtOrigin, ...] = ()
    procedure: tuple[AtOrigin, ...] = ()

    @property
    def said(self) -> str:
        """In one line; empty where there is none."""
        parts = (("", self.origins), ("; the whole search: ", self.procedure))
        return "".join(head + self._told(found) for head, found in parts if found).removeprefix("; ")

    def _told(self, found: tuple[AtOrigin, ...]) -> str:
        values = [one.loss.value for one in found]
        if len(found) == 1:
            surely = "" if found[0].loss.high < found[0].base else "not "
            return f"{self.loss} {values[0]:.4f} in {found[0].judged}, {surely}surely below one answer for all"
        best, worst = (pick(found, key=lambda one: one.loss.value) for pick in (min, max))
        beaten = sum(one.loss.high < one.base for one in found)
        return (
            f"{self.loss} {sum(values) / len(values):.4f} on average of {len(found)} periods ({best.loss.value:.4f} in {best.judged} to "
            f"{worst.loss.value:.4f} in {worst.judged}), surely below one answer for all in {beaten}"
        )


@dataclass(frozen=True)
class Judged:
    """The two decisions of a retraining, and what the release takes over from the judged twin."""

    project: str
    period: str
    recipe: Recipe  # the winner: challenger's or champion's
    recipe_decision: Decision
    refresh_decision: Decision
    scorecards: tuple[Scorecard, ...]  # challenger, champion, baselines
    calibration: Calibration  # as pillars.bundle writes it
    threshold: float  # probability in [0, 1] at and above which a row is acted on; of binary targets only
    path: str  # Parquet of the twins' predictions on the judged rows, relative to `var`
    conditions: tuple[Condition, ...] = ()  # what the YAML asks of the challenger beside the two decisions
    interval: Interval = field(default_factory=dict)  # of numbers, learned on the judged rows; empty without one
    slices: tuple[Slice, ...] = ()  # where the challenger does worst
    fairness: tuple[Fairness, ...] = ()
    backtest: Backtest = Backtest()


@dataclass(frozen=True)
class Candidate:
    """What training made: a fitted bundle in `path` (relative to `var`), its recipe, and the decisions on its twin."""

    project: str
    period: str
    run_id: str  # MLflow run
    data_version: str
    recipe: Recipe
    path: str
    sha256: str  # identity: over the UBJ files of the refitted bundle
    fitted_through: str
    recipe_decision: Decision
    refresh_decision: Decision
    scorecards: tuple[Scorecard, ...] = ()
    digest: str = ""  # sha256 over all that the bundle holds: another threshold on the same boosters is another bundle
    conditions: tuple[Condition, ...] = ()
    slices: tuple[Slice, ...] = ()
    fairness: tuple[Fairness, ...] = ()
    reliance: tuple[Reliance, ...] = ()  # the columns that the released boosters lean on most
    backtest: Backtest = Backtest()

    @property
    def releasable(self) -> Decision:
        """The refresh decision where every condition holds, else the first condition that does not."""
        if not self.refresh_decision:
            return self.refresh_decision
        return next(
            (Decision(c.decision.outcome, f"{c.name}: {c.decision.reason}") for c in self.conditions if not c.decision),
            self.refresh_decision,
        )


@dataclass(frozen=True)
class Change:
    """One key of a YAML (`section.key`) that two settings differ in; both values as JSON."""

    key: str
    was: str
    now: str

    def __str__(self) -> str:
        return f"{self.key}: {self.was} -> {self.now}"


@dataclass(frozen=True)
class Gain:
    """How much lower a model's loss is than another's, per row, on the same `rows` rows; above 0 it is better."""

    against: str
    loss: str
    rows: int
    measure: Measure | None  # None where there are no rows to compare them on
    note: str = ""  # why not, or what a reader should know

    @property
    def said(self) -> str:
        """In one sentence."""
        if self.measure is None:
            return self.note
        surely = "surely better" if self.measure.low > 0 else "surely worse" if self.measure.high < 0 else "nobody can say which is better"
        if self.measure.low == self.measure.high == 0:
            surely = "they say the same"
        return f"{self.loss} gain {self.measure} on {self.rows:,} rows: {surely}" + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Experiment:
    """A training with changed settings, judged and compared, and never released; its MLflow run has no model."""

    project: str
    period: str
    data_version: str
    run_id: str  # MLflow run
    changes: tuple[Change, ...]
    recipe: Recipe
    verdict: str  # of the search
    gains: tuple[Gain, ...]
    scorecards: tuple[Scorecard, ...]  # of the experiment, of the project's own settings, of the champion where it can be judged
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class ModelVersion:
    """A registered release bundle: `version` as MLflow counts them, identity `sha256` over its UBJ files."""

    project: str
    version: int
    sha256: str
    run_id: str
    data_version: str
    fitted_through: str
    recipe: str
    digest: str = ""  # as of its candidate


@dataclass(frozen=True)
class Origin:
    """What a registered version says that it was made from. "" and 0 where an earlier release did not record it."""

    project: str
    version: int
    sha256: str  # of its boosters: what a reproduction must come to
    data_version: str
    data_commit: str
    fitted_through: str
    recipe: Recipe
    config: str  # digest of the YAML
    commit: str  # of the code, 40 hex
    dirty: str  # sha256 over uncommitted changes, "" when there were none
    patch: str  # sha256 of those changes as they were kept, "" when they were not
    code: str  # sha256 over the source of the `pillars` that ran
    threads: int
    environment: dict[str, str]  # lock, python, machine, package.<name>
    fit_digest: str = ""  # of the rows that were fitted on, as the model sees them
    engine: str = "local"
    device: str = "cpu"
    ends: bool = True  # whether it has the boosters of its intervals, where the YAML asks for some


Likeness = Literal["IDENTICAL", "EQUIVALENT", "DIFFERENT", "ERASED", "FAILED"]  # FAILED: it could not be tried


@dataclass(frozen=True)
class Factor:
    """One thing that a model depends on and that is not here what was recorded. `proven`: put back alone, it gave the recorded boosters."""

    name: Literal["data", "code", "config", "seed", "parameters", "threads", "lock", "python", "machine", "engine", "device"]
    recorded: str
    here: str
    proven: bool = False

    def __str__(self) -> str:
        told = f"{self.name} (recorded {self.recorded or 'not'}, here {self.here or 'none'})"
        return f"{told}: put back alone it gives the recorded boosters" if self.proven else told


@dataclass(frozen=True)
class Reproduction:
    """A registered version made again from its lineage, and what came of it.

    `distance`: largest absolute difference of scores over `compared`, in units of the score (of numbers: in standard deviations of the
    registered model's); None where nothing was compared.
    """

    project: str
    version: int
    verdict: Likeness
    reason: str
    recorded: str  # sha256 of the registered boosters
    made: str = ""  # of those that were made here; "" when none were
    epsilon: float = 0.0
    distance: float | None = None
    compared: str = ""
    factors: tuple[Factor, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Moved:
    """One factor in which two versions differ, and what it does to the loss, per row; above 0 what the other version has is better.

    `forward`: what the one gains when it takes this alone from the other. `backward`: what the other loses when it takes this alone from
    the one.
    """

    factor: str  # data, code, config, parameters, seed, calibration
    one: str
    other: str
    forward: Measure
    backward: Measure

    @property
    def said(self) -> str:
        """Whether it moved the loss, in words."""
        signs = [(measure.low > 0) - (measure.high < 0) for measure in (self.forward, self.backward)]
        if signs[0] == signs[1] != 0:
            return "better" if signs[0] > 0 else "worse"
        if any(signs):
            return "depends on the other factors" if 0 not in signs else "from one side only"
        return "moved nothing" if self.forward.value == self.backward.value == 0 else "nobody can say"


@dataclass(frozen=True)
class Attribution:
    """What lies between the losses of two registered versions, on rows that no fit has seen. `interaction_*`: what of `total` the factors,
    each alone, do not add up to."""

    project: str
    one: int
    other: int
    judged_on: str
    rows: int
    loss: str
    total: Measure  # the gain of the other over the one
    factors: tuple[Moved, ...]
    interaction_forward: Measure
    interaction_backward: Measure
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Promotion:
    """What a promotion is on record with: the version that was registered for it, and the recipe decision behind it."""

    version: ModelVersion
    recipe_decision: Decision


@dataclass(frozen=True)
class Release:
    """A model version exported to an immutable folder (`path` relative to `var`)."""

    project: str
    version: int
    sha256: str
    path: str
    digest: str = ""  # as of its version; what is loaded is held against both


Metric = Literal["error", "latency", "score", "wrong"]  # kinds of bad events
Arm = Literal["champion", "challenger", "shadow"]
Health = Literal["healthy", "harmful", "inconclusive"]


@dataclass(frozen=True)
class Event:
    """One answered request, as a rollout is judged by it. A shadow's has entity and time of the request that it was shown."""

    entity: str  # what the router splits by; of a request without one, the request's id
    arm: Arm
    at: float  # seconds since 1970, UTC
    generation: int  # of the traffic policy that routed it
    error: bool
    latency_ms: float | None  # None: nobody waited for it
    score: float | None = None
    wrong: bool | None = None  # None until the outcome is known
    slice: str = ""  # the group that it is of, see `rollout.slice`


@dataclass(frozen=True)
class Stage:
    """The share of the entities that a challenger has, in basis points, from `generation` of the traffic on. `since`, ISO: with an offset
    by the wall clock, without one by that of the rows, which are judged when their batch comes."""

    generation: int
    weight_bp: int
    since: str


@dataclass(frozen=True)
class Trial:
    """A release on trial beside the champion. `stages`, oldest first; the last one is in force.

    What bad events are measured by is settled when the trial begins, or the test would not be one: `latency_ms` (None: latency is not
    judged) and, for a trial with the whole traffic, `ceilings`: metric to the share of bad entities that is put up with.
    """

    challenger: Release
    mode: Literal["blue-green", "canary", "shadow", "ab"]
    salt: str
    stages: tuple[Stage, ...]
    latency_ms: float | None = None
    ceilings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Pin:
    """A version that a person holds in place; automation leaves it."""

    version: int
    by: str
    at: str
    reason: str


@dataclass(frozen=True)
class Rest:
    """Something was taken back: nothing is rolled out or back by itself before `until`, and no release of `harmed` (sha256) ever. Without
    an offset `until` is by the rows' own clock, as a stage's `since`."""

    until: str
    harmed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """What a look at a trial came to. `e` maps each judged metric to the natural logarithm of its e-value."""

    health: Health
    reason: str
    e: dict[str, float] = field(default_factory=dict)
    challenger: int = 0  # entities served at the share in force
    champion: int = 0


@dataclass(frozen=True)
class Rollout:
    """Who answers: the content of the traffic policy file. `generation` grows by one with every change."""

    project: str
    generation: int
    champion: Release
    previous: tuple[Release, ...] = ()  # newest first: where rollback goes
    strategy: str = "direct"
    reason: str = ""
    trial: Trial | None = None
    pin: Pin | None = None
    rest: Rest | None = None


@dataclass(frozen=True)
class ArmReport:
    """One arm of a trial. `bad` maps a metric to the share of entities that had a bad event; latencies in milliseconds."""

    arm: Arm
    requests: int
    entities: int
    bad: dict[str, Measure]
    p50_ms: float | None
    p99_ms: float | None
    mean_score: float | None


@dataclass(frozen=True)
class Divergence:
    """Of one slice: how far a shadow's scores lie from the champion's on the same requests, absolute, in units of the score."""

    slice: str
    pairs: int
    mean: float
    most: float


@dataclass(frozen=True)
class TrialReport:
    """What a trial came to by now."""

    challenger: int
    mode: str
    arms: tuple[ArmReport, ...]
    divergence: tuple[Divergence, ...] = ()


@dataclass(frozen=True)
class Looked:
    """A look at a trial: what it came to, who answers after it, and whether that was changed. No judgement where nothing is on trial."""

    project: str
    moved: bool
    rollout: Rollout
    judgement: Judgement | None = None
    unreadable: int = 0  # lines of the request log that are none
    report: str = ""  # of the arms, when something moved: JSON, relative to `var`


@dataclass(frozen=True)
class Scored:
    """A period's predictions, written before its outcomes were looked at. `path` is relative to `var`, `model_version` answered most."""

    project: str
    period: str
    model_version: int | None
    data_version: str
    rows: int
    path: str
    sha256: str
    reason: str = ""
    threshold: float = 0.5  # of the release that scored, probability in [0, 1]
    moves: tuple[Rollout, ...] = ()  # how the traffic went on while they were scored, by the trial of a release


@dataclass(frozen=True)
class Weighed:
    """A release beside the one that it replaced, on the rows of a period whose outcomes have come: refused when it is surely worse.

    `increase`: of the loss, per row, in units of `gate.loss`; None where nobody could say. `generation`: the one that made it champion.
    """

    project: str
    period: str
    version: int
    against: int
    generation: int
    decision: Decision
    rows: int
    increase: Measure | None = None


@dataclass(frozen=True)
class Compacted:
    """Finished segments of the request log as Parquet files (relative to `var`). `cut`: bytes of lines that were never answered;
    `waiting`: segments that are still written."""

    project: str
    rows: int
    files: tuple[str, ...]
    cut: int
    waiting: int


@dataclass(frozen=True)
class Drift:
    """Distances of one period's columns to the reference. `share` counts declared structural columns only."""

    period: str
    reference: str
    scores: dict[str, float]
    drifted: tuple[str, ...]
    structural_drifted: tuple[str, ...]
    share: float
    report: str = ""  # JSON, relative to `var`
    page: str = ""  # HTML, written for alarms and on demand


@dataclass(frozen=True)
class Verdict:
    """The state of a project after one period: whether to retrain, and why."""

    project: str
    period: str
    retrain: bool
    reason: str
    champion: int | None
    drift: Drift | None
    quality: Scorecard | None
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Alert:
    """One alarm of a period's verdict, as a line for people. Alerts with equal `key` are one alarm that lasts."""

    project: str
    period: str
    kind: str  # drift, quality
    text: str
    key: str

    def __str__(self) -> str:
        return f"{self.project} {self.period} {self.kind}: {self.text}"


Fault = Literal[
    "none",
    "errors",
    "latency",
    "corrupt bundle",
    "wrong scores",
    "flipped labels",
    "unit change",
    "registry down",
    "half-written policy",
    "killed controller",
    "killed worker",
    "full disk",
    "clock jump",
    "late labels",
]


@dataclass(frozen=True)
class Expected:
    """What a fault has to come to in a drill, and why."""

    outcome: Literal["taken back", "harmless", "either", "not judged"]
    why: str


@dataclass(frozen=True)
class Played:
    """One fault injected into one strategy. `injected`: what was seen of the fault itself; "" where nothing was. `end`: what became of the
    release on trial; `unsafe`: what is wrong with the end state."""

    strategy: str
    fault: Fault
    expected: Expected
    injected: str = ""
    detected: str = ""
    seconds: float | None = None  # from the injection until somebody noticed
    requests: int = 0
    harmed: int = 0  # refused, not answered, too slow, or answered by what is on trial and harms
    end: str = ""
    unsafe: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drilled:
    """All plays of a drill, with the version that played the champion."""

    project: str
    version: int
    plays: tuple[Played, ...]
    seconds: float
