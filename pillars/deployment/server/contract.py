"""The columns of one generation: what a row may and must hold, over all models that may answer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from pillars.bundle.bundle import Bundle
from pillars.deployment.server.settings import Settings
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


def contract(bundles: Sequence[Bundle], settings: Settings, more: bool = False) -> Contract:
    """What rows of these models hold; with `more` also what they do not see and the project's features have: clients know the champion's
    columns, and a fallback must not refuse their rows.

    A column that the project lets be null may be missing. A project that is not known (no `settings.columns`) requires nothing but text
    or a number.

    Raises:
        BundleRefused: a bundle's schema is not that of its encoder, or two do not fit into one request or answer.
    """
    kinds: dict[str, Kind] = {}
    for bundle in bundles:
        for name, kind in _inputs(bundle).items():
            said = settings.columns.get(name)
            wanted: Kind = "flag" if kind == "number" and said and said.type == "bool" else kind
            if kinds.setdefault(name, wanted) != wanted:
                raise BundleRefused(str(bundle.path), f"it takes {name} as {wanted}, another arm as {kinds[name]}")
        if bundle.outputs != bundles[0].outputs:
            raise BundleRefused(str(bundle.path), f"it answers {', '.join(bundle.outputs)}, another arm {', '.join(bundles[0].outputs)}")
    for name in (*settings.numeric, *settings.categorical) if more else ():
        kinds.setdefault(name, "text" if name in settings.categorical else "flag" if settings.columns[name].type == "bool" else "number")
    labels = [name for name in dict.fromkeys((*settings.key, *settings.entity)) if name not in kinds]
    columns = [_column(name, kind, settings) for name, kind in kinds.items()] + [_column(name, "label", settings) for name in labels]
    known = [column.name for column in columns]
    return Contract(tuple(columns), tuple(known.index(name) for name in settings.entity))


def _column(name: str, kind: Kind, settings: Settings) -> Column:
    said = settings.columns.get(name)
    required = kind != "label" and bool(said and said.required)
    kept = said.kept if said else not settings.columns  # what a later YAML declares could be confidential: nobody here knows
    return Column(name, kind, required, kept, settings.limits.text)


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
