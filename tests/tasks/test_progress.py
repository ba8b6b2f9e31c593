"""What a search says while it runs."""

from __future__ import annotations

import pytest

from tasks import progress


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the artifact says, in order; the server is another test's."""
    said: list[str] = []
    monkeypatch.setattr(progress, "create_progress_artifact", lambda **_: "id")
    monkeypatch.setattr(progress, "update_progress_artifact", lambda artifact_id, progress, description: said.append(description))
    return said


def test_a_search_tells_its_best_loss_its_pace_and_what_is_left(shown: list[str]) -> None:
    heard: list[tuple[int, int, str]] = []
    times = iter([100.0, 104.0, 224.0])
    with progress.heard_by(lambda what, done, total, note, fine: heard.append((done, total, note))):
        count = progress.search("search trams", clock=lambda: next(times))
        for done, best in ((2, 0.5), (4, 0.45), (12, 0.4321)):
            count(done, 12, best)
    assert [note for _, _, note in heard] == [
        "best 0.5000",
        "best 0.4500, 30 trials/min, 0:16 left",
        "best 0.4321, 4.84 trials/min",
    ]
    assert shown == [f"search trams: {note}" for _, _, note in heard]


def test_trials_of_a_killed_run_do_not_count_as_pace(shown: list[str]) -> None:
    times = iter([0.0, 0.0, 60.0])
    count = progress.search("search trams", clock=lambda: next(times))
    count(40, 60, 0.5)
    count(40, 60, 0.5)
    count(42, 60, 0.5)
    assert shown[1:] == ["search trams: best 0.5000", "search trams: best 0.5000, 2 trials/min, 9:00 left"]
