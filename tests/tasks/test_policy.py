"""What flow runs are called in Prefect's UI."""

from __future__ import annotations

import pytest

from tasks import policy


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"project": "trams", "period": "2013-02"}, "trams 2013-02"),
        ({"project": "trams", "period": None}, "trams newest"),
        ({"project": "trams"}, "trams newest"),
    ],
)
def test_a_run_without_a_period_says_which_one_it_takes(
    given: dict[str, str | None], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy.flow_run, "get_parameters", lambda: given, raising=False)
    assert policy.run_name("newest")() == expected
