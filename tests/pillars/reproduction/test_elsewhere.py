"""Where the recorded commit is gone and the code that is here is another: the factor is the code, and nothing else is blamed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from pillars.stores import Stores
from tests.factories import binary_project
from tests.pillars.data.batches import git
from tests.pillars.reproduction.test_reproducing import HALVED, PLAIN, change_features
from tests.pillars.reproduction.worlds import USER, commit, make, repository

pytestmark = pytest.mark.slow
ASKED = """
import json
from dataclasses import asdict
from pillars import project_file
from pillars.reproduction import reproducing
from pillars.stores import Stores
stores = Stores()
project = project_file.load(stores.config_file("trams"))
print(json.dumps(asdict(reproducing.reproduce(stores, project, 1, None, [], 1e-6))))
"""


def test_another_feature_in_the_code_that_is_here_is_named_when_the_recorded_commit_is_gone(mlflow_stores: Stores) -> None:
    root = mlflow_stores.root
    repository(root, binary_project(), code=True)
    make(mlflow_stores, binary_project())
    change_features(root, PLAIN, HALVED)
    commit(root, "features are thirds")
    tree = git(root, "rev-parse", "HEAD^{tree}")  # a history that begins here, as a shallow clone's
    git(root, "update-ref", "refs/heads/main", git(root, *USER, "commit-tree", tree, "-m", "the newest"))
    git(root, "reflog", "expire", "--expire=now", "--all")
    git(root, "gc", "-q", "--prune=now")
    environ = os.environ | {"PYTHONPATH": str(root), "PILLARS_ROOT": str(root), "PILLARS_VAR": str(mlflow_stores.var)}
    done = subprocess.run([sys.executable, "-P", "-c", ASKED], cwd=root, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["verdict"] == "DIFFERENT"
    (factor,) = found["factors"]
    assert factor["name"] == "code"
    assert "is not in this repository (a shallow clone, or its branch was deleted): git fetch brings it" in factor["here"]
    assert "(the rows that were fitted on are others already, as the model sees them)" in found["reason"]
