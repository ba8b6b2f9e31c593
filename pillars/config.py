"""`configs/<project>.yaml` as frozen, typed values. An unknown key is an error that names its line and the nearest known key."""

from __future__ import annotations

import errno
import hashlib
import json
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from pillars.errors import ConfigInvalid, StoreUnavailable, UnknownName

Role = Literal["key", "time", "entity", "protected", "feature", "outcome", "known_later", "info"]
ColumnType = Literal["float", "int", "category", "text", "timestamp", "bool"]
Share = Annotated[float, Field(ge=0, le=1)]
NAME = r"^[a-z][a-z0-9_-]{0,40}$"
MODULE = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"  # relative names have no package to start from
CRON = r"^(@[a-z]+|\S+(\s+\S+){4})$"  # Prefect reads the fields themselves
SHAPES = {  # what a pattern asks for, in words
    NAME: "small letters, digits, - and _, a letter first, 41 at most",
    MODULE: "the full name of a module, such as projects.flights",
    CRON: "five fields, such as 0 6 1 * *",
}
NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
SETTLED = ("description", "schedule")  # sections that may change freely: no result depends on them


class Section(BaseModel):
    """Base of every section: unknown keys refused, values frozen, numbers finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Source(Section):
    """Where rows and outcomes come from."""

    python: str = Field(
        pattern=MODULE, description="module whose source() has periods(), rows(period) and outcomes(period), e.g. projects.flights"
    )
    options: dict[str, JsonValue] = Field(default={}, description="keyword arguments of its source(), e.g. horizon_min: 60")
    outcome_lag: int = Field(default=0, ge=0, description="periods between rows and the arrival of their outcomes")


class Column(Section):
    """One column of the rows or outcomes."""

    type: ColumnType = Field(description="float, int, category, text, timestamp (without a zone) or bool")
    role: tuple[Role, ...] = Field(default=("info",), description="key, time, entity, protected, feature, outcome, known_later, info")
    nullable: bool = Field(default=True, description="whether nulls are allowed")
    description: str = Field(default="", description="what the column means, with its unit")


class Features(Section):
    """What the model sees, in this order."""

    numeric: tuple[str, ...] = Field(description="columns used as numbers")
    categorical: tuple[str, ...] = Field(default=(), description="columns used as categories")
    min_category_rows: int = Field(default=50, ge=1, description="rarer categories share one code with unseen ones")


class Expectation(Section):
    """One Great Expectations check, free of ids."""

    type: str = Field(description="the expectation's name, e.g. expect_column_values_to_be_between")
    kwargs: dict[str, JsonValue] = Field(default={}, description="its arguments, as Great Expectations names them")
    severity: Literal["critical", "warning", "info"] = Field(default="critical", description="critical rejects the batch")
    quarantine: bool = Field(default=False, description="rows that fail go to quarantine; the batch stays within its budget")
    table: Literal["rows", "outcomes"] = Field(default="rows", description="which table is checked")
    note: str = Field(default="", description="why")


class Expectations(Section):
    """What a batch must be. Schema, types, nulls and the key are checked from `columns`; these come on top."""

    min_rows: int = Field(default=1, ge=1, description="a batch with fewer rows is rejected: most checks hold on no rows")
    max_rows: int | None = Field(default=None, description="a batch with more rows is rejected")
    quarantine_budget: Share = Field(default=0.01, description="largest share of rows in quarantine; above it the batch is rejected whole")
    freshness: bool = Field(default=True, description="every row's time must lie in its period")
    suite: tuple[Expectation, ...] = Field(default=(), description="the checks")

    @model_validator(mode="after")
    def limits_fit(self) -> Expectations:
        """Refuse limits that no batch can keep."""
        if self.max_rows is not None and self.max_rows < self.min_rows:
            raise ValueError(f"max_rows {self.max_rows} is below min_rows {self.min_rows}")
        return self


class Split(Section):
    """How time separates fitting from judging."""

    gap_periods: int = Field(default=0, ge=0, description="periods left out between fitting and judging")
    first_share: Share = Field(default=0.7, description="with a single period known, the share of its blocks that is fitted on")
    block: Literal["day", "hour", "row"] = Field(default="day", description="rows of one block stay together and are resampled together")


class Range(Section):
    """A search dimension. Integers stay integers when both ends are."""

    low: float | int = Field(description="smallest value")
    high: float | int = Field(description="largest value")
    log: bool = Field(default=False, description="sample on a logarithmic scale")

    @model_validator(mode="after")
    def ends_fit(self) -> Range:
        """Refuse a range without a value in it."""
        if self.high < self.low:
            raise ValueError(f"high {self.high} is below low {self.low}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low} has no logarithm; it must be above 0")
        return self


class Search(Section):
    """The Optuna study of one retraining."""

    trials: int = Field(default=8, ge=0, description="budget: fits with sampled parameters")
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


class Cost(Section):
    """Business cost per row, in one unit of the user's choice."""

    false_positive: float = Field(default=1.0, ge=0, description="cost of acting on a row that did not need it")
    false_negative: float = Field(default=1.0, ge=0, description="cost of missing a row that did")
    unit: str = Field(default="units", description="name of the unit, for tables")


