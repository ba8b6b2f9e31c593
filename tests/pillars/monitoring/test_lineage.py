"""The code's state is the same for the same code, and another one for another."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

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
