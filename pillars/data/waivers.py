"""`configs/_waivers.yaml`: what `pillars scan` finds and may stay, each with its reason."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

import yaml
from pydantic import Field, ValidationError

from pillars.config_data import Section
from pillars.data.searching import Finding
from pillars.errors import ConfigInvalid, StoreUnavailable
from pillars.stores import Stores

FILE = "_waivers.yaml"


class Waiver(Section):
    """One kind of finding in some files that may stay."""

    file: str = Field(min_length=1, description="the file as the finding names it; * stands for anything: tests/*")
    kind: str = Field(min_length=1, description="its kind as the finding names it; * stands for anything")
    place: str = Field(default="*", description="where in the file, as the finding says; by default anywhere")
    reason: str = Field(min_length=10, description="why it may stay")


class Waivers(Section):
    """The whole file."""

    waivers: tuple[Waiver, ...] = Field(default=(), description="what may stay")


def read(stores: Stores) -> tuple[Waiver, ...]:
    """The waivers; none where there is no file.

    Raises:
        ConfigInvalid: it cannot be read as such, or one has no reason.
        StoreUnavailable: the file cannot be read.
    """
    path = stores.configs / FILE
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        return Waivers.model_validate(given or {}).waivers
    except ValidationError as err:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in err.errors(include_input=False)]
        raise ConfigInvalid(FILE, problems) from None
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise ConfigInvalid(FILE, [f"it is no YAML ({type(err).__name__})"]) from None
    except OSError as err:
        raise StoreUnavailable.refused(str(path), err, "Nothing was searched.", "read") from err


def apply(waivers: tuple[Waiver, ...], found: list[Finding]) -> tuple[list[Finding], list[Waiver]]:
    """The findings, each with the reason of the first waiver that fits; and the waivers that fit none."""
    told, used = [], set()
    for one in found:
        fitting = next((w for w in waivers if _fits(w, one)), None)
        used.add(fitting)
        told.append(one if fitting is None else replace(one, waived=fitting.reason))
    return told, [w for w in waivers if w not in used]


def _fits(waiver: Waiver, one: Finding) -> bool:
    return all(fnmatchcase(getattr(one, name), getattr(waiver, name)) for name in ("file", "kind", "place"))