class Gate(Section):
    """When a challenger may replace the champion. Differences are in the primary loss, per row."""

    loss: Literal["log_loss", "brier"] = Field(default="log_loss", description="primary loss")
    margin: float = Field(default=0.001, ge=0, description="recipe decision: the gain's lower bound must exceed this")
    refresh_margin: float = Field(default=0.005, ge=0, description="refresh decision: the refitted twin may be this much worse")
    min_rows: int = Field(default=1000, ge=1, description="fewer judged rows are inconclusive")
    resamples: int = Field(default=1000, ge=100, description="bootstrap resamples of blocks")


class Rollout(Section):
    """How a release takes traffic."""

    strategy: Literal["direct"] = Field(default="direct", description="direct: the whole traffic at once")
    keep: int = Field(default=3, ge=1, description="earlier releases kept for rollback")


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


class Schedule(Section):
    """When the scheduled cycle runs (Prefect deployment)."""

    cron: str = Field(default="0 6 1 * *", pattern=CRON, description="cron expression")
    timezone: str = Field(default="UTC", description="time zone of the expression")
    active: bool = Field(default=True, description="whether the schedule starts active")

    @field_validator("timezone")
    @classmethod
    def known_zone(cls, timezone: str) -> str:
        """Refuse a zone that does not exist. A machine without a list of zones takes any."""
        try:
            ZoneInfo(timezone)
        except (LookupError, ValueError, OSError):
            if known := available_timezones():
                raise ValueError(f"there is no time zone {timezone}{_near(timezone, known)}") from None
        return timezone


class Project(Section):
    """The whole of one project."""

    project: str = Field(pattern=NAME, description="name, equal to the file's")
    description: str = Field(default="", description="one line for people")
    task: Literal["binary"] = Field(default="binary", description="kind of target")
    target: str = Field(description="the outcome column that is predicted")
    source: Source = Field(description="where rows come from")
    columns: dict[str, Column] = Field(description="every column with its type and roles; undeclared columns are refused")
    features: Features = Field(description="what the model sees")
    expectations: Expectations = Field(default=Expectations(), description="what a batch must be")
    split: Split = Field(default=Split(), description="time and blocks")
    search: Search = Field(default=Search(), description="tuning")
    cost: Cost = Field(default=Cost(), description="what errors cost")
    gate: Gate = Field(default=Gate(), description="promotion")
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
                problems.append(f"features: {name} is not declared under columns{_near(name, self.columns)}")
            elif {"outcome", "known_later"} & set(column.role):
                problems.append(f"features: {name} is known only after the prediction moment")
            elif "protected" in column.role:
                problems.append(f"features: {name} is protected")
        if "outcome" not in self.columns.get(self.target, Column(type="bool")).role:
            problems.append(f"target: {self.target} must be a column with role outcome{_near(self.target, self.of('outcome'))}")
        elif self.columns[self.target].type != "bool":
            problems.append(f"target: {self.target} is declared {self.columns[self.target].type}; a binary target is a bool")
        for name in self.key:
            if {"outcome", "known_later"} & set(self.columns[name].role):
                problems.append(f"columns: {name} is a key, and known only after the prediction moment")
        if not self.key:
            problems.append("columns: one or more columns need role key")
        if len(self.of("time")) != 1:
            problems.append("columns: exactly one column needs role time")
        for name in (*self.monitoring.drift.structural, *self.monitoring.drift.seasonal):
            if name not in self.columns:
                problems.append(f"monitoring.drift: {name} is not declared under columns{_near(name, self.columns)}")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def of(self, role: Role) -> tuple[str, ...]:
        """Names of the columns that have `role`, in the order of the file."""
        return tuple(name for name, column in self.columns.items() if role in column.role)

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that name a row."""
        return self.of("key")

    @property
    def time(self) -> str:
        """The column of the prediction moment's period."""
        return self.of("time")[0]

    @property
    def row_columns(self) -> tuple[str, ...]:
        """Columns of the rows table: all but outcomes and what is known later."""
        return tuple(n for n, c in self.columns.items() if not {"outcome", "known_later"} & set(c.role))

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """Columns of the outcomes table: the key, then outcomes and what is known later."""
        return (*self.key, *(n for n, c in self.columns.items() if {"outcome", "known_later"} & set(c.role)))

    def digest(self) -> str:
        """sha256 over the canonical JSON of the whole project."""
        return digest(self.model_dump(mode="json"))

    def section_digest(self, *sections: str) -> str:
        """sha256 over some sections: what one step depends on."""
        return digest({s: self.model_dump(mode="json")[s] for s in sections})


