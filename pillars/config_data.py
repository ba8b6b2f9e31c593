"""What a `configs/<project>.yaml` may say of its data: source, columns, repairs, expectations. `config` says the rest."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

Role = Literal["key", "time", "entity", "protected", "feature", "outcome", "known_later", "weight", "info"]
ColumnType = Literal["float", "int", "category", "text", "timestamp", "bool"]
Class = Literal["public", "internal", "personal", "sensitive"]
Every = Literal["hour", "day", "week", "month", "quarter", "year"]
Share = Annotated[float, Field(ge=0, le=1)]
Step = Annotated[float, Field(gt=0)] | Literal["hour", "day", "month", "quarter", "year"]
MODULE = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"  # relative names have no package to start from
BLOCK = "block:"  # begins a reference to a Prefect Secret block
REFERENCE = rf"[A-Z][A-Z0-9_]{{0,80}}|{BLOCK}[a-z0-9]+(-[a-z0-9]+)*"  # a variable of the environment, or such a block
A_REFERENCE = f"the name of an environment variable (capitals, digits, _), or {BLOCK}NAME of a Prefect Secret block"
HEADER = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # a token of RFC 9110
HTTP = r"https?://[^\s/]+(/\S*)?"


class Section(BaseModel):
    """Base of every section: unknown keys refused, values frozen, numbers finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_by_name=True, serialize_by_alias=True)


