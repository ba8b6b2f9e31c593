"""The page `own-features.md` does what it says: its files, put into a clone, are a project with a feature of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillars.bundle.bundle import Bundle
from tests.docs.clones import run
from tests.docs.pages import page

PAGE = page("own-features.md")
FUTURE = ("data", "future", "library")


@pytest.fixture
def library(clone: Path) -> Path:
    """The page's files where it says they go."""
    (source,) = PAGE.blocks("python")
    (config,) = PAGE.blocks("yaml")
    (clone / "projects" / "library.py").write_text(source)
    (clone / "configs" / "library.yaml").write_text(config)
    return clone


@pytest.mark.flow
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_the_pages_project_runs_and_its_feature_is_in_the_released_model(library: Path):
    command, _ = PAGE.blocks("sh")
    assert command.split() == ["pillars", "run", "library"]
    said = run(library, "flows", "run", "library")
    assert "2024-02" in said
    (release,) = (library / "var" / "releases" / "library").glob("v2-*")
    assert "late_share" in (release / "encoder.json").read_text()
    assert Bundle.load(release).gains()["late_share"] > 0.1, "the model makes use of it"
    assert "late_share" in (library / "var" / "reports" / "library" / "2024-02" / "drift.json").read_text()


def test_the_pages_feature_does_not_see_the_future(library: Path):
    _, command = PAGE.blocks("sh")
    assert command.split() == ["pillars", *FUTURE]
    assert "are the same under another future" in run(library, "flows", *FUTURE)


@pytest.mark.parametrize(
    ("right", "leak"),
    [pytest.param("& (back < t)", "", id="all of the reader's loans"), pytest.param("(back < t)", "(lent < t)", id="loans not back yet")],
)
def test_a_feature_that_does_is_named(library: Path, right: str, leak: str):
    file = library / "projects" / "library.py"
    assert right in file.read_text()
    file.write_text(file.read_text().replace(right, leak))
    with pytest.raises(AssertionError, match="another future changes late_share: "):
        run(library, "flows", *FUTURE)
