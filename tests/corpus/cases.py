"""The corpus read from its YAML files, one per family: what is spoiled, how it comes, and what must become of it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tests.corpus.good import PERIOD
from tests.corpus.spoiling import OF_BYTES, OF_TEXT, OF_VALUES

FOLDER = Path(__file__).parent / "cases"
Way = Literal["csv", "gzip", "xz", "parquet", "folder", "sql", "http", "python"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expected(_Strict):
    """Exactly one of three: an error before anything is kept, a batch rejected whole, or one accepted with so many rows set aside."""

    error: str | None = Field(default=None, description="its class in pillars.errors; `says` is in its text")
    rejected: bool = Field(default=False, description="kept whole, apart; `says` is in the reason")
    says: tuple[str, ...] = ()
    quarantined: int | None = Field(default=None, description="rows set aside; all others are in the data set as the good batch has them")
    outcomes: int | None = Field(default=None, description="outcomes set aside; by default as many as rows")
    because: tuple[str, ...] = Field(default=(), description="all reasons that stand beside rows and outcomes, without the followers'")
    more: bool = Field(default=False, description="other reasons may stand beside these")
    warns: tuple[str, ...] = Field(default=(), description="failed checks of severity warning")
    harmless: str = Field(default="", description="why rows that are not as the good batch has them may be in the data set")

    @model_validator(mode="after")
    def one_outcome(self) -> Expected:
        if (self.error is not None) + self.rejected + (self.quarantined is not None) != 1:
            raise ValueError("one of error, rejected, quarantined")
        if (self.error or self.rejected) and not self.says:
            raise ValueError("a refusal must say something")
        return self


class Delivery(_Strict):
    """How a batch comes. What is not said is as usual."""

    name: str = Field(default="", description="of its file")
    gone: bool = Field(default=False, description="its file is not there")
    beside: dict[str, str] = Field(default={}, description="folder: other files and their text")
    fails: tuple[str, ...] = Field(default=(), description="http: 503, reset or cut, one for each of the first requests")
    sha256: str = Field(default="", description="http: the declared checksum")
    query: str = Field(default="", description="sql: of the rows")
    fault: str = Field(default="", description="python: what the source does wrong, by its name in `giving`")


class Case(_Strict):
    """One bad batch. `spoil` are steps of `spoiling`, each a name with its arguments."""

    id: str
    source: Way
    spoil: tuple[dict[str, dict[str, Any]], ...] = ()
    declared: dict[str, Any] = Field(default={}, description="keys of the project's YAML that this case has otherwise")
    delivered: Delivery = Field(default_factory=lambda: Delivery(), description="how it comes otherwise")
    period: str = Field(default=PERIOD, description="what is asked for; the batch is March's")
    rows: int = Field(default=0, description="rows that come, where steps in the text make them others than the spoiled table's")
    good: bool = Field(default=False, description="a control: nothing is wrong with it")
    command: bool = Field(default=False, description="given to the command, too")
    expect: Expected
    family: str = ""

    @model_validator(mode="after")
    def known_steps(self) -> Case:
        if unknown := [n for step in self.spoil for n in step if n not in OF_VALUES.keys() | OF_TEXT.keys() | OF_BYTES.keys()]:
            raise ValueError(f"{self.id}: no step {unknown}")
        return self

    def steps(self, of: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
        """Its steps of one kind with their arguments, in order."""
        return [(of[name], arguments) for step in self.spoil for name, arguments in step.items() if name in of]


class Family(_Strict):
    """One file."""

    about: str
    cases: tuple[Case, ...]


@cache
def corpus() -> tuple[Case, ...]:
    """All cases, by family."""
    return tuple(
        case.model_copy(update={"family": file.stem})
        for file in sorted(FOLDER.glob("*.yaml"))
        for case in Family.model_validate(yaml.safe_load(file.read_text())).cases
    )
