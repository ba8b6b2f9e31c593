from __future__ import annotations

from pathlib import Path

import pytest

from pillars.data import waivers
from pillars.data.searching import Finding
from pillars.data.waivers import Waiver
from pillars.errors import ConfigInvalid
from pillars.stores import Stores

FOUND = [Finding(*where, "GitHub token") for where in (("tests/a.py", "line 3"), ("var/x.json", "line 3"), ("var/x.json", "line 9"))]


def wanted(text: str, tmp_path: Path) -> tuple[Waiver, ...]:
    (tmp_path / "configs").mkdir(exist_ok=True)
    (tmp_path / "configs" / "_waivers.yaml").write_text(text)
    return waivers.read(Stores(root=tmp_path))


def test_what_fits_a_waiver_has_its_reason_and_the_others_have_none(tmp_path: Path) -> None:
    given = wanted(
        "waivers:\n  - {file: tests/*, kind: GitHub token, reason: a token that was revoked}\n"
        "  - {file: var/x.json, kind: '*', place: line 3, reason: an example of the manual}\n"
        "  - {file: gone.py, kind: '*', reason: nobody knows any more}\n",
        tmp_path,
    )
    found, unused = waivers.apply(given, FOUND)
    assert [one.waived for one in found] == ["a token that was revoked", "an example of the manual", ""]
    assert [one.file for one in unused] == ["gone.py"]


def test_without_a_file_nothing_is_waived(tmp_path: Path) -> None:
    assert waivers.read(Stores(root=tmp_path)) == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("waivers:\n  - {file: a, kind: b}\n", "waivers.0.reason: Field required", id="no reason"),
        pytest.param("waivers:\n  - {file: a, kind: b, reason: ok}\n", "waivers.0.reason: String should have", id="no word of it"),
        pytest.param("waivers:\n  - {file: a, kind: b, reason: a good reason, until: 2}\n", "waivers.0.until: Extra", id="unknown key"),
        pytest.param("- a\n", "the file: Input should be", id="a list"),
        pytest.param("waivers: [", "it is no YAML", id="no YAML"),
        pytest.param("waivers:\n  - {file: a, kind: b, reason: [ghp_geheim]}\n", "waivers.0.reason: Input", id="a value is not quoted"),
    ],
)
def test_a_file_that_says_no_reason_waives_nothing(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        wanted(text, tmp_path)
    assert problem in str(caught.value)
    assert "geheim" not in str(caught.value)