class Csv(Section):
    """How CSV files are written. Every value is read as text first; its column says what it means."""

    separator: str = Field(default=",", min_length=1, max_length=1, description="character between values")
    quote: str = Field(default='"', min_length=1, max_length=1, description="character around values that hold a separator")
    encoding: str = Field(default="utf-8", description="encoding of the files, as Python names it: utf-8, latin-1, cp1252, utf-16")
    nulls: tuple[str, ...] = Field(default=("", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null"), description="texts that mean: no value")
    skip: int = Field(default=0, ge=0, description="lines before the header")

    @field_validator("encoding")
    @classmethod
    def known_encoding(cls, encoding: str) -> str:
        """Refuse an encoding that Python does not have."""
        try:
            "a".encode(encoding)
        except (LookupError, UnicodeError):
            raise ValueError(f"there is no text encoding {encoding!r:.40}") from None
        return encoding


class Batches(Section):
    """How the rows of a file or query become periods."""

    by: Literal["time", "rows", "file"] = Field(
        default="time",
        description="time: by the column with that role; rows: blocks in their order; file: one period a file, of its name",
    )
    every: Every = Field(default="month", description="by time: what a period is; they are named 2013-02, 2013-W05, 2013-Q1 ...")
    size: int = Field(default=10_000, ge=1, description="by rows: rows of a period")
    shuffled: int | None = Field(
        default=None,
        ge=1,
        description="by rows: how many rows a sorted file has that is complete; its blocks are drawn by chance, always the same",
    )
    hold_newest: bool = Field(default=False, description="leave the newest period out until a later one has begun: the file still grows")


class Sql(Section):
    """Queries. The database's address is a secret: here stands only where it is kept."""

    url_from: str = Field(
        description="where the SQLAlchemy URL is kept: an environment variable (SHOP_DB), or a Prefect Secret block (block:shop-db)"
    )
    rows: str = Field(
        min_length=1, description="query of the rows, or of everything; may name :period, and its :start and :end (not included)"
    )
    outcomes: str | None = Field(default=None, description="query of keys and outcomes; by default they are columns of the rows' query")
    periods: str | None = Field(
        default=None, description="query whose first column names the periods, oldest first; by default all rows are read and cut"
    )

    @field_validator("url_from")
    @classmethod
    def no_address(cls, name: str) -> str:
        """Refuse what names no place, without repeating it: it may be an address with its password."""
        if not re.fullmatch(REFERENCE, name):
            raise ValueError(f"it must be {A_REFERENCE}, never the address itself")
        return name


class Http(Section):
    """Files behind http(s)."""

    url: str = Field(description="address; with {period} in it, one file per period")
    periods: tuple[str, ...] = Field(default=(), description="with {period}: the periods there are, oldest first")
    sha256: dict[str, str] = Field(default={}, description="checksum of the file of a period, or of `all`; another file is refused")
    attempts: int = Field(default=5, ge=1, le=20, description="tries before the server counts as unreachable; each waits twice as long")
    timeout_s: float = Field(default=30.0, gt=0, description="seconds that the server may be silent")
    headers_from: dict[str, str] = Field(
        default={},
        description="headers, and where each one's whole value is kept, as in sql.url_from: {Authorization: SHOP_AUTH} (Bearer ...)",
    )

    @field_validator("headers_from")
    @classmethod
    def no_token(cls, headers: dict[str, str]) -> dict[str, str]:
        """Refuse what names no place, without repeating it: it may be the token itself."""
        for name, reference in headers.items():
            if not re.fullmatch(HEADER, name):
                raise ValueError("a header's name is letters, digits and -")
            if not re.fullmatch(REFERENCE, reference):
                raise ValueError(f"{name}: it must be {A_REFERENCE}, never the value itself")
        return headers

    @field_validator("url")
    @classmethod
    def no_login(cls, url: str) -> str:
        """Refuse a password, without repeating it."""
        if not re.fullmatch(HTTP, url):
            raise ValueError("it must be an address that begins with http:// or https://")
        if re.match(r"\w+://[^/?#]*@", url):
            raise ValueError("it holds a user or password, and YAML files are committed: take them out, and put them into ~/.netrc")
        return url


class Source(Section):
    """Where rows and outcomes come from: exactly one of python, file, sql and http."""

    python: str | None = Field(
        default=None,
        pattern=MODULE,
        description="module whose source() has periods(), rows(period) and outcomes(period), e.g. projects.flights",
    )
    options: dict[str, JsonValue] = Field(default={}, description="python: keyword arguments of its source(), e.g. horizon_min: 60")
    file: str | None = Field(
        default=None, min_length=1, description="CSV or Parquet, relative to the project's folder; inbox/*.csv takes all that fit"
    )
    sql: Sql | None = Field(default=None, description="queries")
    http: Http | None = Field(default=None, description="files behind http(s)")
    csv: Csv = Field(default=Csv(), description="how CSV files are written")
    batches: Batches = Field(default=Batches(), description="how rows become periods")
    row_number: str | None = Field(
        default=None, description="name for the row's number within its file or query, where the data have no key of their own"
    )
    licence: str = Field(default="", description="licence or legal basis of the data; kept with each batch")
    outcome_lag: int = Field(default=0, ge=0, description="periods between rows and the arrival of their outcomes")

    @model_validator(mode="after")
    def one_kind(self) -> Source:
        """Refuse none or several."""
        given = [kind for kind in ("python", "file", "sql", "http") if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"name one of python, file, sql and http{f', not {len(given)}: ' + ', '.join(given) if given else ''}")
        if self.options and self.python is None:
            raise ValueError("options are those of a python source")
        if self.http and ("{period}" in self.http.url) != bool(self.http.periods):
            raise ValueError("http: {period} in url and the list of periods belong together")
        if self.batches.by == "file" and self.file is None:
            raise ValueError("batches: by file needs files")
        if self.sql and (self.batches.by == "rows" or self.row_number) and not re.search(r"\border\s+by\b", self.sql.rows, re.IGNORECASE):
            raise ValueError("sql: rows needs ORDER BY where rows are numbered or cut into blocks: a database has no order of its own")
        return self

    @property
    def references(self) -> tuple[str, ...]:
        """Where its secrets are kept: variables of the environment, and Prefect Secret blocks (block:...)."""
        return (self.sql.url_from,) if self.sql else tuple(self.http.headers_from.values()) if self.http else ()

    @property
    def name(self) -> str:
        """What errors and records call it, without anybody's password."""
        if self.sql:
            return f"sql {self.sql.url_from}"
        if self.http:
            return self.http.url.partition("?")[0]  # what follows may be a token
        return self.python or f"file {self.file}"


class Convert(Section):
    """Values of several units brought to one, by the unit that stands beside them."""

    by: str = Field(description="column that names each row's unit")
    to: dict[str, float | tuple[float, float]] = Field(
        min_length=1,
        description="what a unit's values are multiplied by, or [factor, offset] where something is added then: F: [0.5556, -17.78]",
    )

    def line(self, unit: str) -> tuple[float, float]:
        """Factor and offset of a unit."""
        said = self.to[unit]
        return said if isinstance(said, tuple) else (said, 0.0)


class Repair(Section):
    """What is put right in a column, in this order. Each rule looks at one row alone, so that a prediction's row can be repaired alike."""

    null_as: tuple[float | str, ...] = Field(default=(), description="values that mean: no value, e.g. -999 or unknown")
    trim: bool = Field(default=False, description="text: blanks before, after, and more than one between go")
    case: Literal["lower", "upper", "title"] | None = Field(default=None, description="text: every value in this case")
    values: dict[str, str] = Field(default={}, description="text: spellings and what they mean, e.g. {NYC: New York}")
    convert: Convert | None = Field(default=None, description="float: several units brought to one")
    clip: tuple[float | None, float | None] | None = Field(
        default=None, description="numbers: [least, most]; what lies beyond is set to it"
    )
    fill: bool | float | str | None = Field(default=None, description="what stands for a null; the model itself needs none")

    @model_validator(mode="after")
    def limits_fit(self) -> Repair:
        """Refuse ends that no value lies between, and chains of spellings."""
        if self.clip and self.clip[0] is not None and self.clip[1] is not None and self.clip[0] > self.clip[1]:
            raise ValueError(f"clip [{self.clip[0]:g}, {self.clip[1]:g}] has its ends the wrong way round")
        if chained := sorted(set(self.values) & set(self.values.values()) - {a for a, b in self.values.items() if a == b}):
            raise ValueError(f"values: {chained[0]} is both a spelling and a meaning")
        return self

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the rules that are declared, in the order they are applied in."""
        return tuple(self.model_dump(exclude_defaults=True))


class Outliers(Section):
    """Values far from a batch's others. They are flagged, with their rows' keys, and stay: far is not wrong."""

    rule: Literal["iqr", "mad"] = Field(
        default="iqr", description="distance beyond the quartiles in ranges between them, or from the median in scaled absolute deviations"
    )
    times: float = Field(
        default=3.0, gt=0, description="how many of them; 3 quartile ranges are Tukey's far out, 3.5 deviations usual for mad"
    )


TEXT_RULES, NUMBER_RULES = ("trim", "case", "values"), ("convert", "clip")


class Column(Section):
    """One column of the rows or outcomes."""

    type: ColumnType = Field(description="float, int, category, text, timestamp (without a zone) or bool")
    role: tuple[Role, ...] = Field(
        default=("info",),
        description="key, time, entity, protected (the same as class: personal), feature, outcome, known_later, weight, info",
    )
    class_: Class = Field(
        default="internal",
        alias="class",
        description="public, internal; personal: leaves ingest only as a keyed pseudonym; sensitive: never shown, and sealed as it came",
    )
    nullable: bool = Field(default=True, description="whether nulls are allowed")
    format: str | None = Field(default=None, description="text to timestamp, as strptime: %d.%m.%Y; by default ISO 8601")
    decimal: Literal[".", ","] = Field(default=".", description="text to number: its decimal mark; the other one may group thousands")
    true_as: tuple[str, ...] = Field(default=(), description="values that mean true; by default true, yes, t, y, 1")
    false_as: tuple[str, ...] = Field(default=(), description="values that mean false; by default false, no, f, n, 0")
    repair: Repair | None = Field(default=None, description="what is put right in it before anything is checked")
    outliers: Outliers | None = Field(default=None, description="numbers: which values are flagged as far from the others")
    description: str = Field(default="", description="what the column means, with its unit")

    @field_validator("format")
    @classmethod
    def known_directives(cls, form: str | None) -> str | None:
        """Refuse what Arrow reads in another way than Python, or not at all."""
        if odd := sorted(set(re.findall(r"%(.)", form or "")) - set("YmdHMSybBjIp%")):
            raise ValueError(f"%{odd[0]} cannot be read; there are %Y %y %m %b %B %d %j %H %I %p %M %S")
        return form

    @model_validator(mode="after")
    def repairs_fit(self) -> Column:
        """Refuse repairs that this kind of column cannot have."""
        number, text = self.type in ("float", "int"), self.type in ("category", "text")
        if self.outliers and not number:
            raise ValueError(f"outliers: a {self.type} has none, only float and int")
        if self.repair is None:
            return self
        if self.personal:
            raise ValueError("repair: the column is personal, so its values are pseudonyms before anything else reads them")
        named = set(self.repair.rules)
        if odd := [r for r in TEXT_RULES if r in named and not text] + [r for r in NUMBER_RULES if r in named and not number]:
            raise ValueError(
                f"repair.{odd[0]}: is for {'text and categories' if odd[0] in TEXT_RULES else 'numbers'}, this is a {self.type}"
            )
        if "convert" in named and self.type != "float":
            raise ValueError("repair.convert: declare the column a float; another unit has fractions")
        for rule, values in (("null_as", self.repair.null_as), ("clip", self.repair.clip or ()), ("fill", (self.repair.fill,))):
            if bad := [value for value in values if value is not None and not self._holds(value)]:
                raise ValueError(f"repair.{rule}: {bad[0]!r} is no value of a {self.type}")
        if self.repair.fill is not None and {"key", "time", "outcome", "known_later"} & set(self.role):
            raise ValueError("repair.fill: what names a row, or came true, is not made up")
        return self

    @property
    def personal(self) -> bool:
        """Whether its values leave ingest only as pseudonyms: they are text then, whatever its type says."""
        return self.class_ == "personal" or "protected" in self.role

    @property
    def confidential(self) -> bool:
        """Whether its values, or their pseudonyms, are never shown in a report, an error or a log."""
        return self.personal or self.class_ == "sensitive"

    def unfit_steps(self, ladder: tuple[Step, ...]) -> str:
        """Why its values cannot be coarsened by these steps; empty where they can."""
        if self.type == "timestamp":
            order = ["hour", "day", "month", "quarter", "year"]
            if any(step not in order for step in ladder):
                return f"steps of a timestamp are {', '.join(order)}"
            places = [order.index(str(step)) for step in ladder]
            return "" if places == sorted(set(places)) else "each step must be coarser than the one before"
        if any(isinstance(step, str) for step in ladder):
            return f"steps of a {self.type} are numbers"
        numbers = [float(step) for step in ladder]
        if self.type in ("int", "category", "text") and any(not step.is_integer() for step in numbers):
            return f"steps of a {self.type} are whole numbers"
        finer = self.type in ("category", "text")  # fewer characters say less
        return (
            ""
            if numbers == sorted(set(numbers), reverse=finer)
            else f"each step must be {'smaller' if finer else 'greater'} than the one before"
        )

    def _holds(self, value: bool | float | str) -> bool:
        """Whether a value of the YAML can be one of this column."""
        match self.type:
            case "bool":
                return isinstance(value, bool)
            case "float" | "int":
                return not isinstance(value, bool | str) and (self.type == "float" or float(value).is_integer())
            case "timestamp":
                return False
            case _:
                return isinstance(value, str)


class Privacy(Section):
    """Whose data these are, and how small a group of people may be told apart."""

    subject: str | None = Field(
        default=None,
        description="personal column that names the person a row is about: pseudonyms have a key per person, which can be destroyed",
    )
    encrypt: bool = Field(
        default=False,
        description="seal every file of the data set, predictions, and all that came in, on this disk and on the remote",
    )
    k: int | None = Field(default=None, ge=2, description="persons (rows, without a subject) that share all quasi-identifiers, at least")
    quasi: dict[str, tuple[Step, ...]] = Field(
        default={},
        description="columns that together may name somebody, and how each is coarsened step by step until k holds: "
        "numbers by widths [5, 10, 20], text by first characters [3, 2, 1], timestamps [day, month, year]",
    )
    small_groups: Literal["suppress", "refuse"] = Field(
        default="suppress",
        description="where the last step leaves groups below k: their quasi-identifiers become null, or the batch is refused",
    )

    @model_validator(mode="after")
    def belongs_together(self) -> Privacy:
        """Refuse half of a rule."""
        if (self.k is None) != (not self.quasi):
            raise ValueError("k and quasi belong together")
        if empty := [name for name, ladder in self.quasi.items() if not ladder]:
            raise ValueError(f"quasi: {empty[0]} has no step")
        return self


class Retention(Section):
    """How long what is kept is kept: in periods before the newest one, never by the clock, which counts for requests alone. Where nothing
    is said, for good."""

    collected: int | None = Field(
        default=None, ge=0, description="periods before the newest whose raw, rejected, quarantined and flagged files are kept; 0: none"
    )
    rows: int | None = Field(
        default=None, ge=1, description="periods before the newest whose rows are kept in the data set; older ones are dropped from it"
    )
    requests_days: int | None = Field(
        default=None, ge=1, description="days that the prediction server's log of requests (var/served) is kept, by the clock"
    )


class Expectation(Section):
    """One Great Expectations check, free of ids."""

    type: str = Field(description="the expectation's name, e.g. expect_column_values_to_be_between")
    kwargs: dict[str, JsonValue] = Field(default={}, description="its arguments, as Great Expectations names them")
    severity: Literal["critical", "warning", "info"] = Field(default="critical", description="critical rejects the batch")
    quarantine: bool = Field(default=False, description="rows that fail go to quarantine; the batch stays within its budget")
    table: Literal["rows", "outcomes"] = Field(default="rows", description="which table is checked")
    note: str = Field(default="", description="why")


class Duplicates(Section):
    """Which of several rows of one key is kept. The others are set aside, and no fault of the batch."""

    keep: Literal["first", "last", "greatest", "least"] = Field(
        default="first", description="by the order of the source, or by the value of a column"
    )
    of: str | None = Field(
        default=None, description="greatest, least: the column, such as updated_at; of equal values the first row is kept"
    )

    @model_validator(mode="after")
    def column_fits(self) -> Duplicates:
        """Refuse a column that nothing is done with, and none where one is needed."""
        if (self.of is None) == (self.keep in ("greatest", "least")):
            raise ValueError(f"keep: {self.keep} {'needs of: the column' if self.of is None else 'looks at no column'}")
        return self


class Coverage(Section):
    """Which groups of rows every batch is looked through for: a group that stops coming fails no row."""

    segments: tuple[str, ...] = Field(default=(), description="columns whose values are the groups, e.g. [origin, carrier]")
    floor: int = Field(default=30, ge=1, description="rows that make a group: with fewer expected or seen nothing is said of it")


class Expectations(Section):
    """What a batch must be. Schema, types, nulls and the key are checked from `columns`; these come on top."""

    min_rows: int = Field(default=1, ge=1, description="a batch with fewer rows is rejected: most checks hold on no rows")
    max_rows: int | None = Field(default=None, description="a batch with more rows is rejected")
    quarantine_budget: Share = Field(default=0.01, description="largest share of rows in quarantine; above it the batch is rejected whole")
    duplicates: Duplicates | None = Field(
        default=None, description="which of several rows of one key is kept; by default the first, and the others count to the budget"
    )
    freshness: bool = Field(default=True, description="every row's time must lie in its period")
    coverage: Coverage = Field(default=Coverage(), description="groups of rows reported of every batch; nothing is decided by them")
    suite: tuple[Expectation, ...] = Field(default=(), description="the checks")

    @model_validator(mode="after")
    def limits_fit(self) -> Expectations:
        """Refuse limits that no batch can keep."""
        if self.max_rows is not None and self.max_rows < self.min_rows:
            raise ValueError(f"max_rows {self.max_rows} is below min_rows {self.min_rows}")
        return self
