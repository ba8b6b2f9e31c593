"""A first `configs/<name>.yaml` for a file: what its values suggest, the reasons beside each line, for whoever knows the data to read."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import MOST_COMPARED, Task
from pillars.config_data import Batches, Csv, Every
from pillars.data.aim import LOSS, Aim, aim_at, look_at
from pillars.data.parsing import FALSE, TRUE
from pillars.data.profiling import Profile, Seen, is_key, looks_like_a_key, looks_personal
from pillars.data.sources.cutting import names_of
from pillars.errors import ColumnUnfit
from pillars.telling import TELLING, telling

SPANS: tuple[Every, ...] = ("day", "week", "month", "quarter", "year")
MOST_PERIODS, FEWEST_PERIODS = 36, 3
ROWS_A_PERIOD = 200  # below it a month says little
FEW = 30  # rows of a block
UNSEEN = 0.05  # share of rows that may have a category nobody has seen yet before it is said
ROW = "row"


@dataclass(frozen=True)
class Wishes:
    """What the person said."""

    target: str
    time: str | None = None
    key: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    task: Task | None = None


@dataclass(frozen=True)
class Proposal:
    """A YAML's text, and what to look at before believing a model."""

    yaml: str
    periods: int
    warnings: tuple[str, ...]


def propose(name: str, file: str, dialect: Csv, profile: Profile, wishes: Wishes) -> Proposal:
    """The YAML of a project over one file.

    Raises:
        ColumnUnfit: a named column is not there, the target is none of its kind, a time is no time, or the key does not name rows.
    """
    _refuse_unknown(profile, wishes)
    aim = aim_at(profile, wishes.target, wishes.task)
    key = wishes.key or _found_key(profile, wishes)
    batches = _batches(profile, wishes, aim)
    periods, fewest = _sizes(profile, batches, wishes)
    features = [c for c in profile.columns if _is_feature(c, wishes, key)]
    told = {c.name: telling(profile.values[c.name].filter(pa.array(aim.known)), aim.y, aim.task) for c in features}
    warnings = [*profile.warnings, *_warnings(profile, wishes, aim, told, batches, key)]
    if not features:
        raise ColumnUnfit(wishes.target, "no other column of the file can be a feature")
    text = "\n".join(
        [
            *_head(name, wishes, aim, profile),
            *_source(file, dialect, batches, key),
            *_columns(profile, wishes, key, aim),
            *_expectations(features, wishes.target, aim, fewest),
            *_model(features, profile, wishes, aim, fewest),
            *_watch(features, told),
        ]
    )
    return Proposal(text + "\n", periods, tuple(warnings))


def _refuse_unknown(profile: Profile, wishes: Wishes) -> None:
    known = [c.name for c in profile.columns]
    for asked in (wishes.target, *([wishes.time] if wishes.time else []), *wishes.key, *wishes.protect):
        if asked not in known:
            raise ColumnUnfit(asked, f"the file has no such column; it has {', '.join(known[:20])}{' ...' if len(known) > 20 else ''}")
    if wishes.time and profile.of(wishes.time).declared.type != "timestamp":
        raise ColumnUnfit(wishes.time, f"it is no time: {profile.of(wishes.time).said}")
    if wishes.target in (wishes.time, *wishes.key, *wishes.protect):
        raise ColumnUnfit(wishes.target, "the target can be neither time nor key, nor be protected")
    if wishes.key:
        columns = pa.table({k: profile.values[k] for k in wishes.key})
        again = profile.rows - columns.group_by(list(wishes.key)).aggregate([]).num_rows
        if again or any(profile.of(k).nulls for k in wishes.key):
            what = f"{again} of {profile.rows} rows have the values of another" if again else "it is missing in some rows"
            raise ColumnUnfit(", ".join(wishes.key), f"it does not name rows: {what}")


def _found_key(profile: Profile, wishes: Wishes) -> tuple[str, ...]:
    taken = {wishes.target, wishes.time}
    found = [c.name for c in profile.columns if c.name not in taken and not c.nulls and looks_like_a_key(c)]
    return tuple(found[:1])


