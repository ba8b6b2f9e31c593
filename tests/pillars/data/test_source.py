"""A source is asked once; what it says of itself reaches people, and no row of protected columns does."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pillars.data.source import MOST_PERIODS, ask, open_source, periods
from pillars.errors import SourceBroken, StoreUnavailable
from pillars.stores import Stores
from tests.pillars.data.batches import CANARY, Memory, project, rows

OPEN = project(columns={"person": {"type": "text"}})  # without a protected column
GOOD = {"2013-01": rows("2013-01")}


class Failing(Memory):
    def __init__(self, error: BaseException) -> None:
        super().__init__(GOOD)
        self.error = error

    def periods(self) -> list[str]:
        raise self.error

    def rows(self, period: str) -> pa.Table:
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        pytest.param(ConnectionRefusedError(111, "Connection refused"), StoreUnavailable, "got no answer", id="no server"),
        pytest.param(TimeoutError("10 s"), StoreUnavailable, "TimeoutError: 10 s", id="too late"),
        pytest.param(StoreUnavailable("lake", "is dry", "Wait."), StoreUnavailable, "lake: is dry. Wait.", id="it says so itself"),
        pytest.param(FileNotFoundError(2, "No such file"), SourceBroken, "FileNotFoundError", id="no file"),
        pytest.param(MemoryError(), SourceBroken, "MemoryError", id="memory"),
        pytest.param(SystemExit(3), SourceBroken, "SystemExit: 3", id="exit"),
    ],
)
@pytest.mark.parametrize("asked", [lambda s: ask(OPEN, s, "rows", "2013-01"), lambda s: periods(s, OPEN)], ids=["rows", "periods"])
def test_only_a_source_that_does_not_answer_is_worth_another_try(
    asked: Any, error: BaseException, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        asked(Failing(error))
    assert type(caught.value) is kind
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301  (our own bytes)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param(
            "raise ConnectionError('refused')", "source() got no answer (ConnectionError: refused). Nothing was kept", id="no server"
        ),
        pytest.param("raise StoreUnavailable('lake', 'is dry', 'Wait.')", "lake: is dry. Wait.", id="it says so itself"),
    ],
)
@pytest.mark.parametrize("opened", [True, False], ids=["opened", "imported"])
def test_so_is_one_that_does_not_answer_when_it_is_opened(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, line: str, said: str, opened: bool
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    name = f"lake_{abs(hash((line, opened, stores.root))) % 10**9}"
    module = "from pillars.errors import StoreUnavailable\n" + (f"def source():\n    {line}\n" if opened else f"{line}\n")
    Path(stores.root, f"{name}.py").write_text(module)
    given = OPEN.model_copy(update={"source": OPEN.source.model_copy(update={"python": name})})
    with pytest.raises(StoreUnavailable) as caught:
        open_source(stores, given)
    assert said in str(caught.value)


def test_an_interrupt_is_no_fault_of_the_source() -> None:
    with pytest.raises(KeyboardInterrupt):
        ask(OPEN, Failing(KeyboardInterrupt()), "rows", "2013-01")


@pytest.mark.parametrize("asked", [lambda s: periods(s, project()), lambda s: ask(project(), s, "rows", "2013-01")])
@pytest.mark.parametrize("error", [ValueError(CANARY), TimeoutError(CANARY)], ids=["fails", "does not answer"])
def test_what_fails_beside_protected_columns_is_not_quoted(asked: Any, error: Exception) -> None:
    with pytest.raises((SourceBroken, StoreUnavailable), match=type(error).__name__) as caught:
        asked(Failing(error))
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_damaged_text_is_found_before_anything_reads_it() -> None:
    raw = pa.array([b"\xff"] * 40).buffers()
    table = GOOD["2013-01"].set_column(3, "carrier", pa.StringArray.from_buffers(40, raw[1], raw[2]))
    with pytest.raises(SourceBroken, match="a column carrier that is damaged"):
        ask(OPEN, Memory({"2013-01": table}), "rows", "2013-01")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(["2013-10", "2013-9"], None, id="they sort"),
        pytest.param(["2013-9", "2013-10"], "2013-10 after 2013-9", id="they do not"),
        pytest.param(["2013-01", "2013-01"], "2013-01 twice", id="twice"),
        pytest.param([""], "not ''", id="no name"),
        pytest.param([".."], "not '..'", id="a folder"),
        pytest.param(["2" * 65], "not '2222", id="longer than a file's name may be"),
        pytest.param([b"2013"], "not b'2013'", id="bytes"),
    ],
)
def test_periods_are_distinct_names_in_the_order_of_time(given: list[Any], said: str | None) -> None:
    source = Memory(dict.fromkeys(given, GOOD["2013-01"]))
    source.periods = lambda: given  # type: ignore[method-assign]
    if said is None:
        assert periods(source, OPEN) == given
        return
    with pytest.raises(SourceBroken, match=said):
        periods(source, OPEN)


def test_a_list_that_never_ends_is_not_read_to_its_end() -> None:
    source = Memory({})
    source.periods = lambda: (f"p{i:09}" for i in range(10**12))  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(SourceBroken, match=f"more than {MOST_PERIODS:,} names"):
        periods(source, OPEN)
