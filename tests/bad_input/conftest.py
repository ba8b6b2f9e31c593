"""One clone per module with the project `parcels`; tests that spoil it leave it as they found it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.bad_input.parcels import write_parcels
from tests.clone import make_clone


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's clone with the project, shared by the tests of a module."""
    return write_parcels(make_clone(tmp_path_factory.mktemp("bad-input") / "project"))


@pytest.fixture
def root(clone: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be a user in that clone."""
    monkeypatch.delenv("PILLARS_VAR", raising=False)
    monkeypatch.setenv("PILLARS_ROOT", str(clone))
    monkeypatch.chdir(clone)
    monkeypatch.setattr(sys, "path", [str(clone), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a mended module must not be read from the bytes of the broken one
    assert os.environ["PREFECT_API_URL"] == prefect_server
    return clone
