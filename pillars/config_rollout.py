"""How a release takes traffic, and by what it is judged meanwhile: the section `rollout` of a project's YAML."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from pillars.config_data import Section, Share
from pillars.vocabulary import Metric

BASIS = 10_000  # shares are kept in basis points, so that a router needs no fractions
Strategy = Literal["direct", "blue-green", "canary", "shadow", "ab"]


class Step(Section):
    """A share of the entities, for a time."""

    share: float = Field(ge=1 / BASIS, le=1, description="share of the entities that the challenger answers")
    bake_min: float = Field(default=30, ge=0, description="minutes that it must be watched at this share, at least")


class Judge(Section):
    """By what a challenger is called harmful. Each entity counts once for each metric: by its first bad event."""

    metrics: tuple[Metric, ...] = Field(
        default=("error", "latency", "score"),
        min_length=1,
        description="kinds of bad events: error, latency over the limit, score out of range, wrong (once outcomes are known)",
    )
    alpha: float = Field(
        default=0.01, gt=0, le=0.2, description="chance that a harmless release is taken back: over all looks and all metrics of a rollout"
    )
    entities: int = Field(default=200, ge=1, description="entities that each arm must have served at a share before it can be healthy")
    latency_ms: float | None = Field(
        default=None, gt=0, description="a slower answer is a bad event; null: than the champion's 99th percentile before the rollout"
    )
    score: tuple[float, float] | None = Field(
        default=None, description="a score outside is a bad event; null: outside 0 to 1 for classes, not finite for numbers"
    )
    ceilings: dict[Metric, Share] = Field(
        default={},
        description="blue-green: share of bad entities that is put up with; where not named, what the champion's before the rollout allow",
    )
    exclude: float | None = Field(
        default=None,
        gt=1,
        description="healthy only when harm by this factor is excluded, too; null: when harm was looked for and not found",
    )
    guard_window: int = Field(
        default=20, ge=5, description="newest requests of the challenger that the guard against catastrophes looks at"
    )
    guard_share: float = Field(default=0.5, gt=0, lt=1, description="share of errors among them above which it is taken back at once")

    @model_validator(mode="after")
    def makes_sense(self) -> Judge:
        """Refuse a metric twice, which would weaken the test, and a range that holds nothing."""
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError("metrics: one stands twice")
        if self.score is not None and not self.score[0] < self.score[1]:
            raise ValueError(f"score: nothing lies between {self.score[0]:g} and {self.score[1]:g}")
        return self


class Quality(Section):
    """Back by itself, when a release turns out surely worse than the one it replaced: both on the same rows, once their outcomes come."""

    margin: float = Field(
        default=0.02, ge=0, description="taken back when its loss is surely higher by more than this, in units of `gate.loss`, per row"
    )
    periods: int = Field(default=1, ge=1, description="periods with outcomes after a promotion in which that is asked")


class Rollout(Section):
    """How a release takes traffic."""

    strategy: Strategy = Field(
        default="direct",
        description="direct: the whole traffic at once; blue-green: at once, and back if it harms; canary: in steps; "
        "shadow: it answers nobody and is watched; ab: a fixed share for a fixed time, and a report",
    )
    keep: int = Field(default=3, ge=1, description="earlier releases kept for rollback")
    steps: tuple[Step, ...] = Field(
        default=(Step(share=0.01), Step(share=0.05), Step(share=0.25), Step(share=0.5)),
        min_length=1,
        description="canary: growing shares, each for its time",
    )
    most: float = Field(default=1.0, ge=1 / BASIS, le=1, description="share that a challenger may have before it is promoted")
    share: float = Field(default=0.5, ge=1 / BASIS, lt=1, description="ab: share of the entities that the challenger answers")
    bake_min: float = Field(default=60, ge=0, description="blue-green, shadow, ab: minutes that it is watched")
    timeout_min: float = Field(default=1440, gt=0, description="minutes after which a step without a verdict is taken back")
    cooldown_min: float = Field(
        default=1440, ge=0, description="minutes after something was taken back in which nothing is rolled out or back by itself"
    )
    then: Literal["promote", "keep"] | None = Field(
        default=None, description="what a healthy end is: promote, or keep the champion and report; null: keep for ab, else promote"
    )
    entity: str | None = Field(
        default=None, description="column whose value the traffic is split by; null: those with the role entity, else the row's key"
    )
    slice: str | None = Field(default=None, description="column by whose values a shadow's divergence is reported")
    fallback: float | dict[str, float] | None = Field(
        default=None,
        description="said over HTTP when no release loads: a probability, one of each class, or a number; null: nothing (503)",
    )
    judge: Judge = Field(default=Judge(), description="by what a challenger is called harmful")
    quality: Quality | None = Field(
        default=None, description="when a released version is taken back by its quality; null: that is left to people"
    )

    @model_validator(mode="after")
    def grows(self) -> Rollout:
        """Refuse shares that do not grow (an entity would go back and forth), exceed the limit, or never end."""
        shares = [step.share for step in self.steps]
        if any(b <= a for a, b in pairwise(shares)):
            raise ValueError(f"steps: shares must grow, and are {', '.join(f'{s:g}' for s in shares)}")
        for of, share in {"canary": shares[-1], "ab": self.share, "blue-green": 1.0}.items():
            if of == self.strategy and share > self.most:
                raise ValueError(f"{of} gives a challenger {share:g} of the entities, and most is {self.most:g}")
        if (longest := max(step.bake_min for step in self.bakes)) >= self.timeout_min:
            raise ValueError(f"timeout_min: {self.timeout_min:g} minutes are over before {longest:g} are watched")
        return self

    @property
    def bakes(self) -> tuple[Step, ...]:
        """The steps of the strategy; a shadow's share is of what it is shown, not of what it answers."""
        if self.strategy == "canary":
            return self.steps
        return (Step(share=self.share if self.strategy == "ab" else 1.0, bake_min=self.bake_min),)

    @property
    def alone(self) -> bool:
        """Whether a challenger may have the whole traffic: then there is nobody to compare it with."""
        return self.strategy != "shadow" and any(round(step.share * BASIS) == BASIS for step in self.bakes)

    @property
    def ends_in(self) -> Literal["promote", "keep"]:
        """What a healthy end is."""
        return self.then or ("keep" if self.strategy == "ab" else "promote")
