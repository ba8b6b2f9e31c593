"""What was made again beside what is registered: equal, alike within epsilon, or different, and by which factor."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pillars.bundle import booster
from pillars.bundle.bundle import Bundle
from pillars.bundle.calibration import apply as calibrated
from pillars.bundle.golden import from_json
from pillars.errors import InputInvalid
from pillars.reproduction.remaking import Code, Remade, Settings, encoder_of
from pillars.vocabulary import Factor, ModelVersion, Origin, Recipe, Reproduction

EPSILON = 1e-6  # of a probability, or of a number's standard deviation: float32 has 7 digits, and scores are sums of it
NO_FACTOR = "nothing that is on record of it is another here: what made the difference is not on record"


def compare(origin: Origin, remade: Remade, registered: Bundle | None, epsilon: float, factors: Sequence[Factor]) -> Reproduction:
    """The verdict on one rebuild.

    IDENTICAL: the boosters are equal byte for byte, and the encoder before them. EQUIVALENT: scores differ by at most `epsilon` on the
    golden rows of the registered bundle and on a sample of the rows fitted on. Else DIFFERENT. `registered`: None where its files are gone.
    """
    found = Reproduction(origin.project, origin.version, "DIFFERENT", "", origin.sha256, remade.sha256, epsilon, factors=tuple(factors))
    encoded_alike = registered is None or registered.encoder == encoder_of(remade)
    unpromised = "engine dask" if origin.engine == "dask" else f"device {origin.device}" if origin.device != "cpu" else ""
    if remade.sha256 == origin.sha256 and encoded_alike and unpromised:
        reason = f"equal byte for byte this time, which {unpromised} does not promise"
        return replace(found, verdict="EQUIVALENT", reason=reason, distance=0.0)
    if remade.sha256 == origin.sha256 and encoded_alike:
        count = len(remade.boosters)
        what = "the booster is" if count == 1 else f"all {count} boosters are"
        return replace(found, verdict="IDENTICAL", reason=f"{what} equal byte for byte, fitted on {remade.rows:,} rows")
    if registered is None:
        return replace(found, reason=f"{_why(origin, remade, factors)}; the registered files are gone, so scores cannot be compared")
    distance, compared = _distance(registered, remade)
    said = f"scores differ by at most {distance:.3g} on {compared}" if distance is not None else "it takes other features"
    if distance is not None and distance <= epsilon:
        reason = f"other bytes; {said} (epsilon {epsilon:g}); {_why(origin, remade, factors)}"
        return replace(found, verdict="EQUIVALENT", reason=reason, distance=distance, compared=compared)
    return replace(found, reason=f"{_why(origin, remade, factors)}; {said}", distance=distance, compared=compared)


def factors_of(
    origin: Origin, witness: ModelVersion | None, code: Code, settings: Settings, here: Mapping[str, str], threads: int, source: str
) -> tuple[Factor, ...]:
    """All that differs between what is recorded and what was used.

    `witness`: what the ledger, which is sealed, says of the version; None without one.

    `here` is `lineage.environment` of this place, `source` the digest of the code that ran.
    """
    found: list[Factor] = []
    if witness is not None:
        if origin.data_version != witness.data_version:
            found.append(Factor("data", f"{witness.data_version} in the ledger", f"{origin.data_version} in the registry"))
        told = recipe_of(witness)
        if origin.recipe.seed != told.seed:
            found.append(Factor("seed", f"{told.seed} in the ledger", f"{origin.recipe.seed} in the registry"))
        if changed := _parameters(told, origin.recipe):
            found.append(Factor("parameters", f"{changed[0]} in the ledger", f"{changed[1]} in the registry"))
    if (origin.code and origin.code != source) or (not origin.code and code.missing):
        found.append(Factor("code", _code(origin), f"source {source[:12]}" + (f"; {code.missing}" if code.missing else "")))
    if origin.config and origin.config != settings.digest:
        found.append(Factor("config", origin.config[:12], settings.digest[:12]))
    found += _environment(origin.environment, here)
    if origin.threads not in (0, threads):
        found.append(Factor("threads", str(origin.threads), str(threads)))
    return tuple(found)


def proven(
    origin: Origin, witness: ModelVersion | None, factors: Sequence[Factor], again: Callable[[Recipe, int], Remade], threads: int
) -> tuple[Factor, ...]:
    """The factors, each tried: put back alone, does it give the recorded boosters? Those of which there is nothing to put back are not."""
    tried: list[Factor] = []
    for factor in factors:
        match factor.name:
            case "seed" if witness:
                remade = again(replace(origin.recipe, seed=recipe_of(witness).seed), threads)
            case "parameters" if witness:
                remade = again(replace(recipe_of(witness), seed=origin.recipe.seed), threads)
            case "threads":
                remade = again(origin.recipe, origin.threads)
            case _:
                tried.append(factor)
                continue
        tried.append(replace(factor, proven=remade.sha256 == origin.sha256))
    return tuple(tried)


def recipe_of(witness: ModelVersion) -> Recipe:
    """The recipe as the ledger has it."""
    return Recipe.from_json(json.loads(witness.recipe))


def _why(origin: Origin, remade: Remade, factors: Sequence[Factor]) -> str:
    """The factors as a sentence: those that were proven, else all, and on which side of the fit the difference lies."""
    named = [factor for factor in factors if factor.proven] or list(factors)
    if origin.engine == "dask":
        named.append(Factor("engine", "dask", "dask: no two fits are equal for sure"))
    if origin.device != remade.device or origin.device != "cpu":
        named.append(Factor("device", origin.device, remade.device))
    if not origin.fit_digest:
        where = ""
    elif origin.fit_digest == remade.fit_digest:
        where = " (the rows that were fitted on are the recorded ones)"
    else:
        where = " (the rows that were fitted on are others already, as the model sees them)"
    return f"{'; '.join(map(str, named)) or NO_FACTOR}{where}"


def _distance(registered: Bundle, remade: Remade) -> tuple[float | None, str]:
    """Largest difference of both models' scores and ends, under the registered calibration, and over which rows; None: other features.

    Of numbers in standard deviations of the registered scores.
    """
    boosters, of_score, classes = booster.load(remade.boosters), len(registered.boosters), len(registered.classes)
    encoder = encoder_of(remade)
    if len(boosters) < of_score + len(registered.ends):
        return None, ""
    golden = from_json(registered.golden["columns"])
    furthest, sets = 0.0, []
    for name, columns in (("golden rows", golden), ("of the rows fitted on", remade.sample)):
        try:
            one = registered.scores(columns)
            encoded = encoder.encode(columns)
            other = calibrated(registered.calibration, booster.scores(boosters[:of_score], encoded, classes))
            if registered.ends:
                ends = (
                    booster.scores(registered.ends, registered.encoder.encode(columns), 2),
                    booster.scores(boosters[of_score:], encoded, 2),
                )
                one, other = np.column_stack([one, ends[0]]), np.column_stack([other, ends[1]])
        except (InputInvalid, ValueError):  # a feature that one of them lacks, or a class
            return None, ""
        if one.shape != other.shape:
            return None, ""
        unit = float(np.std(one)) or 1.0 if registered.task == "regression" else 1.0
        furthest = max(furthest, float(np.abs(one - other).max()) / unit)
        sets.append(f"{len(one):,} {name}")
    return furthest, " and ".join(sets)


def _parameters(recorded: Recipe, other: Recipe) -> tuple[str, str] | None:
    """What of two recipes, but their seed and name, differs."""
    one, two = ({**r.params, "rounds": r.rounds, "bags": r.bags, **r.beyond} for r in (recorded, other))
    names = sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))
    if not names:
        return None
    told = [", ".join(f"{name} {values.get(name, 'not set')}" for name in names) for values in (one, two)]
    return told[0], told[1]


def _code(origin: Origin) -> str:
    named = f"commit {origin.commit[:12]}" if origin.commit else "no commit"
    return f"{named}{' with uncommitted changes' if origin.dirty else ''}{f', source {origin.code[:12]}' if origin.code else ''}"


def _environment(recorded: Mapping[str, str], here: Mapping[str, str]) -> list[Factor]:
    """Lock and packages are one factor; what an earlier release did not record says nothing."""
    names = [name for name in sorted(recorded) if recorded[name] != here.get(name, "")]
    packages = [name for name in names if name.startswith("package.")]
    found = []
    if "lock" in names or packages:
        told = [
            ", ".join(f"{n.removeprefix('package.')} {side.get(n, '')}" for n in packages)
            or f"requirements.lock {side.get('lock', '')[:12] or 'none'}"
            for side in (recorded, here)
        ]
        found.append(Factor("lock", told[0], told[1]))
    found += [Factor(name, recorded[name], here.get(name, "")) for name in ("python", "machine") if name in names]
    return found
