"""What a user can enter wrongly: one message, exit code 2 (1 where the answer is no), and nothing is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_input.door import State, entries, say, say_apart, state
from tests.bad_input.parcels import write_config

pytestmark = pytest.mark.flow
UNKNOWN = "pillars: no project named"
PROJECTS = "There are: adult, flights, parcels."

ENTERED = [
    pytest.param(["--wrong"], "Error: No such option '--wrong'.", id="wrong option"),
    pytest.param(["ingst", "parcels"], "Error: No such command 'ingst'. (Did you mean one of: 'ingest', 'init'?)", id="wrong verb"),
    pytest.param(["data", "rebuidl"], "Error: No such command 'rebuidl'.", id="wrong verb of data"),
    pytest.param(["ingest"], "Error: Missing argument 'PROJECT'.", id="no project"),
    pytest.param(["ingest", "parcels"], "Error: Missing argument 'PERIOD'.", id="no period"),
    pytest.param(["score", "parcels"], "Error: Missing argument 'PERIOD'.", id="no period to score"),
    pytest.param(["ingest", "parcels", "2013-01", "2013-02"], "Error: Got unexpected extra argument (2013-02)", id="too much"),
    pytest.param(["deploy", "parcels", "--version", "abc"], "Error: Invalid value for '--version': 'abc' is not a", id="version abc"),
    pytest.param(["deploy", "parcels", "--version", "-1"], "pillars: no promoted version named '-1'. There are: none", id="version -1"),
    pytest.param(["deploy", "parcels"], "pillars: no promoted version named 'newest'. There are: none yet.", id="nothing promoted"),
    pytest.param(["promote", "parcels"], "pillars: no candidate named 'newest'. There are: none yet.", id="nothing trained"),
    pytest.param(["promote", "parcels", "2013-02"], "pillars: no candidate named '2013-02'.", id="that was not trained"),
    pytest.param(["train", "parcels"], "pillars: no ingested period named 'newest'. There are: none yet.", id="nothing ingested"),
    pytest.param(["train", "parcels", "2013-01"], "pillars: no ingested period named '2013-01'.", id="train what is not ingested"),
    pytest.param(["score", "parcels", "2013-01"], "pillars: no ingested period named '2013-01'.", id="score what is not ingested"),
    pytest.param(["monitor", "parcels", "2013-01"], "pillars: no ingested period named '2013-01'.", id="monitor what is not"),
    pytest.param(["monitor", "parcels", "2013-01", "--page"], "pillars: no drift report named '2013-01'.", id="pages of nothing"),
    pytest.param(["rollback", "parcels"], "pillars: no earlier release named 'parcels'. There are: none yet.", id="no release"),
    pytest.param(["status", "pracels"], f"{UNKNOWN} 'pracels'. Did you mean parcels?", id="another project"),
    pytest.param(["data", "rebuild", "nothing"], f"{UNKNOWN} 'nothing'. {PROJECTS}", id="rebuild what is not"),
    pytest.param(["reset", "nothing", "--yes"], f"{UNKNOWN} 'nothing'. {PROJECTS}", id="reset what is not"),
    pytest.param(["ingest", "../configs/parcels", "2013-01"], f"{UNKNOWN} '../configs/parcels'. {PROJECTS}", id="a path"),
    pytest.param(["ingest", "/etc/passwd", "2013-01"], f"{UNKNOWN} '/etc/passwd'. {PROJECTS}", id="an absolute path"),
    pytest.param(["ingest", "Parcels", "2013-01"], f"{UNKNOWN} 'Parcels'. Did you mean parcels?", id="a capital"),
    pytest.param(["ingest", "a b", "2013-01"], f"{UNKNOWN} 'a b'. {PROJECTS}", id="a blank"),
    pytest.param(["ingest", "", "2013-01"], f"{UNKNOWN} ''. {PROJECTS}", id="no name"),
    pytest.param(["ingest", "x" * 300, "2013-01"], f"{UNKNOWN} 'xxx", id="an endless name"),
    pytest.param(["ingest", "\udcff", "2013-01"], "Error: '\\udcff' is no UTF-8; nothing was changed", id="no UTF-8"),
    pytest.param(["ingest", "parcels", "2014-07"], "pillars: no period named '2014-07'.", id="unknown period"),
    pytest.param(["ingest", "parcels", "2013-1"], "pillars: no period named '2013-1'. Did you mean 2013-01?", id="short period"),
    pytest.param(["ingest", "parcels", "2013-01\n"], "pillars: no period named '2013-01\\n'. Did you mean 2013-01?", id="a line end"),
    pytest.param(
        ["ingest", "parcels", "../../2013"], "pillars: no period named '../../2013'. There are: 2013-01, 2013-02.", id="a path as period"
    ),
    pytest.param(["cycle", "parcels", "2019-01"], "pillars: no period named '2019-01'.", id="cycle of no period"),
    pytest.param(["replay", "parcels", "--from", "2012-01"], "pillars: no period named '2012-01'.", id="from before the first"),
    pytest.param(
        ["replay", "parcels", "--from", "2013-02", "--to", "2013-01"],
        "Error: --to 2013-01 is before --from 2013-02; nothing",
        id="backwards",
    ),
]


@pytest.mark.parametrize(("entered", "message"), ENTERED)
def test_what_is_entered_wrongly_is_said_and_changes_nothing(root: Path, entered: list[str], message: str) -> None:
    before = begun()
    said = say(*entered)
    assert (said.exit_code, said.out) == (2, "")
    assert message in said.err
    assert said.err.count("pillars: ") + said.err.count("Error: ") == 1
    assert state() == before


def begun() -> State:
    """The state before, with the settings on record, whichever test comes first."""
    if not entries():
        say("train", "parcels")
    return state()


def test_status_of_a_project_that_never_ran_says_what_to_do(root: Path) -> None:
    write_config(root, "resting")
    said = say("status", "resting")
    assert (said.exit_code, said.err) == (1, "")
    assert "nothing has run yet; pillars run resting" in said.out
    assert not entries("resting")
    (root / "configs" / "resting.yaml").unlink()


def test_a_reset_that_nobody_can_agree_to_changes_nothing(root: Path) -> None:
    before = begun()
    said = say_apart(root, "reset", "parcels")
    assert (said.exit_code, said.out) == (1, "")
    assert said.err.endswith("Error: nothing was changed. To start over without being asked, say --yes.\n")
    assert state() == before
