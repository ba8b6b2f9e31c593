"""The code's state is the same for the same code, and another one for another."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pillars.monitoring import lineage
from pillars.monitoring.lineage import code_state


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A User", "-c", "user.email=user@example.org"]
    return subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "pillars").mkdir()
    (tmp_path / "pillars" / "a.py").write_text("one\n")
    (tmp_path / "requirements.lock").write_text("xgboost==3.2.0\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_a_clean_checkout_names_its_commit_and_lock(repository: Path) -> None:
    state = code_state(repository)
    assert state["commit"] == git(repository, "rev-parse", "HEAD")
    assert state["dirty"] == ""
    assert len(state["lock"]) == 64
    assert state["package.xgboost"].startswith("3.")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        pytest.param("pillars/a.py", "two\n", id="changed"),
        pytest.param("pillars/b.py", "new\n", id="untracked"),
        pytest.param("projects/mine.py", "new\n", id="untracked-folder"),
    ],
)
def test_uncommitted_code_is_told_apart_by_its_content(repository: Path, file: str, content: str) -> None:
    (repository / file).parent.mkdir(exist_ok=True)
    (repository / file).write_text(content)
    first = code_state(repository)["dirty"]
    (repository / file).write_text(content + "more\n")
    second = code_state(repository)["dirty"]
    (repository / file).write_text(content)
    assert len(first) == 64
    assert second not in ("", first)
    assert code_state(repository)["dirty"] == first


def test_staging_a_change_does_not_change_the_state_and_the_index_is_left_alone(repository: Path) -> None:
    (repository / "pillars" / "a.py").write_text("two\n")
    before = code_state(repository)
    git(repository, "add", "-A")
    index = (repository / ".git" / "index").read_bytes()
    assert code_state(repository) == before
    assert (repository / ".git" / "index").read_bytes() == index


def test_a_hook_that_points_git_elsewhere_has_no_say(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = lineage.code_state(repository)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert state["commit"]
    assert lineage.code_state(repository) == state


def test_what_is_no_code_has_no_say(repository: Path) -> None:
    (repository / "notes.txt").write_text("anything")
    assert code_state(repository)["dirty"] == ""


def test_a_repository_without_a_commit_and_a_folder_without_git_have_a_state_too(tmp_path: Path) -> None:
    assert (code_state(tmp_path)["commit"], code_state(tmp_path)["lock"]) == ("", "")
    git(tmp_path, "init", "-q")
    (tmp_path / "pillars").mkdir()
    (tmp_path / "pillars" / "a.py").write_text("one\n")
    state = code_state(tmp_path)
    assert (state["commit"], len(state["dirty"])) == ("", 64)


def test_the_source_of_a_package_is_told_apart_by_names_and_content_and_not_by_its_place(tmp_path: Path) -> None:
    def source(name: str, **files: str) -> str:
        for file, content in files.items():
            (tmp_path / name / "deep").mkdir(parents=True, exist_ok=True)
            (tmp_path / name / "deep" / f"{file}.py").write_text(content)
        return lineage.source(tmp_path / name)

    assert source("one", a="1", b="2") == source("another place", a="1", b="2")
    assert (
        len({source("two", a="1", b="2"), source("three", a="2", b="1"), source("four", a="1", c="2"), source("five", a="12", b="")}) == 4
    )
    assert code_state(tmp_path)["code"] == lineage.source()


@pytest.mark.parametrize(
    ("state", "outcome", "said"),
    [
        pytest.param({"commit": "a" * 40, "dirty": ""}, "accept", "trained from commit aaaaaaaa", id="committed"),
        pytest.param({"commit": "a" * 40, "dirty": "b" * 64}, "refuse", "uncommitted changes on top of aaaaaaaa", id="not committed"),
        pytest.param({"commit": "", "dirty": "b" * 64}, "refuse", "without a commit", id="no commit yet"),
        pytest.param({}, "refuse", "without a commit", id="no git"),
    ],
)
def test_only_code_that_somebody_else_can_check_out_is_committed(state: dict[str, str], outcome: str, said: str) -> None:
    decision = lineage.committed(state)
    assert decision.outcome == outcome
    assert said in decision.reason
