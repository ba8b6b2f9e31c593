"""Everything that answers at one generation, in one immutable object: a request reads it once and never sees two policies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from pillars.bundle.bundle import Bundle, Predictions
from pillars.deployment.server import constant
from pillars.deployment.server.contract import Contract, contract
from pillars.deployment.server.decoding import Decoders, decoders
from pillars.deployment.server.policy import Policy, Role, Seat
from pillars.deployment.server.settings import Settings
from pillars.errors import BundleRefused
from pillars.vocabulary import Release

Fallback = Literal["", "champion alone", "previous release", "constant"]  # instead of what the policy names; tried in this order


@dataclass(frozen=True, eq=False)
class Arm:
    """A release held warm: verified byte by byte, its golden rows scored as they were. Places are in the contract's columns."""

    role: Role
    release: Release
    weight: int
    bundle: Bundle
    numbers: tuple[int, ...]
    categories: tuple[int, ...]
    by: int | None  # the column that intervals go by
    logged: Mapping[str, str]  # columns that the request log holds -> double or string

    @cached_property
    def version(self) -> str:
        """As answers say it."""
        return str(self.release.version)

    @cached_property
    def short(self) -> str:
        """As lines of the request log name the model."""
        return self.release.sha256[:16]

    def floats(self, columns: Sequence[Sequence[Any]], count: int) -> np.ndarray:
        """The columns that are numbers, float64, shape (numbers, count); None is NaN."""
        return np.array([columns[place] for place in self.numbers], dtype=np.float64).reshape(len(self.numbers), count)

    def encode(self, columns: Sequence[Sequence[Any]], count: int, floats: np.ndarray | None = None) -> np.ndarray:
        """Rows as float32, shape (count, features), by the encoder that training used. `floats`: where they are made already."""
        numbers = self.floats(columns, count) if floats is None else floats
        return self.bundle.encoder.encode_rows(numbers.T, [columns[place] for place in self.categories])

    def groups(self, columns: Sequence[Sequence[Any]]) -> np.ndarray | None:
        """Each row's value of the column that intervals go by; None where they go by none."""
        return None if self.by is None else np.array(columns[self.by], dtype=object)

    def say(self, encoded: np.ndarray, groups: np.ndarray | None) -> Predictions:
        """What the model says of encoded rows."""
        return self.bundle.say(encoded, groups)

    def unknown(self, columns: Sequence[Sequence[Any]], encoded: np.ndarray) -> dict[str, list[int]]:
        """Rows whose category is none of those it learned (rare ones were not learned either), by column."""
        first, found = len(self.numbers), {}
        if not self.categories or not self.bundle.boosters:
            return {}
        if 0.0 not in encoded[0, first:].tolist() if len(encoded) == 1 else encoded[:, first:].all():
            return {}
        for offset, (name, place) in enumerate(zip(self.bundle.encoder.categorical, self.categories, strict=True), start=first):
            lost = [row for row in np.flatnonzero(encoded[:, offset] == 0).tolist() if columns[place][row] is not None]
            if lost:
                found[name] = lost
        return found

    @cached_property
    def head(self) -> bytes:
        """The line of the request log that says what this model is: with it, a logged row can be scored again."""
        told = {"kind": "model", "version": self.release.version, "sha256": self.release.sha256, "digest": self.release.digest}
        schema = {"inputs": self.logged, "outputs": self.bundle.outputs, "path": self.release.path}
        return msgspec.json.encode({**told, **schema}) + b"\n"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Who answers, and how requests are read and routed, at one generation."""

    generation: int
    arms: tuple[Arm, ...]  # champion, challengers, shadows
    contract: Contract
    decoders: Decoders
    salt: bytes
    fallback: Fallback = ""

    @property
    def champion(self) -> Arm:
        """Who answers where no challenger does."""
        return self.arms[0]

    @cached_property
    def challengers(self) -> tuple[Arm, ...]:
        """In the order of the policy."""
        return tuple(arm for arm in self.arms if arm.role == "challenger")

    @cached_property
    def weights(self) -> tuple[int, ...]:
        """Of the challengers, in basis points."""
        return tuple(arm.weight for arm in self.challengers)

    @cached_property
    def shadows(self) -> tuple[Arm, ...]:
        """They see the traffic and answer nobody."""
        return tuple(arm for arm in self.arms if arm.role == "shadow")

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """Columns of an answer and their types, the same of all arms."""
        return self.champion.bundle.outputs

    def version(self, number: int) -> Arm | None:
        """The arm of a version, if it is here."""
        return next((arm for arm in self.arms if arm.release.version == number), None)

    def told(self) -> dict[str, Any]:
        """For `/version`."""
        arms = [
            {"role": arm.role, "version": arm.release.version, "sha256": arm.release.sha256, "weight_bp": arm.weight} for arm in self.arms
        ]
        return {"generation": self.generation, "arms": arms, "fallback": self.fallback or None}


def take(policy: Policy, settings: Settings, before: Snapshot | None) -> Snapshot | None:
    """The snapshot of a policy; what `before` holds already is not loaded again. None where nobody answers.

    Raises:
        BundleRefused: a release is missing, changed, scores its golden rows differently, or does not fit the others.
    """
    if not policy.seats:
        return None
    held = {_place(arm.release): arm.bundle for arm in before.arms} if before else {}
    bundles = [held.get(_place(seat.release)) or load(Path(settings.var), seat.release) for seat in policy.seats]
    return _seated(policy, bundles, settings, "")


def fall_back(policy: Policy | None, settings: Settings, before: Snapshot | None) -> Snapshot | None:
    """What answers while the policy cannot be taken and nothing answered before: the champion alone, where what stands beside it does not
    load; the newest earlier champion that does; the declared constant. None where there is nothing of these, or the project was
    withdrawn. What `before` holds already is not loaded again.

    Only releases that the policy keeps are tried: a folder does not say what was taken back for harm. Without a readable policy (None)
    there is the constant alone.
    """
    if not settings.falls_back:
        return None
    if policy is None:
        policy = Policy(0, (), b"")
    elif not policy.seats:
        return None
    held = {_place(arm.release): arm.bundle for arm in before.arms} if before else {}
    for release, kind in _tried(policy):
        try:
            bundle = held.get(_place(release)) or load(Path(settings.var), release)
            return _seated(replace(policy, seats=(Seat("champion", release),)), [bundle], settings, kind)
        except BundleRefused:
            continue
    if not settings.constant:
        return None
    seat = Seat("champion", constant.release(settings.project))
    return _seated(replace(policy, seats=(seat,)), [constant.bundle(settings)], settings, "constant")


def _tried(policy: Policy) -> Iterator[tuple[Release, Fallback]]:
    if len(policy.seats) > 1:
        yield policy.seats[0].release, "champion alone"
    for release in policy.previous:
        yield release, "previous release"


def _seated(policy: Policy, bundles: Sequence[Bundle], settings: Settings, fallback: Fallback) -> Snapshot:
    """Raises: BundleRefused."""
    agreed = contract(bundles, settings, sum(seat.role != "shadow" for seat in policy.seats), more=bool(fallback))
    arms = tuple(_arm(seat, bundle, agreed) for seat, bundle in zip(policy.seats, bundles, strict=True))
    return Snapshot(policy.generation, arms, agreed, decoders(agreed), policy.salt, fallback)


def load(var: Path, release: Release) -> Bundle:
    """The bundle of a release, verified and warm. Raises: BundleRefused."""
    bundle = Bundle.load(var / release.path).held_to(release.sha256, release.digest)
    bundle.check_golden()
    return bundle


def _place(release: Release) -> tuple[str, str, str]:
    return release.path, release.sha256, release.digest


def _arm(seat: Seat, bundle: Bundle, agreed: Contract) -> Arm:
    by = bundle.interval.get("by")
    return Arm(
        seat.role,
        seat.release,
        seat.weight,
        bundle,
        agreed.places(bundle.encoder.numeric),
        agreed.places(bundle.encoder.categorical),
        agreed.places([by])[0] if by else None,
        {column.name: "double" if column.kind in ("number", "flag") else "string" for column in agreed.columns if column.kept},
    )
