"""Why one request was answered as it was: what came in, what the model saw, what each feature added, and the same computed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pillars.bundle.bundle import Bundle
from pillars.deployment import requests
from pillars.deployment.requests import Prediction
from pillars.deployment.segments import AtRest
from pillars.errors import BundleRefused
from pillars.monitoring import registry
from pillars.stores import Stores

BASE = "(all rows)"


@dataclass(frozen=True)
class Why:
    """A logged prediction explained. `features`: as the model sees them. `contributions`: to its margin, before calibration, largest
    first. `equal`: whether `recomputed` has the bits of what was answered; None where it was not computed."""

    id: str
    at: str
    project: str
    version: int
    generation: int
    arm: str
    bucket: int | None
    trace: str
    took_us: int
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    threshold: float | None = None
    features: dict[str, float] | None = None
    contributions: dict[str, float] | None = None
    recomputed: dict[str, Any] | None = None
    equal: bool | None = None
    note: str = ""


def why(stores: Stores, project_name: str, id: str, *, recompute: bool = False, kept: AtRest | None = None) -> Why:
    """Look a prediction up, and with `recompute` answer its row again by the model that did. `kept`: how the log lies on the disk.

    Raises:
        UnknownName: no such prediction is in the log.
        BundleRefused: the model that answered is gone, or not the one that answered.
    """
    found = requests.find(stores, project_name, id, kept)
    told = Why(
        id=id,
        at=found.at.isoformat(),
        project=project_name,
        version=found.version,
        generation=found.generation,
        arm=found.arm,
        bucket=found.bucket,
        trace=found.trace,
        took_us=found.took_us,
        inputs=dict(found.inputs),
        outputs=dict(found.outputs),
    )
    if not recompute:
        return told
    if found.fallback == "constant":
        return replace(told, note="no release loaded, and the declared constant answered")
    return _again(told, found, bundle_of(stores, project_name, found))


def bundle_of(stores: Stores, project_name: str, found: Prediction) -> Bundle:
    """The model that answered: its release while that is kept, else the registry's. Raises: BundleRefused, StoreUnavailable."""
    try:
        return Bundle.load(stores.var / found.release).held_to(found.sha256, found.digest)
    except BundleRefused:
        return Bundle.load(registry.bundle_dir(stores, project_name, found.version)).held_to(found.sha256, found.digest)


def _again(told: Why, found: Prediction, bundle: Bundle) -> Why:
    if found.error:
        return Why(**{**vars(told), "note": "the model failed, and nobody was answered"})
    if withheld := [name for name in bundle.encoder.feature_names if name not in found.inputs]:
        note = f"{', '.join(withheld)}: confidential, so the log does not hold it, and the row cannot be answered again"
        return Why(**{**vars(told), "note": note})
    columns = {name: np.array([_number(found.inputs[name])], dtype=np.float64) for name in bundle.encoder.numeric}
    columns |= {name: np.array([found.inputs[name]], dtype=object) for name in bundle.encoder.categorical}
    said = {name: values.tolist()[0] for name, values in bundle.predict(columns).columns(bundle.classes).items()}
    encoded = bundle.encoder.encode(columns)
    features = dict(zip(bundle.encoder.feature_names, encoded[0].tolist(), strict=True))
    return Why(
        **{
            **vars(told),
            "threshold": bundle.threshold if bundle.task == "binary" else None,
            "features": features,
            "contributions": _contributions(bundle, columns, said),
            "recomputed": said,
            "equal": said == dict(found.outputs),
        }
    )


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _contributions(bundle: Bundle, columns: Mapping[str, np.ndarray], said: Mapping[str, Any]) -> dict[str, float]:
    """Of several classes: to the margin of the class that was said."""
    found = bundle.contributions(columns)[0]
    if found.ndim == 2:
        found = found[bundle.classes.index(said["decision"])]
    *each, base = found.tolist()
    named = dict(zip(bundle.encoder.feature_names, each, strict=True))
    return {**dict(sorted(named.items(), key=lambda pair: -abs(pair[1]))), BASE: base}
