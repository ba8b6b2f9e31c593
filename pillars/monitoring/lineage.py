"""The state of the code that makes something: commit, uncommitted changes, lock, and the versions that decide bytes.

It is the code's part of a model's lineage; data and recipe join it in `tasks.training` and `pillars.training.refitting`.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pillars import git
from pillars.vocabulary import Decision

PACKAGES = ("xgboost", "numpy", "pyarrow", "scikit-learn", "optuna", "mlflow", "dvc", "great-expectations", "evidently", "prefect")

CODE = ("pillars", "projects", "tasks", "flows", "configs", "requirements.lock")  # what can change a model's bytes


def code_state(root: Path) -> dict[str, str]:
    """`commit` (40 hex), `dirty` (sha256 over uncommitted changes and untracked files of CODE, "" when clean), `code` (see `source`),
    `lock` (sha256 of requirements.lock), `python`, `machine`, and `package.<name>` of those that decide bytes. What there is none of is "".

    Works without git and in a repository without a commit. Times and folders have no say: equal code gives equal states.
    """
    lock = root / "requirements.lock"
    return {
        "commit": git.told(root, "rev-parse", "--verify", "-q", "HEAD").decode().strip(),
        "dirty": _dirty(root),
        "code": source(),
        "lock": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else "",
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        **{f"package.{name}": _version(name) for name in PACKAGES},
    }


def environment(state: Mapping[str, str]) -> dict[str, str]:
    """The part of a state that is not the project's own: lock, python, machine, packages."""
    return {name: value for name, value in state.items() if name in ("lock", "python", "machine") or name.startswith("package.")}


@cache  # what this process runs, it has read at its start
def source(package: Path = Path(__file__).resolve().parents[1]) -> str:
    """sha256 (hex) over the modules of a `pillars` package: of this one, which may lie elsewhere than the project, where none is named."""
    found = hashlib.sha256()
    for file in sorted(package.rglob("*.py"), key=lambda file: file.relative_to(package).as_posix()):
        content = hashlib.sha256(file.read_bytes()).digest()
        found.update(file.relative_to(package).as_posix().encode() + b"\0" + content)
    return found.hexdigest()


def committed(lineage: Mapping[str, str]) -> Decision:
    """Whether a model was trained from code that somebody else can check out."""
    if not lineage.get("commit"):
        return Decision.refuse("it was trained from code without a commit, and registry.dirty_tree is refuse. Commit, and train again")
    if lineage.get("dirty"):
        what = f"uncommitted changes on top of {lineage['commit'][:8]}"
        return Decision.refuse(f"it was trained from {what}, and registry.dirty_tree is refuse. Commit them, and train again")
    return Decision.accept(f"trained from commit {lineage['commit'][:8]}")


def _dirty(root: Path) -> str:
    if not git.told(root, "status", "--porcelain", "-uall", "--", *CODE):
        return ""
    patch = hashlib.sha256(git.told(root, "diff", "--no-color", "--no-ext-diff", "HEAD", "--", *CODE))
    for name in sorted(git.told(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *CODE).split(b"\0")):
        if name and (root / name.decode()).is_file():
            patch.update(name + b"\0" + hashlib.sha256((root / name.decode()).read_bytes()).digest())
    return patch.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
