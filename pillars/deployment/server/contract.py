"""The columns of one generation: what a row may and must hold, over all models that may answer it.

A release says itself what its rows hold (`columns` and `entity` of its schema), so that the contract changes with the release. Of one that
was trained before releases did, `settings` says it: the YAML as it was when the server was started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta

from pillars.bundle.bundle import Bundle
from pillars.deployment.server.settings import ColumnType, Settings
from pillars.errors import BundleRefused

LARGEST = float(np.finfo(np.float32).max)  # what is larger is infinite to the model
WHOLE = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]  # what JSON writers and Arrow can hold
Kind = Literal["number", "flag", "text", "label"]  # label: key and entity columns that no model sees, any scalar


@dataclass(frozen=True)
class Column:
    """One column of a request. `required`: in every row, and not null. `kept`: the request log may hold it."""

    name: str
    kind: Kind
    required: bool
    kept: bool
    longest: int

    @property
    def type(self) -> Any:
        """As msgspec decodes it, without a conversion."""
        number = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
        text = Annotated[str, Meta(max_length=self.longest)]
        type_: Any = {"number": number, "flag": bool | number, "text": text, "label": text | WHOLE | float | bool}[self.kind]
        return type_ if self.required else type_ | None


@dataclass(frozen=True)
class Contract:
    """All columns in one order: the champion's inputs, what other arms see beside them, then labels."""

    columns: tuple[Column, ...]
    entity: tuple[int, ...]  # places of the columns that name a row's entity

    @property
    def names(self) -> tuple[str, ...]:
        """In order."""
        return tuple(column.name for column in self.columns)

    def places(self, names: Sequence[str]) -> tuple[int, ...]:
        """Where these columns are."""
        known = {name: place for place, name in enumerate(self.names)}
        return tuple(known[name] for name in names)


class Said(msgspec.Struct, frozen=True):
    """A column as a bundle's schema has it; what later releases say beside this is left alone."""

    name: str
    type: ColumnType
    nullable: bool
    kept: bool


def contract(bundles: Sequence[Bundle], settings: Settings, answering: int | None = None, more: bool = False) -> Contract:
    """What rows of these models hold, the champion's first; the first `answering` of them (all if not said) answer, the others are shadows.

    A column is required where every model that answers takes it and says that it is never null: what a challenger alone wants cannot be
    asked of the champion's requests. It is kept in the log where nobody who knows it objects, neither a release nor the YAML. A project of
    which neither says anything requires nothing but text or a number. With `more` a row may also hold what these models do not see and the
    project's features have: clients know the champion's columns, and a fallback must not refuse their rows.

    Raises:
        BundleRefused: a bundle's schema is not that of its encoder, or two do not fit into one request or answer.
    """
    told = [_told(bundle) for bundle in bundles]
    kinds: dict[str, Kind] = {}
    for bundle, said in zip(bundles, told, strict=True):
        for name, kind in _inputs(bundle).items():
            one = settings.columns.get(name) if said is None else said.get(name)
            wanted: Kind = "flag" if kind == "number" and one and one.type == "bool" else kind
            known = kinds.setdefault(name, wanted)
            if known != wanted and "text" in (known, wanted):
                raise BundleRefused(str(bundle.path), f"it takes {name} as {wanted}, another arm as {known}")
            if wanted == "flag":
                kinds[name] = wanted  # which takes numbers, too
        if bundle.outputs != bundles[0].outputs:
            raise BundleRefused(str(bundle.path), f"it answers {', '.join(bundle.outputs)}, another arm {', '.join(bundles[0].outputs)}")
    for name in (*settings.numeric, *settings.categorical) if more else ():
        kinds.setdefault(name, "text" if name in settings.categorical else "flag" if settings.columns[name].type == "bool" else "number")
    owned = [name for bundle, said in zip(bundles, told, strict=True) if said is not None for name in _labels(bundle)]
    entity = settings.entity if told[0] is None else tuple(bundles[0].schema["entity"])
    labels = [name for name in dict.fromkeys((*owned, *settings.key, *settings.entity)) if name not in kinds]
    asking = list(zip(bundles, told, strict=True))[:answering]
    columns = []
    for name, kind in (*kinds.items(), *((name, _LABEL) for name in labels)):
        required = kind != _LABEL and all(_requires(bundle, said, name, settings) for bundle, said in asking)
        columns.append(Column(name, kind, required, _kept(name, told, settings), settings.limits.text))
    names = [column.name for column in columns]
    return Contract(tuple(columns), tuple(names.index(name) for name in entity))


_LABEL: Kind = "label"


def _told(bundle: Bundle) -> dict[str, Said] | None:
    """Its columns by name; None of a release that says nothing of them. Raises: BundleRefused."""
    if "columns" not in bundle.schema:
        return None
    try:
        found = {one.name: one for one in msgspec.convert(bundle.schema["columns"], list[Said])}
        named = msgspec.convert([*bundle.schema["key"], *bundle.schema["entity"]], list[str])
    except (msgspec.ValidationError, KeyError, TypeError) as err:
        raise BundleRefused(str(bundle.path), "its schema does not say what a row holds") from err
    if odd := [name for name in (*bundle.encoder.feature_names, *named) if name not in found]:
        raise BundleRefused(str(bundle.path), f"its schema does not say what a row holds ({odd[0]})")
    return found


def _labels(bundle: Bundle) -> tuple[str, ...]:
    return (*bundle.schema["key"], *bundle.schema["entity"])


def _requires(bundle: Bundle, said: Mapping[str, Said] | None, name: str, settings: Settings) -> bool:
    if name not in bundle.encoder.feature_names:
        return False
    if said is not None:
        return not said[name].nullable
    return bool((known := settings.columns.get(name)) and known.required)


def _kept(name: str, told: Sequence[Mapping[str, Said] | None], settings: Settings) -> bool:
    votes = [said[name].kept for said in told if said is not None and name in said]
    votes += [settings.columns[name].kept] if name in settings.columns else []
    return all(votes) if votes else not settings.columns  # what a later YAML declares could be confidential: nobody here knows


def _inputs(bundle: Bundle) -> dict[str, Kind]:
    """Its inputs by its schema, which must be what its encoder reads."""
    encoder = bundle.encoder
    wanted = [{"name": n, "type": "double"} for n in encoder.numeric] + [{"name": n, "type": "string"} for n in encoder.categorical]
    if (said := bundle.schema.get("inputs")) != wanted:
        names = [one.get("name", "?") for one in said or () if isinstance(one, dict)]
        odd = sorted({*names} ^ {*encoder.feature_names}) or ["types or order"]
        raise BundleRefused(str(bundle.path), f"its schema is not that of its encoder ({', '.join(odd[:3])})")
    numbers: dict[str, Kind] = dict.fromkeys(encoder.numeric, "number")
    return numbers | dict.fromkeys(encoder.categorical, "text")