def digest(value: Any) -> str:
    """sha256 (hex) over canonical JSON: sorted keys, no blanks."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def load(path: Path) -> Project:
    """Read one YAML file.

    Raises:
        ConfigInvalid: not YAML, an unknown key (with its line and the nearest known key), or a value out of its range.
        UnknownName: no such file.
        StoreUnavailable: it cannot be read.
    """
    return _read(path, _text(path))


@lru_cache(maxsize=8)  # a cycle opens its project seven times, each a tenth of a second of YAML
def _read(path: Path, text: str) -> Project:
    try:
        loader = yaml.SafeLoader(text)  # parsed once: that is nearly all of a load's time
        root = loader.get_single_node()
        twice = _twice(root)
        content = None if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as err:
        line = err.problem_mark.line + 1 if err.problem_mark else 1
        raise ConfigInvalid(path.name, [f"line {line}: {err.problem}"]) from err
    except yaml.YAMLError as err:
        raise ConfigInvalid(path.name, [" ".join(str(err).split())]) from err
    except RecursionError as err:
        raise ConfigInvalid(path.name, ["it is nested too deeply, or an anchor holds itself"]) from err
    if not isinstance(content, dict):
        raise ConfigInvalid(path.name, ["the file must be a mapping of sections"])
    if twice:
        raise ConfigInvalid(path.name, twice)
    try:
        project = Project.model_validate(content)
    except ValidationError as err:
        raise ConfigInvalid(path.name, [s for e in err.errors() for s in _sentences(e, root)]) from err
    if project.project != path.stem:
        raise ConfigInvalid(
            path.name, [f"line {_line(root, ('project',))}: project is {project.project!r} but the file is named {path.name}"]
        )
    return project


def names(folder: Path) -> list[str]:
    """Projects that have a YAML in `folder`."""
    return sorted(p.stem for p in folder.glob("*.yaml") if not p.name.startswith("_") and p.is_file())


def _text(path: Path) -> str:
    """The file's text.

    Raises:
        ConfigInvalid: it is a folder, or no UTF-8.
        UnknownName: there is no such file.
        StoreUnavailable: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except IsADirectoryError as err:
        raise ConfigInvalid(path.name, ["it is a folder, not a file"]) from err
    except OSError as err:
        if err.errno in NO_SUCH_FILE:
            raise UnknownName("project", path.stem, names(path.parent)) from err
        raise StoreUnavailable(str(path), f"cannot be read ({err.strerror})", "Nothing was changed; mend it and run again.") from err
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        raise ConfigInvalid(path.name, [f"line {line}: byte 0x{content[err.start]:02x} is not UTF-8; save the file as UTF-8"]) from err


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys that differ between two dumped projects, each with both values."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}: {_short(a)} -> {_short(b)}")
    return found


def binding_differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The differences that matter to a history: those in sections that results depend on."""
    before, after = ({key: value for key, value in dump.items() if key not in SETTLED} for dump in (old, new))
    return differences(before, after)


def schema() -> dict[str, Any]:
    """JSON schema of a project file, from which editors complete."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Project.model_json_schema()}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _near(name: str, known: Any) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"; nearest: {near[0]}" if near else ""


def _twice(node: yaml.Node | None) -> list[str]:
    """Keys that stand twice in one mapping: YAML would silently take the last."""
    if not isinstance(node, yaml.MappingNode | yaml.SequenceNode):
        return []
    if isinstance(node, yaml.SequenceNode):
        return [problem for child in node.value for problem in _twice(child)]
    keys = [key.value for key, _ in node.value]
    again = [f"line {k.start_mark.line + 1}: {k.value} stands here twice" for i, (k, _) in enumerate(node.value) if k.value in keys[:i]]
    return again + [problem for _, child in node.value for problem in _twice(child)]


def _sentences(error: Any, root: yaml.Node | None) -> list[str]:
    """One error of pydantic for people; a check over several sections says one thing per line, each beginning with its section."""
    if error["loc"]:
        return [_sentence(error, root)]
    problems = error["msg"].removeprefix("Value error, ").splitlines()
    return [f"line {_line(root, tuple(p.partition(':')[0].split('.')))}: {p}" for p in problems]


def _sentence(error: Any, root: yaml.Node | None) -> str:
    where, line = ".".join(str(p) for p in error["loc"]), _line(root, error["loc"])
    if error["type"] == "extra_forbidden":
        return f"line {line}: unknown key {where}{_near(str(error['loc'][-1]), _known_keys(error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"line {line}: {where} is missing"
    if error["type"] == "string_pattern_mismatch":
        return f"line {line}: {where} is {error['input']!r:.60}; it must be {SHAPES[error['ctx']['pattern']]}"
    return f"line {line}: {where + ': ' if where else ''}{error['msg'].removeprefix('Value error, ')}"


def _known_keys(loc: tuple[Any, ...]) -> list[str]:
    """Keys of the section at `loc`, found by walking the models' annotations."""
    model: Any = Project
    for part in loc:
        annotation = (
            model.model_fields[part].annotation if isinstance(part, str) and _is_section(model) and part in model.model_fields else model
        )
        model = annotation if annotation is not model else next((a for a in get_args(model) if _is_section(a)), model)
    return list(model.model_fields) if _is_section(model) else []


def _is_section(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, Section)


def _line(root: yaml.Node | None, loc: tuple[Any, ...]) -> int:
    """Line (from 1) of the deepest node on the way to `loc`; a key's own line where it is one."""
    node, line = root, 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line
