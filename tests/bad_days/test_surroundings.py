"""An odd HOME, locale, path or terminal: the command works as on any other day, or says what it lacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bad_days.world import NEXT, perform, pillars, record
from tests.proofs.stage import Stage, build

pytestmark = [pytest.mark.flow]


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({"HOME": ""}, id="HOME empty"),
        pytest.param({"HOME": None}, id="HOME unset"),
        pytest.param({"HOME": "/proc/nowhere"}, id="HOME cannot be made"),
        pytest.param({"LANG": "C", "LC_ALL": "C"}, id="LANG=C"),
        pytest.param({"LANG": "xx_XX", "LC_ALL": "xx_XX"}, id="a locale that is not there"),
        pytest.param({"TMPDIR": "/nowhere"}, id="TMPDIR does not exist"),
        pytest.param({"PATH": "/usr/bin:/bin"}, id="PATH minimal"),
        pytest.param({"PATH": ""}, id="PATH empty"),
    ],
)
def test_status_needs_nothing_of_its_surroundings(clone: Path, environ: dict[str, str | None]):
    said = pillars(clone, "status", "small", "--json", **environ)
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out)["champion"] == "v1"


@pytest.mark.slow
def test_a_flow_in_the_worst_of_surroundings(clone: Path):
    worst = {"HOME": None, "LANG": "C", "LC_ALL": "C", "TMPDIR": "/nowhere", "PATH": "/usr/bin:/bin"}
    said = pillars(clone, "ingest", "small", NEXT, "--json", shell='exec "$@" <&-', **worst)
    assert said.code == 0, said.err
    assert json.loads(said.out)["period"] == NEXT
    assert [line.split()[0] for line in record(clone)][-1] == "ingest"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param('"$@" <&-', 0, id="input closed"),
        pytest.param('"$@" >&-', 0, id="output closed"),
        pytest.param('"$@" >&- 2>&-', 0, id="both outputs closed"),
        pytest.param('set -o pipefail; "$@" | head -0', 1, id="a reader that leaves at once"),
    ],
)
def test_a_closed_terminal_is_no_traceback(clone: Path, line: str, code: int):
    said = pillars(clone, "status", "small", shell=line)
    assert (said.code, said.err) == (code, "")


def test_an_output_that_is_full_is_said(clone: Path):
    pillars(clone, "status", "small", shell='"$@" >/dev/full').refuses(6, "the output", "No space left on device")


@pytest.mark.slow
def test_a_path_with_blanks_quotes_and_umlauts(tmp_path: Path, slices: Path, lived: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PILLARS_VAR", raising=False)
    odd = build(tmp_path / "it's müßig, $HOME & [a]; 100% #1", slices)
    done = perform(odd, "cycle", "small")
    assert done.code == 0, done.said
    assert "finished" in record(odd.root)[-1]
    said = pillars(odd.root, "status", "small", "--json")
    assert json.loads(said.out)["champion"] == "v1"


@pytest.mark.parametrize("mark", ["?", "'\""], ids=["question mark", "both quotes"])
def test_a_path_that_databases_cannot_have_is_refused_at_once(clone: Path, mark: str):
    pillars(clone, "status", "small", PILLARS_VAR=f"/nowhere/it{mark}s").refuses(
        2, "databases cannot", "PILLARS_VAR", "Nothing was changed"
    )
