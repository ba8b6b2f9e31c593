"""A feature that reads the future is caught and named, whichever way it does; an honest one is not."""

from __future__ import annotations

import json
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml

from pillars import project_file
from pillars.answers.foresight import foresight
from pillars.errors import ConfigInvalid, SourceBroken, TooFewRows, UnknownName
from pillars.stores import Stores
from pillars.vocabulary import Foresight
from tests.bad_input.door import say
from tests.factories import COLUMNS, rows_and_outcomes

SOURCE = '''"""Trams, with a running mean of what is known of the line by then."""
from pathlib import Path
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pillars.data.future import another

HERE = Path(__file__).parent

def raw():
    return pq.read_table(HERE / "raw.parquet")

class Trams:
    def __init__(self, table):
        self.table = table

    def periods(self):
        return sorted(set(pc.strftime(self.table["at"], "%Y-%m").to_pylist()))

    def of(self, period, names):
        which = pc.equal(pc.strftime(self.table["at"], "%Y-%m"), period)
        return self.table.append_column("lately", pa.array(lately(self.table), from_pandas=True)).filter(which).select(names)

    def rows(self, period):
        return self.of(period, ["at", "line", "number", "load", "wind", "hour", "stop", "lately"])

    def outcomes(self, period):
        return self.of(period, ["at", "line", "number", "late", "delay_min"])

def lately(table):
    at, done = table["at"].to_numpy(), table["done_at"].to_numpy()
    late = table["late"].fill_null(False).to_numpy(zero_copy_only=False).astype(float)
    return COUNTED

def source():
    return Trams(raw())
'''
SCRAMBLED = """
def scrambled(now, seed):
    return Trams(another(raw(), now, seed, since="at", known={"late": "done_at", "delay_min": "done_at", "done_at": "done_at"}))
"""
HONEST = "np.array([late[done < t].mean() if (done < t).any() else np.nan for t in at])"
PLANTED = {
    "its own outcome": "late",
    "those that are still under way": "np.cumsum(late) - late",
    "an hour of the future": "np.array([late[done < t + np.timedelta64(1, 'h')].sum() for t in at])",
    "the mean of all": "np.full(len(at), late.mean())",
    "how many are to come": "np.full(len(at), float(len(at)))",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the raw table and a project; `written` gives it a source."""
    rows, outcomes = rows_and_outcomes(["2013-01", "2013-02"], 400)
    raw = rows.append_column("late", outcomes["late"]).append_column("delay_min", outcomes["delay_min"])
    raw = raw.append_column("done_at", pc.add(raw["at"], pa.scalar(timedelta(hours=6))))
    pq.write_table(raw.sort_by([("at", "ascending"), ("line", "ascending"), ("number", "ascending")]), tmp_path / "raw.parquet")
    (tmp_path / "configs").mkdir()
    monkeypatch.setenv("PILLARS_ROOT", str(tmp_path))
    monkeypatch.setenv("PILLARS_VAR", str(tmp_path / "var"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "trams_source", raising=False)
    return tmp_path


def written(root: Path, text: str, **sections: Any) -> None:
    """The project `trams` with a source of this text, or with the `source` among its sections."""
    (root / "trams_source.py").write_text(text)
    config = {
        "project": "trams",
        "target": "late",
        "source": {"python": "trams_source"},
        "columns": COLUMNS | {"lately": {"type": "float", "role": ["feature"]}},
        "features": {"numeric": ["load", "wind", "hour", "lately"], "categorical": ["stop"], "min_category_rows": 5},
        "search": {"prior_rounds": 10},
        **sections,
    }
    (root / "configs" / "trams.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def asked(**given: Any) -> Foresight:
    stores = Stores()
    return foresight(stores, project_file.load(stores.config_file("trams")), **given)


def test_an_honest_feature_is_the_same_under_another_future_and_so_is_what_is_said_of_it(root: Path) -> None:
    written(root, SOURCE.replace("COUNTED", HONEST) + SCRAMBLED)
    found = asked(moments=3)
    assert found.decision, found.decision.reason
    assert (found.foreseen, found.predictions) == ((), 0)
    assert len(found.moments) == 3
    assert found.rows > 1000
    assert found.predicted_by.startswith("a model of 7")
    assert asked(moments=3) == found, "equal seeds, equal moments"


@pytest.mark.parametrize("counted", PLANTED.values(), ids=PLANTED)
def test_a_feature_that_reads_the_future_is_caught_and_named(root: Path, counted: str) -> None:
    written(root, SOURCE.replace("COUNTED", counted) + SCRAMBLED)
    found = asked(moments=20)  # in an hour 0.6 trams end: one moment in two shows that it is looked into
    assert found.decision.outcome == "refuse"
    assert {one.column for one in found.foreseen} == {"lately"}
    assert "another future changes lately: " in found.decision.reason
    assert all(0 < one.rows <= one.of for one in found.foreseen)


def test_predictions_that_follow_the_future_are_counted(root: Path) -> None:
    written(root, SOURCE.replace("COUNTED", PLANTED["its own outcome"]) + SCRAMBLED)
    found = asked(moments=3)
    assert 0 < found.predictions <= sum(one.rows for one in found.foreseen)
    assert f"{found.predictions} predictions of a model of" in found.decision.reason


def test_rows_that_are_gone_in_another_future_are_told(root: Path) -> None:
    text = SOURCE.replace("COUNTED", HONEST).replace(
        'which = pc.equal(pc.strftime(self.table["at"], "%Y-%m"), period)',
        'which = pc.equal(pc.strftime(self.table["at"], "%Y-%m"), period)\n'
        '        which = pc.and_(which, pa.array(np.arange(len(self.table)) > 3 * pc.sum(self.table["late"]).as_py() // 100))',
    )
    written(root, text + SCRAMBLED)
    found = asked(period="2013-01")
    assert found.decision.outcome == "refuse"
    assert {one.column for one in found.foreseen} == {"which rows there are"}


def test_without_another_future_nobody_can_say(root: Path) -> None:
    written(root, SOURCE.replace("COUNTED", PLANTED["its own outcome"]))
    found = asked()
    assert found.decision.outcome == "inconclusive"
    assert "trams_source does not say what another future would be: define scrambled(now, seed" in found.decision.reason


def test_another_future_that_changes_nothing_is_none(root: Path) -> None:
    written(root, SOURCE.replace("COUNTED", HONEST) + "\ndef scrambled(now, seed):\n    return source()\n")
    found = asked()
    assert found.decision.outcome == "inconclusive"
    assert "it was not scrambled" in found.decision.reason


@pytest.mark.parametrize(
    ("scrambled", "error", "said"),
    [
        pytest.param(
            "def scrambled(when):\n    return source()", ConfigInvalid, "trams_source.scrambled does not take them", id="arguments"
        ),
        pytest.param(
            "def scrambled(now, seed):\n    return 3", SourceBroken, r"scrambled\(\) gave int, which has no periods", id="a number"
        ),
        pytest.param("def scrambled(now, seed):\n    raise OSError('x')", SourceBroken, "it cannot be opened", id="an error"),
    ],
)
def test_a_scrambling_that_fails_is_named(root: Path, scrambled: str, error: type[Exception], said: str) -> None:
    written(root, SOURCE.replace("COUNTED", HONEST) + "\n" + scrambled + "\n")
    with pytest.raises(error, match=said):
        asked()


def test_a_period_that_is_not_there_and_rows_without_two_outcomes_are_named(root: Path) -> None:
    written(root, SOURCE.replace("COUNTED", HONEST) + SCRAMBLED)
    with pytest.raises(UnknownName, match="2019-01"):
        asked(period="2019-01")
    written(root, SOURCE.replace("COUNTED", HONEST).replace("return Trams(raw())", "return Trams(never(raw()))") + SCRAMBLED + NEVER)
    sys.modules.pop("trams_source")
    with pytest.raises(TooFewRows, match="the same outcome"):
        asked()


NEVER = """
def never(table):
    return table.set_column(table.column_names.index("late"), "late", pa.array([False] * table.num_rows))
"""


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        pytest.param('.drop_columns(["at"])', r"rows\(\) gave no column at", id="no time"),
        pytest.param('.drop_columns(["line"])', r"rows\(\) gave no column line", id="no key"),
        pytest.param(".slice(0, 0)", "2013-02 has no rows", id="no rows"),
        pytest.param('.set_column(0, "at", self.table["at"].cast(pa.timestamp("s", "UTC")).slice(0, 395))', "without a zone", id="a zone"),
        pytest.param('.drop_columns(["wind"])', "features: the rows have no column wind", id="no feature"),
    ],
)
def test_rows_that_are_none_are_named(root: Path, spoilt: str, said: str) -> None:
    text = SOURCE.replace("COUNTED", HONEST).replace('"stop", "lately"])', f'"stop", "lately"]).slice(0, 395){spoilt}')
    written(root, text + SCRAMBLED)
    try:
        told = asked().decision.reason
    except (SourceBroken, ConfigInvalid) as err:
        told = str(err)
    assert re.search(said, told)


def test_a_source_without_code_is_scrambled_without_being_told(root: Path) -> None:
    """Its features are columns that came so: what ingest makes of them, and what a model says, must not look at later rows."""
    raw = pq.read_table(root / "raw.parquet")
    pyarrow.csv.write_csv(raw.drop_columns(["done_at"]), root / "trams.csv")
    features = {"numeric": ["load", "wind", "hour"], "categorical": ["stop"], "min_category_rows": 5}
    written(root, "", source={"file": "trams.csv"}, columns=COLUMNS, features=features)
    found = asked()
    assert found.decision, found.decision.reason
    assert found.rows > 500


def test_the_command_ends_with_one_unless_it_is_sure(root: Path) -> None:
    written(root, SOURCE.replace("COUNTED", HONEST) + SCRAMBLED)
    said = say("data", "future", "trams", "--json")
    assert said.exit_code == 0, said.err
    assert json.loads(said.out)["decision"]["outcome"] == "accept"
    written(root, SOURCE.replace("COUNTED", PLANTED["its own outcome"]) + SCRAMBLED)
    sys.modules.pop("trams_source")
    said = say("data", "future", "trams", "2013-01", "--moments", "1")
    assert said.exit_code == 1
    assert "lately" in said.out
    assert say("data", "future", "trams", "2019-01").exit_code == 2
    assert not (root / "var" / "ledger.db").exists(), "nothing is written"