def _batches(profile: Profile, wishes: Wishes, aim: Aim) -> Batches:
    """By time, the finest span with enough rows in its periods; else blocks, drawn by chance where the file is sorted."""
    if wishes.time:
        for every in SPANS:
            counts = Counter(pc.drop_null(names_of(profile.values[wishes.time], every)).to_pylist())
            if FEWEST_PERIODS <= len(counts) <= MOST_PERIODS and np.median(list(counts.values())) >= ROWS_A_PERIOD:
                return Batches(by="time", every=every)
        coarse = next((e for e in reversed(SPANS) if _periods(profile, wishes.time, e) >= FEWEST_PERIODS), None)
        if coarse:
            return Batches(by="time", every=coarse)
        raise ColumnUnfit(wishes.time, "all rows are of three days or less: leave --time out, and they are cut into blocks")
    blocks = min(max(profile.rows // ROWS_A_PERIOD, FEWEST_PERIODS), 8)
    size = max(math.ceil(profile.rows / blocks), 1)
    return Batches(by="rows", size=size, shuffled=profile.rows if _is_sorted(np.flatnonzero(aim.known) // size, aim) else None)


def _periods(profile: Profile, time: str, every: Every) -> int:
    return len(pc.unique(pc.drop_null(names_of(profile.values[time], every))))


def _is_sorted(block: np.ndarray, aim: Aim) -> bool:
    """Whether a class's share, or the mean rank of numbers, differs between blocks (n,) by more than chance: once in a million files."""
    if aim.task == "regression":
        _, place = np.unique(aim.y, return_inverse=True)
        held = [place / max(int(place.max()), 1)]
    else:
        held = [(aim.y == c).astype(float) for c in range(1, max(len(aim.classes), 2))]
    rows = np.bincount(block)
    for values in held:
        means = np.bincount(block, values) / np.maximum(rows, 1)
        deviation = np.sqrt(max(float(values.var()), 1e-12) / np.maximum(rows, 1))
        if (np.abs(means - values.mean()) > 5 * deviation)[rows >= FEW].any():
            return True
    return False


def _sizes(profile: Profile, batches: Batches, wishes: Wishes) -> tuple[int, int]:
    """How many periods, and the rows of the smallest."""
    if batches.by == "time" and wishes.time:
        counts = Counter(pc.drop_null(names_of(profile.values[wishes.time], batches.every)).to_pylist())
        return len(counts), min(counts.values())
    return math.ceil(profile.rows / batches.size), profile.rows % batches.size or batches.size


def _is_feature(column: Seen, wishes: Wishes, key: Sequence[str]) -> bool:
    apart = column.name in (wishes.target, wishes.time, *key, *wishes.protect)
    usable = column.is_number or column.declared.type == "category"
    named = column.declared.type == "int" and is_key(column) and looks_like_a_key(column)
    return usable and not apart and not named and column.distinct > 1


def _warnings(
    profile: Profile,
    wishes: Wishes,
    aim: Aim,
    told: Mapping[str, float],
    batches: Batches,
    key: Sequence[str],
) -> Iterator[str]:
    yield from look_at(profile, wishes.target, aim, wishes.task is not None)
    suspicious, words = TELLING[aim.task]
    for name, much in told.items():
        if much >= suspicious:
            ask = "is it known when the prediction is asked for? If not, make its role known_later"
            yield f"{name} alone tells {wishes.target} ({words.format(much)}): {ask}"
    for column in profile.columns:
        if looks_personal(column.name) and column.name not in wishes.protect:
            sounds = "sounds like a person's data, or a group that law protects"
            yield f"{column.name} {sounds}: --protect {column.name} keeps it as a pseudonym only"
    others = [c.name for c in profile.columns if c.declared.type == "timestamp" and c.name != wishes.time]
    if others and not wishes.time:
        yield f"{', '.join(others)} is a time: with --time {others[0]} periods are times, and nothing is learned from the future"
    if batches.shuffled is not None:
        yield f"the file is sorted by {wishes.target}, or nearly: its blocks of rows are drawn by chance"
    if not key:
        yield f"no column names the rows: `{ROW}`, the row's number, is the key; a file that is sorted anew has other rows then"


def _head(name: str, wishes: Wishes, aim: Aim, profile: Profile) -> Iterator[str]:
    yield "# yaml-language-server: $schema=schema.json"
    yield "#"
    yield f"# Proposed from {profile.rows:,} rows by `pillars init`: read it from top to bottom, you know the data."
    yield "# docs/sources.md explains the first part, configs/flights.yaml is a full example with reasons."
    yield ""
    yield f"project: {name}"
    yield f"description: {_text(f'Predicts {wishes.target}')} # what is asked, when, and for whom?"
    yield f"task: {aim.task}"
    yield f"target: {_text(wishes.target)} # {aim.said}"
    if aim.classes:
        yield f"classes: {_flow(aim.classes)} # in the order that predictions have them"
    yield ""


def _source(file: str, dialect: Csv, batches: Batches, key: Sequence[str]) -> Iterator[str]:
    yield "# ---- pillar 1: data management"
    yield "source:"
    yield f"  file: {_text(file)}"
    if given := dialect.model_dump(exclude_defaults=True):
        yield f"  csv: {_flow(given)}"
    yield f"  batches: {_flow(batches.model_dump(exclude_unset=True, exclude_none=True))} # what a period is"
    if not key:
        yield f"  row_number: {ROW} # the key, for want of one"
    yield '  licence: "" # of the data, or the legal basis; kept with each batch'
    yield "  outcome_lag: 0 # periods until the truth is known; 1: January's outcomes arrive with February's rows"
    yield ""


def _columns(profile: Profile, wishes: Wishes, key: Sequence[str], aim: Aim) -> Iterator[str]:
    yield "columns: # type: float, int, category, text, timestamp, bool; a value that is none puts its row into quarantine"
    if not key:
        yield f"  {ROW}: {{ type: int, role: [key], nullable: false }}"
    for column in profile.columns:
        declared = aim.column if column.name == wishes.target else column.declared
        parts: dict[str, object] = {"type": declared.type, "role": _roles(column, wishes, key)}
        if column.name != wishes.target and not column.nulls:
            parts["nullable"] = False
        parts |= declared.model_dump(exclude_defaults=True, include={"format", "decimal", "true_as", "false_as"})
        said = "protected" if column.name in wishes.protect else _printable(column.said)
        yield f"  {_text(column.name)}: {_flow(parts)} # {said}"
    yield ""


def _roles(column: Seen, wishes: Wishes, key: Sequence[str]) -> list[str]:
    if column.name == wishes.target:
        return ["outcome"]
    roles = [role for role, named in (("key", key), ("time", (wishes.time,)), ("protected", wishes.protect)) if column.name in named]
    return roles or (["feature"] if _is_feature(column, wishes, key) else ["info"])


def _expectations(features: Sequence[Seen], target: str, aim: Aim, fewest: int) -> Iterator[str]:
    checks = [line for column in features for line in _checks(column)]
    if aim.classes:
        kwargs = {"column": target, "value_set": list(aim.classes)}
        checks.append(f"    - {{ type: expect_column_values_to_be_in_set, kwargs: {_flow(kwargs)}, severity: warning }}")
    yield "expectations: # schema, types, nulls, key, volume and freshness are checked without being named"
    yield f"  min_rows: {max(fewest // 2, 1)} # half of the smallest period"
    yield "  quarantine_budget: 0.02 # a larger share of bad rows rejects the batch"
    yield f"  suite:{'' if checks else ' []'} # limits are wide on purpose: what was seen in one file is no law"
    yield from checks
    yield ""


def _checks(column: Seen) -> Iterator[str]:
    if column.low is not None and column.high is not None and column.distinct > 2:
        low, high = _limits(column)
        kwargs: dict[str, object] = {"column": column.name, "min_value": low, "max_value": high}
        yield f"    - {{ type: expect_column_values_to_be_between, kwargs: {_flow(kwargs)}, quarantine: true }}"
    if column.words:
        kwargs = {"column": column.name, "value_set": list(column.words), "mostly": 1 - UNSEEN}
        yield f"    - {{ type: expect_column_values_to_be_in_set, kwargs: {_flow(kwargs)}, severity: warning }}"
    if column.nulls and (mostly := round(1 - 2 * column.nulls / column.rows - UNSEEN, 2)) > 0:
        kwargs = {"column": column.name, "mostly": mostly}
        yield f"    - {{ type: expect_column_values_to_not_be_null, kwargs: {_flow(kwargs)}, severity: warning }}"


def _limits(column: Seen) -> tuple[float, float]:
    """One range beyond what was seen on each side, rounded outwards to its scale; below zero only where something was."""
    low, high = column.low or 0.0, column.high or 0.0
    reach = (high - low) or max(abs(high), 1.0)
    digits = 0 if column.declared.type == "int" else 1 - math.floor(math.log10(reach))
    step = 10.0**-digits
    ends = 0.0 if low >= 0 else math.floor((low - reach) / step) * step, math.ceil((high + reach) / step) * step
    whole = column.declared.type == "int" or digits <= 0
    return (int(ends[0]), int(ends[1])) if whole else (round(ends[0], digits), round(ends[1], digits))


def _model(features: Sequence[Seen], profile: Profile, wishes: Wishes, aim: Aim, fewest: int) -> Iterator[str]:
    numeric, words = ([c.name for c in features if c.is_number is kind] for kind in (True, False))
    days = _periods(profile, wishes.time, "day") if wishes.time else 0
    yield "# ---- pillar 2: model development"
    yield "features:"
    yield f"  numeric: {_flow(numeric)}"
    yield f"  categorical: {_flow(words)}"
    yield f"  min_category_rows: {min(max(profile.rows // 1000, 2), 50)} # rarer ones share a code with unseen ones"
    yield ""
    yield "# ---- pillar 3: training and validation"
    yield "split:"
    yield f"  block: {'day' if days >= 20 else 'row'} # what belongs together when rows are resampled: day, hour or row"
    yield "search:"
    yield "  trials: 8"
    yield "  space:"
    yield "    eta: { low: 0.03, high: 0.3, log: true }"
    yield "    max_depth: { low: 2, high: 8 }"
    yield "    min_child_weight: { low: 1, high: 50, log: true }"
    yield "    subsample: { low: 0.6, high: 1.0 }"
    yield "  prior: { eta: 0.1, max_depth: 4, min_child_weight: 5 } # your best guess, always a candidate"
    if aim.task == "binary":
        yield "cost: # of one wrong decision each; they decide the threshold"
        yield "  false_negative: 1.0"
        yield "  false_positive: 1.0"
        yield "  unit: errors"
    yield "gate:"
    yield f"  loss: {LOSS[aim.task]}"
    if aim.margins:
        margin, refresh = aim.margins
        yield f"  margin: {_flow(margin)} # in squared units of the target; its variance is {aim.y.var():.6g}"
        yield f"  refresh_margin: {_flow(refresh)}"
    yield f"  min_rows: {max(min(fewest // 2, 1000), 1)} # fewer judged rows give no verdict"
    yield ""


def _watch(features: Sequence[Seen], told: Mapping[str, float]) -> Iterator[str]:
    most = sorted(told, key=lambda name: -told[name])[:MOST_COMPARED]
    watched = [c.name for c in features if c.name in most]
    why = f"the {MOST_COMPARED} that tell most; " if len(watched) < len(features) else ""
    yield "# ---- pillars 4 and 5: deployment, monitoring"
    yield "monitoring:"
    yield "  drift:"
    yield f"    structural: {_flow(watched)} # {why}counts in the verdict; move what has seasons to `seasonal`"
    yield "  retraining:"
    yield "    every: 1 # each so many periods"
    yield "schedule:"
    yield '  cron: "0 6 * * *" # each time the next period, if there is one'


def _text(value: str) -> str:
    """A word as YAML reads it back: quoted unless it is plain."""
    plain = value.replace("_", "").isalnum() and value.isascii() and not value[:1].isdigit()
    as_it_is = plain and value.lower() not in (*TRUE, *FALSE, "null", "on", "off")
    return value if as_it_is else _printable(json.dumps(value, ensure_ascii=False))


def _printable(text: str) -> str:
    """Text of one line: what ends a line for YAML, or is no letter for it, as its escape."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in text)


def _flow(value: object) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_text(str(k))}: {_flow(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(v) for v in value) + "]"
    if isinstance(value, float):  # 1e-05 is a word for YAML
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
    return _text(value) if isinstance(value, str) else json.dumps(value)
